#include "engine/watch/fanotify_decode.h"

#include <sys/fanotify.h>

#include <cstring>

namespace repl::watch {

namespace {

constexpr size_t fsid_bytes = 8;
constexpr size_t handle_bytes_max = 128;  // MAX_HANDLE_SZ

template <typename T>
T read_as(std::string_view from) {
  T value;
  std::memcpy(&value, from.data(), sizeof value);
  return value;
}

// { fsid, file_handle, [name] } of one record, without the record's header.
bool decode_identity(std::string_view body, bool named, DirAndName& out) {
  if (body.size() < fsid_bytes + 2 * sizeof(uint32_t)) return false;
  body.remove_prefix(fsid_bytes);
  const auto bytes = read_as<uint32_t>(body);
  body.remove_prefix(sizeof(uint32_t));
  const size_t handle_size = sizeof(uint32_t) + size_t{bytes};
  if (bytes > handle_bytes_max || handle_size > body.size()) return false;
  out.dir = body.substr(0, handle_size);
  out.name = {};
  if (!named) return true;
  body.remove_prefix(handle_size);
  const size_t end = body.find('\0');
  if (end == std::string_view::npos) return false;
  out.name = body.substr(0, end);
  if (out.name == ".") out.name = {};
  return true;
}

// One information record. Types that we do not ask for, or that a later kernel adds, are passed
// over.
bool decode_record(uint8_t type, std::string_view body, FanotifyEvent& event) {
  DirAndName identity;
  switch (type) {
    case FAN_EVENT_INFO_TYPE_FID:
      if (!decode_identity(body, false, identity)) return false;
      event.child = identity.dir;
      return true;
    case FAN_EVENT_INFO_TYPE_DFID:
      if (!decode_identity(body, false, identity)) return false;
      event.place = identity;
      return true;
    case FAN_EVENT_INFO_TYPE_DFID_NAME:
      if (!decode_identity(body, true, identity)) return false;
      event.place = identity;
      return true;
    case FAN_EVENT_INFO_TYPE_OLD_DFID_NAME:
      if (!decode_identity(body, true, identity)) return false;
      event.old_place = identity;
      return true;
    case FAN_EVENT_INFO_TYPE_NEW_DFID_NAME:
      if (!decode_identity(body, true, identity)) return false;
      event.new_place = identity;
      return true;
    default:
      return true;
  }
}

}  // namespace

bool FanotifyDecoder::fail() {
  malformed_ = true;
  rest_ = {};
  return false;
}

bool FanotifyDecoder::next(FanotifyEvent& event) {
  event = {};
  if (rest_.empty()) return false;
  if (rest_.size() < sizeof(fanotify_event_metadata)) return fail();
  const auto metadata = read_as<fanotify_event_metadata>(rest_);
  if (metadata.vers != FANOTIFY_METADATA_VERSION || metadata.metadata_len < sizeof metadata ||
      metadata.event_len < metadata.metadata_len || metadata.event_len > rest_.size()) {
    return fail();
  }
  event.mask = metadata.mask;
  event.pid = metadata.pid;
  event.fd = metadata.fd;
  std::string_view records =
      rest_.substr(metadata.metadata_len, metadata.event_len - metadata.metadata_len);
  rest_.remove_prefix(metadata.event_len);
  while (!records.empty()) {
    if (records.size() < sizeof(fanotify_event_info_header)) return fail();
    const auto header = read_as<fanotify_event_info_header>(records);
    if (header.len < sizeof header || header.len > records.size()) return fail();
    if (!decode_record(header.info_type, records.substr(sizeof header, header.len - sizeof header),
                       event)) {
      return fail();
    }
    records.remove_prefix(header.len);
  }
  return true;
}

}  // namespace repl::watch

#include "engine/send/record_packer.h"

#include <utility>

#include "engine/base/limits.h"

namespace repl::send {

namespace {
constexpr size_t fixed_bytes = 96;  // ids, times, owner, digests
}

size_t record_bytes(const Record& record) {
  const auto* put = std::get_if<Put>(&record);
  if (!put) return fixed_bytes + std::get<Remove>(record).key.name.size();
  size_t bytes = fixed_bytes + put->key.name.size() + put->attr.target.size() +
                 put->attr.xattrs.size() + put->attr.owner.size() + put->attr.group.size();
  if (const auto* data = std::get_if<ContentInline>(&put->content)) bytes += data->bytes.size();
  if (const auto* copy = std::get_if<ContentCopy>(&put->content)) bytes += copy->from.name.size();
  if (const auto* link = std::get_if<ContentLink>(&put->content)) bytes += link->to.name.size();
  return bytes;
}

void RecordPacker::add(Record record) {
  const size_t bytes = record_bytes(record);
  const bool full = bytes_ + bytes > limits::message_bytes_target ||
                    packed_.records.size() >= limits::records_per_message_max;
  if (full) flush();
  packed_.records.push_back(std::move(record));
  bytes_ += bytes;
}

void RecordPacker::flush() {
  if (packed_.records.empty()) return;
  emit_(std::exchange(packed_, Records{}));
  bytes_ = 0;
}

}  // namespace repl::send

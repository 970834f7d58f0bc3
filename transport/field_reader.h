// field_reader.h: fields of wire.proto to the types of the model, each checked on the way. Internal
// to the codec; what has meaning beyond one field is put together in codec_decode.cc.
//
// Thread: one; a reader lives for one message.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "engine/model/message.h"
#include "transport/codec_limits.h"
#include "transport/wire.pb.h"

namespace repl::transport {

inline constexpr uint64_t file_bytes_max = INT64_MAX;  // off_t

// Whether `part` is a sequence of protobuf fields, and not of too many at its top level. Each costs
// protobuf an object of its own while it is two bytes on the wire, so they are counted before it
// parses.
[[nodiscard]] bool few_fields(std::string_view part);

// Converts and validates. The first violation is kept; what follows it is converted to harmless
// values.
class FieldReader {
 public:
  explicit FieldReader(std::string_view raw) : raw_(raw) {}

  [[nodiscard]] const char* violation() const {
    if (violation_ == nullptr && !raw_.empty()) return "bytes that belong to no record";
    return violation_;
  }
  void require(bool condition, const char* violation) {
    if (!condition && violation_ == nullptr) violation_ = violation;
  }

  std::string take_raw(size_t size) {
    require(size <= raw_.size(), "file bytes are missing");
    const std::string_view bytes = raw_.substr(0, size);
    raw_.remove_prefix(bytes.size());
    return std::string(bytes);
  }
  std::string take_raw() { return take_raw(raw_.size()); }

  template <typename T>
  T bits(const wire::Bits& in) {
    T out;
    out.high = in.high();
    out.low = in.low();
    return out;
  }
  StageId stage(const wire::Bits& in) {
    const auto id = bits<StageId>(in);
    require(id.is_set(), "a staged content without id");
    return id;
  }
  // The root's key is legal where the root's own attributes are meant.
  Key key_or_root(wire::Key* in) {
    Key key{DirId{in->dir()}, std::move(*in->mutable_name())};
    require(key.is_root() || (key.dir.is_set() && is_legal_name(key.name)), "an illegal name");
    return key;
  }
  Key key(wire::Key* in) {
    Key out = key_or_root(in);
    require(!out.is_root(), "the root where it cannot be");
    return out;
  }
  template <typename T>
  T enumeration(uint32_t value, T last) {
    require(value <= static_cast<uint32_t>(last), "an unknown enumeration value");
    return value <= static_cast<uint32_t>(last) ? static_cast<T>(value) : T{};
  }
  std::string text(std::string* in, size_t bytes_max) {
    require(in->size() <= bytes_max, "a text that is too long");
    return std::move(*in);
  }
  template <typename List>
  int count(const List& list, size_t items_max = records_max) {
    require(static_cast<size_t>(list.size()) <= items_max, "too many items in one message");
    return violation_ == nullptr ? list.size() : 0;
  }
  Position position(const wire::Position& in) {
    return {Epoch{in.epoch()}, bits<Reign>(in.reign()), CutNumber{in.cut()}};
  }
  Attributes attributes(wire::Attributes* in);
  KeyInfo info(wire::KeyInfo* in, bool named);
  Put put(wire::Put* in);
  Record record(wire::Record* in);
  void range(uint64_t offset, uint64_t length) {
    require(length > 0, "an empty range");
    require(offset <= file_bytes_max && length <= file_bytes_max - offset,
            "a range beyond what a file can be");
  }

 private:
  std::string_view raw_;
  const char* violation_ = nullptr;
};

}  // namespace repl::transport

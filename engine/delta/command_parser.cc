#include "engine/delta/command_parser.h"

#include <algorithm>

#include "engine/base/limits.h"

namespace repl::delta {

namespace {

constexpr std::string_view delta_magic("rs\x02\x36", 4);
constexpr uint8_t literal_n1 = 0x41;
constexpr uint8_t copy_n1_n1 = 0x45;
constexpr uint8_t reserved = 0x55;

struct Shape {
  size_t position_bytes = 0;
  size_t length_bytes = 0;
};
Shape shape_of(uint8_t op) {
  if (op >= copy_n1_n1) {
    const unsigned n = op - copy_n1_n1;
    return Shape{.position_bytes = size_t{1} << (n / 4), .length_bytes = size_t{1} << (n % 4)};
  }
  return Shape{.length_bytes = op >= literal_n1 ? size_t{1} << (op - literal_n1) : 0};
}

uint64_t big_endian(std::string_view bytes) {
  uint64_t v = 0;
  for (const char c : bytes) v = v << 8 | static_cast<uint8_t>(c);
  return v;
}

}  // namespace

Status CommandParser::copy(const CopyCommand& next, const DeltaSink& sink) {
  if (next.length == 0 || next.base_offset + next.length < next.base_offset) {
    return fail(ErrorCode::invalid, "delta: a copy of no bytes, or past the end of numbers");
  }
  if (held_.length > 0 && held_.base_offset + held_.length == next.base_offset) {
    held_.length += next.length;
    return {};
  }
  if (Status told = flush(sink); !told) return told;
  held_ = next;
  return {};
}

Status CommandParser::flush(const DeltaSink& sink) {
  if (held_.length == 0) return {};
  const CopyCommand command = held_;
  held_ = CopyCommand{};
  return sink.copy(command);
}

// head_ holds one whole command.
Status CommandParser::command(const DeltaSink& sink) {
  const auto op = static_cast<uint8_t>(head_[0]);
  const Shape shape = shape_of(op);
  const std::string_view numbers = std::string_view(head_).substr(1);
  if (op == 0) {
    ended_ = true;
    return flush(sink);
  }
  if (op >= copy_n1_n1) {
    return copy(CopyCommand{.base_offset = big_endian(numbers.substr(0, shape.position_bytes)),
                            .length = big_endian(numbers.substr(shape.position_bytes))},
                sink);
  }
  literal_left_ = op < literal_n1 ? op : big_endian(numbers);
  if (literal_left_ == 0) return fail(ErrorCode::invalid, "delta: a literal of no bytes");
  return flush(sink);
}

Status CommandParser::feed(std::string_view bytes, const DeltaSink& sink) {
  while (!bytes.empty()) {
    if (ended_) return fail(ErrorCode::invalid, "delta: bytes after the end");
    if (literal_left_ > 0) {
      const size_t take = static_cast<size_t>(
          std::min<uint64_t>(literal_left_, std::min(bytes.size(), limits::data_chunk_bytes_max)));
      if (Status told = sink.literal(LiteralCommand{bytes.substr(0, take)}); !told) return told;
      bytes.remove_prefix(take);
      literal_left_ -= take;
      continue;
    }
    head_.push_back(bytes.front());
    bytes.remove_prefix(1);
    if (!magic_seen_) {
      if (head_.back() != delta_magic[head_.size() - 1]) {
        return fail(ErrorCode::invalid, "delta: not a librsync delta");
      }
      if (head_.size() == delta_magic.size()) {
        magic_seen_ = true;
        head_.clear();
      }
      continue;
    }
    const auto op = static_cast<uint8_t>(head_[0]);
    if (op >= reserved) return fail(ErrorCode::invalid, "delta: a reserved command");
    const Shape shape = shape_of(op);
    if (head_.size() < 1 + shape.position_bytes + shape.length_bytes) continue;
    Status done = command(sink);
    head_.clear();
    if (!done) return done;
  }
  return {};
}

}  // namespace repl::delta

// A peer's signature is refused or searched within bounds, and what the search tells is the
// content; any delta stream is refused or taken apart, the same in pieces. Input: u8 cut, then the
// bytes.
#include <cstdint>
#include <string>
#include <string_view>

#include "engine/base/check.h"
#include "engine/base/limits.h"
#include "engine/delta/command_parser.h"
#include "engine/delta/rolling.h"

using namespace repl;
using namespace repl::delta;

namespace {
struct Told {
  uint64_t copied = 0;
  uint64_t literal = 0;
  DeltaSink sink{.copy = [this](const CopyCommand& command) -> Status {
                   REPL_CHECK(command.length > 0);
                   REPL_CHECK(command.base_offset <= UINT64_MAX - command.length);
                   copied += command.length;
                   return {};
                 },
                 .literal = [this](const LiteralCommand& command) -> Status {
                   REPL_CHECK(command.bytes.size() <= limits::data_chunk_bytes_max);
                   literal += command.bytes.size();
                   return {};
                 }};
};
}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  const size_t cut = bytes.size() * data[0] / 255;
  Told whole;
  Told pieces;
  CommandParser at_once;
  CommandParser in_two;
  const bool ok = at_once.feed(bytes, whole.sink) && at_once.flush(whole.sink);
  const bool ok_in_two = in_two.feed(bytes.substr(0, cut), pieces.sink) &&
                         in_two.feed(bytes.substr(cut), pieces.sink) && in_two.flush(pieces.sink);
  REPL_CHECK(ok == ok_in_two && at_once.ended() == in_two.ended());
  if (ok) REPL_CHECK(whole.copied == pieces.copied && whole.literal == pieces.literal);

  auto search = RollingSearch::open(bytes);
  if (!search) return 0;
  Told told;
  if (search->feed(bytes, told.sink) && search->finish(told.sink))
    REPL_CHECK(told.literal + told.copied == bytes.size());
  return 0;
}

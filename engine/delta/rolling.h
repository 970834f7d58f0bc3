// rolling.h: librsync's rolling-checksum search, with its work bounded.
//
// A signature comes from a peer: block length, strong length, size and the number of equal weak
// sums are checked before librsync sees it (its table degrades to quadratic work on hostile ones).
// The delta that librsync makes is parsed in total: every length is checked.
//
// Thread: values, one owner each. Source: librsync 2.3 (job API), doc/format.md.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string_view>

#include "engine/base/error.h"
#include "engine/delta/signature.h"

namespace repl::delta {

// What to do, front to back, to build the target from the base.
struct CopyCommand {
  uint64_t base_offset = 0;
  uint64_t length = 0;
};
struct LiteralCommand {
  std::string_view bytes;  // valid during the call; at most limits::data_chunk_bytes_max
};
// Adjacent copies arrive as one. An Error from a callback ends the search with it.
struct DeltaSink {
  std::function<Status(const CopyCommand&)> copy;
  std::function<Status(const LiteralCommand&)> literal;
};

// The search through one content, or through several runs of it: each is fed front to back in
// pieces of any size, and ended by finish(). The table of sums is built once; the bound on the work
// is for all runs together.
class RollingSearch {
 public:
  // `invalid` for a malformed signature, `limit` for one whose search could not be bounded.
  [[nodiscard]] static Result<RollingSearch> open(std::string_view signature);
  ~RollingSearch();
  RollingSearch(RollingSearch&&) noexcept;
  RollingSearch& operator=(RollingSearch&&) noexcept;

  // Begins a run if none is open. ErrorCode::limit when the search has cost more processor time
  // than the content is worth: librsync degrades on contents made of many equal weak sums. What the
  // sink was told until then is right; the caller sends the rest as it is, and searches no more.
  [[nodiscard]] Status feed(std::string_view bytes, const DeltaSink& sink);
  // The end of the run: what is still held is decided and told.
  [[nodiscard]] Status finish(const DeltaSink& sink);

 private:
  struct State;
  explicit RollingSearch(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

// The whole of a target at once.
[[nodiscard]] Status make_delta(std::string_view signature, uint64_t target_size,
                                const ReadAt& target, const DeltaSink& sink);

}  // namespace repl::delta

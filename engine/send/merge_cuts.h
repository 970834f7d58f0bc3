// merge_cuts.h: cuts that follow one another as one, under the number of the last: it is exact if
// that is. What became of a key in between is left out.
//
// Thread: the index's.
#pragma once

#include <deque>
#include <functional>
#include <memory>

#include "engine/index/index.h"
#include "engine/model/cut.h"

namespace repl::send {

// `cuts`: at least one, none by log; the index is at the last of them. `told`: what the peer has
// under the key is not what it had at the cut before.
[[nodiscard]] std::shared_ptr<const CutBatch> merge_cuts(
    const std::deque<std::shared_ptr<const CutBatch>>& cuts, const Index& index,
    const std::function<bool(const Key&)>& told);

}  // namespace repl::send

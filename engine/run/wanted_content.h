// wanted_content.h: the root fingerprint that a replica would have if what it holds were as the
// primary wants it.
//
// `verify` compares it with the primary's: equal means equal except for what is held. A directory
// that is held before it was ever made here has no known content below it: such a tree stays
// different.
//
// Thread: the index's owner. Cost: the held keys and the directories above them.
#pragma once

#include <unordered_map>

#include "engine/apply/holds.h"
#include "engine/index/index.h"

namespace repl::run {

// `seed` of fingerprints (fingerprint_seed of the tree's name).
[[nodiscard]] Fingerprint wanted_content(const Index& index, uint64_t seed,
                                         const std::unordered_map<Key, apply::Hold>& holds);

}  // namespace repl::run

// cut_items.h: the items of a cut, made complete and put in order, as the index has their places.
//
// Thread: the index's.
#pragma once

#include <functional>
#include <unordered_map>
#include <vector>

#include "engine/index/index.h"
#include "engine/model/cut.h"

namespace repl {

using CutItems = std::unordered_map<Key, CutItem>;

// A key was looked at once more, in the same cut or in a later one: `first` becomes `newer`. What
// peers have is what the first look said; a content that changed once did.
void supersede(CutItem& first, CutItem newer);

// A name that joins a link group is linked to another one of it on the peers, so the names that
// stay as they are go along: alone it would become a file of its own there. Names that joined in a
// cut after `at` come with that one.
void complete_link_groups(CutItems& items, const Index& index, CutNumber at);

// As Records wants them (CutBatch): directories first, from the top down; then the rest, names of
// one link group side by side, those that peers have already first; removals last. What is not
// `wanted`, or lies in a directory that has no place any more, is left out.
[[nodiscard]] std::vector<CutItem> in_order(CutItems items, const Index& index,
                                            const std::function<bool(CutItem&)>& wanted);

}  // namespace repl

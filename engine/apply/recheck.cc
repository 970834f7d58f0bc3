// The part of Applier that looks at held keys again.
#include "engine/apply/applier.h"
#include "engine/apply/compare.h"

namespace repl::apply {

// A hold below a directory that is neither in the tree nor held itself: the directory was removed,
// and what lies there is not the primary's any more.
void Applier::drop_lost_holds() {
  for (bool progress = true; progress;) {
    std::vector<Key> lost;
    std::unordered_map<DirId, bool> known{{root_dir, true}};
    for (const auto& [key, hold] : holds_.all()) {
      const auto [at, fresh] = known.try_emplace(key.dir);
      if (fresh) at->second = index_.summary(key.dir).has_value() || holds_.holds_dir(key.dir);
      if (!at->second && !key.is_root()) lost.push_back(key);
    }
    for (const Key& key : lost) holds_.clear(key);
    progress = !lost.empty();
  }
}

Result<std::vector<Refused>> Applier::recheck_holds() {
  std::vector<Refused> ask_again;
  if (cut_.open) return ask_again;
  dirs_.next_generation();
  drop_lost_holds();
  std::vector<Hold> held;
  for (const auto& [key, hold] : holds_.all()) held.push_back(hold);
  for (const Hold& hold : held) {
    const Result<int> parent = dirs_.open(hold.key.dir);
    if (!parent || hold.key.is_root()) continue;
    const std::optional<Entry> entry = index_.get(hold.key);
    const bool adoptable = !hold.wants_removal && hold.wanted.type != FileType::directory &&
                           hold.wanted.type != FileType::none;
    const Result<Look> seen = look(*parent, hold.key.name, entry ? &*entry : nullptr, nullptr,
                                   adoptable ? &hold.wanted : nullptr);
    if (!seen) continue;  // asked again at the next recheck
    const bool absent = seen->present == Present::absent;
    if (hold.wants_removal && absent) {
      index_.remove(hold.key, entry ? entry->cut : CutNumber{});
      holds_.clear(hold.key);
    } else if (seen->present == Present::incoming) {
      const CutNumber cut = entry ? entry->cut : CutNumber{};
      if (!index_.put(hold.key, Entry{.attr = hold.wanted, .local = seen->stat.local, .cut = cut}))
        continue;
      holds_.clear(hold.key);
    } else if (seen->present == Present::expected || (absent && !entry) ||
               holds_.is_approved(hold.key)) {
      // The way is free, or a person said yes: the record is wanted once more.
      if (!holds_.is_approved(hold.key)) holds_.clear(hold.key);
      ask_again.push_back(Refused{.key = hold.key, .hold = false, .reason = "the hold was lifted"});
    }
  }
  work_pending_ = work_pending_ || !held.empty();
  return ask_again;
}

}  // namespace repl::apply

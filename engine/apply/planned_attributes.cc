#include "engine/apply/planned_attributes.h"

#include <algorithm>

namespace repl::apply {

PlannedAttributes::PlannedAttributes(const std::vector<PlannedKey>& planned) {
  for (const PlannedKey& plan : planned) {
    if (plan.removed) continue;
    by_key_[plan.key].push_back(&plan.attr);
    if (plan.attr.content.is_set()) by_content_[plan.attr.content].push_back(&plan.attr);
    if (plan.attr.link.is_set()) by_link_[plan.attr.link].push_back(&plan.attr);
  }
}

bool PlannedAttributes::could_be(const Key& key, const Attributes* old,
                                 const Attributes& now) const {
  Planned known;
  const auto add = [&](const auto& plans, const auto& of) {
    const auto at = plans.find(of);
    if (at == plans.end()) return;
    for (const Attributes* attr : at->second) {
      if (attr->type == now.type) known.push_back(attr);
    }
  };
  add(by_key_, key);
  // What is done to one name of a file is done to all.
  for (size_t i = 0, own = known.size(); i < own; ++i) {
    if (known[i]->link.is_set()) add(by_link_, known[i]->link);
  }
  // A file that was to move gets the attributes of its new name before it is there.
  if (old != nullptr && old->content.is_set()) add(by_content_, old->content);
  if (known.empty()) return false;
  if (old != nullptr && old->type == now.type) known.push_back(old);
  // A directory's attributes come last.
  if (now.type == FileType::directory) return true;
  const auto some = [&](const auto& is) { return std::ranges::any_of(known, is); };
  const bool mode = some([&](const Attributes* a) {
    // publish narrows the mode while the owner changes
    return now.mode == a->mode ||
           some([&](const Attributes* b) { return now.mode == (a->mode & b->mode & 0700); });
  });
  // Power loss leaves files empty.
  const bool size = now.type != FileType::regular || now.size == 0 ||
                    some([&](const Attributes* a) { return now.size == a->size; });
  return (mode || now.type == FileType::symlink) && size &&
         some([&](const Attributes* a) { return now.uid == a->uid; }) &&
         some([&](const Attributes* a) { return now.gid == a->gid; }) &&
         some([&](const Attributes* a) { return now.rdev == a->rdev; }) &&
         some([&](const Attributes* a) { return now.mtime == a->mtime; });
}

}  // namespace repl::apply

// planned_attributes.h: whether what stands at a key may be what cuts that are not durable made of
// it: each attribute is some plan's, since several cuts may have touched it, and a crash leaves
// some attributes set and others not. Pure.
//
// Thread: one owner. Memory: some pointers per plan; the plans outlive it.
#pragma once

#include <unordered_map>
#include <vector>

#include "engine/apply/plan.h"

namespace repl::apply {

class PlannedAttributes {
 public:
  explicit PlannedAttributes(const std::vector<PlannedKey>& planned);

  // Of a new object.
  [[nodiscard]] bool made(const Key& key, const Attributes& now) const {
    return could_be(key, nullptr, now);
  }
  // Of the one that was there as `old`.
  [[nodiscard]] bool made_of(const Key& key, const Attributes& old, const Attributes& now) const {
    return could_be(key, &old, now);
  }

 private:
  using Planned = std::vector<const Attributes*>;
  [[nodiscard]] bool could_be(const Key& key, const Attributes* old, const Attributes& now) const;

  std::unordered_map<Key, Planned> by_key_;
  std::unordered_map<Digest, Planned> by_content_;
  std::unordered_map<LinkId, Planned> by_link_;
};

}  // namespace repl::apply

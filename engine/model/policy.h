// policy.h: which attributes of a tree are replicated, and how. Its hash, with the filter's, is
// spoken at contact; while two nodes differ the tree holds.
#pragma once

#include <string>

#include "engine/base/ids.h"
#include "engine/model/filter.h"

namespace repl {

struct Policy {
  bool ids_by_name = false;  // ids = "name": owners travel as names, mapped on each node
  Filter filter;
};

// Canonical hash over the attribute policy and the filter.
[[nodiscard]] Bits128 policy_hash(const Policy& policy);

}  // namespace repl

#include "engine/run/stored_tree.h"

#include <filesystem>
#include <memory>
#include <system_error>
#include <utility>

#include "engine/apply/applier.h"
#include "engine/base/escape.h"
#include "engine/model/hash.h"
#include "engine/run/tree_engine.h"

namespace repl::run {

namespace {

// Index::open would make one.
Result<std::unique_ptr<Index>> open_stored(const std::string& state_dir, const std::string& tree) {
  std::error_code code;
  if (!std::filesystem::exists(state_dir + "/index", code)) {
    if (code) return fail(sys_error("look into " + escape(state_dir), code.value()));
    return fail(ErrorCode::not_found, "nothing is known of the tree in " + escape(state_dir) +
                                          ": it never ran on this node, or its state was lost");
  }
  return Index::open(state_dir + "/index", fingerprint_seed(tree));
}

}  // namespace

Result<StoredTree> read_stored_tree(const std::string& state_dir, const std::string& tree) {
  const auto index = open_stored(state_dir, tree);
  if (!index) return fail(index.error());
  StoredTree stored{.counts = (*index)->counts(),
                    .paused = (*index)->meta(paused_meta).has_value(),
                    .incomplete = (*index)->meta(apply::incomplete_meta).has_value(),
                    .consistency = (*index)->meta(apply::consistency_meta).value_or("")};
  if (const auto record = (*index)->meta(role::node_state_name)) {
    Result<role::NodeState> state = role::decode_node_state(*record);
    if (!state) return fail(state.error());
    stored.state = std::move(*state);
  }
  return stored;
}

Status store_paused(const std::string& state_dir, const std::string& tree, bool paused) {
  const auto index = open_stored(state_dir, tree);
  if (!index) return fail(index.error());
  if (paused) {
    (*index)->put_meta(paused_meta, "1");
  } else {
    (*index)->remove_meta(paused_meta);
  }
  return (*index)->flush();
}

}  // namespace repl::run

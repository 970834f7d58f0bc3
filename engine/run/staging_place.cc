#include "engine/run/staging_place.h"

#include "engine/io/fs_ops.h"
#include "engine/run/tree_options.h"

namespace repl::run {

namespace {

Result<io::Stat> stat_dir(const std::string& path) {
  const Result<Fd> dir = io::open_root(path);
  if (!dir) return fail(dir.error());
  return io::stat_fd(dir->get());
}

}  // namespace

Result<std::string> choose_staging(const std::string& root, const std::string& configured,
                                   const std::string& state_dir, bool guarded) {
  if (!configured.empty()) return configured;
  if (guarded) return root + "/" + staging_name;
  const Result<io::Stat> of_root = stat_dir(root);
  if (!of_root) return fail(of_root.error());
  const Result<io::Stat> of_state = stat_dir(state_dir);
  if (!of_state) return fail(of_state.error());
  const bool same = of_state->device == of_root->device && of_state->mount == of_root->mount;
  return same ? state_dir + "/staging" : root + "/" + staging_name;
}

}  // namespace repl::run

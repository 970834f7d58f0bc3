#include "cli/mirror_tree.h"

#include <filesystem>
#include <system_error>
#include <utility>

#include "engine/base/escape.h"
#include "engine/model/hash.h"

namespace repl::cli {

namespace {

// A name as a pattern that matches only itself.
std::string as_pattern(const std::string& name) {
  std::string pattern = "/";
  for (const char c : name) {
    if (c == '*' || c == '?' || c == '[' || c == '\\') pattern += '\\';
    pattern += c;
  }
  return pattern;
}

std::string name_of_pattern(const std::string& pattern) {
  std::string name;
  for (size_t i = pattern.starts_with('/') ? 1 : 0; i < pattern.size(); ++i) {
    if (pattern[i] == '\\' && i + 1 < pattern.size()) ++i;
    name += pattern[i];
  }
  return name;
}

}  // namespace

// Two single files of one directory are two mirrors.
std::string copy_key(const std::string& root, const std::vector<std::string>& only) {
  return only.empty() ? root : root + "\n" + only.front();
}

std::string mirror_state_dir(const GlobalOptions& global, const std::string& pair,
                             const std::string& side) {
  std::error_code code;
  const std::filesystem::path absolute = std::filesystem::weakly_canonical(pair, code);
  const std::string named = code ? pair : absolute.string();
  return std::filesystem::absolute(global.state_dir).string() + "/mirror/" +
         to_hex(hash_bytes(named)).substr(0, 16) + "/" + side;
}

Result<run::TreeOptions> mirror_tree_options(const MirrorTree& tree, run::Standing standing,
                                             const std::string& state_dir) {
  std::error_code code;
  if (tree.create_root) {
    std::filesystem::create_directory(tree.root, code);
    if (code) return fail(sys_error("create the directory " + escape(tree.root), code.value()));
  }
  const std::filesystem::path root = std::filesystem::canonical(tree.root, code);
  if (code) {
    return fail(ErrorCode::not_found,
                "the directory " + escape(tree.root) + " does not exist: create it first");
  }
  run::TreeOptions options;
  options.name = "mirror";
  options.node = standing == run::Standing::mirror_source ? mirror_source_node : mirror_copy_node;
  options.nodes = {mirror_source_node, mirror_copy_node};
  options.root = root.string();
  options.state_dir = state_dir;
  options.policy = tree.policy;
  options.standing = standing;
  options.keep_extra = !tree.delete_extra;
  options.deletes.on = false;  // who starts it says with --delete what is meant
  options.watch_live = !tree.once && standing == run::Standing::mirror_source;
  return options;
}

Result<MirrorSource> resolve_source(const std::string& path) {
  std::error_code code;
  const std::filesystem::file_status status = std::filesystem::symlink_status(path, code);
  if (!std::filesystem::exists(status)) {
    return fail(ErrorCode::not_found, "the source " + escape(path) + " does not exist");
  }
  MirrorSource source;
  if (std::filesystem::is_directory(path, code)) {
    source.root = path;
    return source;
  }
  const std::filesystem::path file = std::filesystem::absolute(path, code);
  source.root = file.parent_path().string();
  source.name = file.filename().string();
  source.only = as_pattern(source.name);
  return source;
}

Result<std::string> copy_root(const std::string& destination,
                              const std::vector<std::string>& only) {
  namespace fs = std::filesystem;
  std::error_code code;
  const fs::path path = destination;
  if (fs::is_directory(path, code)) return destination;
  if (!only.empty() && path.filename() == name_of_pattern(only.front())) {
    return path.has_parent_path() ? path.parent_path().string() : ".";
  }
  if (!only.empty() && path.has_filename()) {
    return fail(ErrorCode::invalid,
                "the destination " + escape(destination) +
                    " is not a directory: a single file keeps its name; name a directory");
  }
  if (fs::exists(path, code)) {
    return fail(ErrorCode::invalid,
                "the destination " + escape(destination) + " is not a directory");
  }
  return destination;
}

}  // namespace repl::cli

// doctor.h: what this machine can do for repl, one finding each, with what to do about it.
//
// Thread: blocks the caller; makes and removes a temporary directory in each root that it may write
// to, and gives the root its modification time back.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace repl::cli {

enum class Health : uint8_t { ok, warn, fail };

struct Finding {
  Health health = Health::ok;
  std::string subject;  // "kernel", "fanotify", "tree idm: xattrs", ...
  std::string text;     // what was found
  std::string advice;   // what to do; empty if ok
};

[[nodiscard]] std::vector<Finding> examine_system();
// Where indexes and the key are: writable, or to be made.
[[nodiscard]] Finding examine_state_dir(const std::string& dir);
// This node's key as the daemon loads it: there, whole, nobody else's to read, and the one whose
// fingerprint the configuration tells the others.
[[nodiscard]] Finding examine_identity(const std::string& key_file,
                                       const std::string& certificate_file,
                                       const std::vector<std::string>& configured);
// What the filesystem below `root` can hold; `subject` prefixes the findings. A guarded one is
// tried beneath its guard.
[[nodiscard]] std::vector<Finding> examine_root(const std::string& subject, const std::string& root,
                                                bool guarded);
// Of a tree with guard = true.
[[nodiscard]] std::vector<Finding> examine_guard(const std::string& subject,
                                                 const std::string& root);

[[nodiscard]] Health worst(const std::vector<Finding>& findings);
[[nodiscard]] std::string findings_to_json(const std::vector<Finding>& findings);

}  // namespace repl::cli

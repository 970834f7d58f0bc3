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
// What the filesystem below `root` can hold; `subject` prefixes the findings.
[[nodiscard]] std::vector<Finding> examine_root(const std::string& subject,
                                                const std::string& root);

[[nodiscard]] Health worst(const std::vector<Finding>& findings);
[[nodiscard]] std::string findings_to_json(const std::vector<Finding>& findings);

}  // namespace repl::cli

#include "cli/runtime_dir.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>

#include "engine/base/escape.h"

namespace repl::cli {

std::string fallback_runtime_parent() { return fmt::format("/tmp/repl-{}", ::geteuid()); }

Status check_private_dir(const std::string& path) {
  struct stat st{};
  if (::lstat(path.c_str(), &st) != 0) return fail_errno("look at " + escape(path));
  if (S_ISDIR(st.st_mode) && st.st_uid == ::geteuid() && (st.st_mode & 077) == 0) return {};
  return fail(ErrorCode::untrusted,
              escape(path) +
                  " is not a directory of this user alone: set XDG_RUNTIME_DIR, or name another "
                  "with --runtime-dir");
}

Status check_runtime_dir(const GlobalOptions& global) {
  const std::string parent = fallback_runtime_parent();
  if (global.runtime_dir != parent + "/repl") return {};
  const Status checked = check_private_dir(parent);
  return checked || checked.error().code == ErrorCode::not_found ? Status{} : checked;
}

Status make_runtime_dir(const GlobalOptions& global) {
  const std::string parent = fallback_runtime_parent();
  if (global.runtime_dir == parent + "/repl") {
    if (::mkdir(parent.c_str(), 0700) != 0 && errno != EEXIST)
      return fail_errno("create " + escape(parent));
    if (Status s = check_private_dir(parent); !s) return s;
  }
  std::error_code code;
  std::filesystem::create_directories(global.runtime_dir, code);
  if (code) return fail(sys_error("create " + escape(global.runtime_dir), code.value()));
  return {};
}

}  // namespace repl::cli

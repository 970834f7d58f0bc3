#include "cli/doctor.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/capability.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <fstream>

#include "cli/json.h"
#include "engine/io/backend.h"
#include "transport/identity.h"

namespace repl::cli {
namespace {

Finding kernel() {
  utsname name{};
  int major = 0, minor = 0;
  if (::uname(&name) != 0 || std::sscanf(name.release, "%d.%d", &major, &minor) != 2) {
    return {Health::warn, "kernel", "version unknown", "repl needs Linux 5.14 or later"};
  }
  const std::string text = fmt::format("Linux {}", name.release);
  const int version = major * 1000 + minor;
  if (version < 5014) {
    return {Health::fail, "kernel", text, "Linux 5.14 or later is needed"};
  }
  if (version < 5017) {
    return {Health::warn, "kernel", text,
            "before Linux 5.17 fanotify does not report both ends of a rename: inotify is used"};
  }
  return {Health::ok, "kernel", text, ""};
}

Finding io_uring() {
  const std::string refusal = io::io_uring_refusal();
  if (refusal.empty()) return {Health::ok, "io_uring", "available", ""};
  return {Health::warn, "io_uring", refusal,
          "plain system calls are used instead, which is slower on large files; see "
          "kernel.io_uring_disabled and the service's SystemCallFilter"};
}

uint64_t sysctl_number(const char* path) {
  std::ifstream in(path);
  uint64_t value = 0;
  in >> value;
  return in ? value : 0;
}

Finding inotify_watches() {
  const uint64_t watches = sysctl_number("/proc/sys/fs/inotify/max_user_watches");
  const std::string text = fmt::format("fs.inotify.max_user_watches = {}", watches);
  if (watches >= 524288) return {Health::ok, "inotify", text, ""};
  return {Health::warn, "inotify", text,
          "where inotify must be used, each directory takes a watch: `sysctl -w "
          "fs.inotify.max_user_watches=1048576` and the same in /etc/sysctl.d/repl.conf"};
}

Finding inotify_instances() {
  const uint64_t count = sysctl_number("/proc/sys/fs/inotify/max_user_instances");
  const std::string text = fmt::format("fs.inotify.max_user_instances = {}", count);
  if (count >= 64) return {Health::ok, "inotify", text, ""};
  return {Health::warn, "inotify", text,
          "each tree takes one: `sysctl -w fs.inotify.max_user_instances=256`"};
}

Finding open_files() {
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  const std::string text =
      fmt::format("{} open files (hard limit {})", limit.rlim_cur, limit.rlim_max);
  if (limit.rlim_max >= 8192) return {Health::ok, "limits", text, ""};
  return {Health::warn, "limits", text,
          "raise the hard limit: LimitNOFILE= of the unit, or `ulimit -Hn 65536`"};
}

struct Capability {
  int number;
  const char* name;
  const char* without;
};

std::vector<Finding> capabilities() {
  // capget(2), version 3: two words.
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  std::array<__user_cap_data_struct, 2> data{};
  if (::syscall(SYS_capget, &header, data.data()) != 0) {
    return {{Health::warn, "capabilities", "unknown", "capget(2) failed"}};
  }
  static constexpr std::array<Capability, 8> wanted = {{
      {CAP_SYS_ADMIN, "CAP_SYS_ADMIN", "no fanotify: inotify, with a watch per directory"},
      {CAP_DAC_READ_SEARCH, "CAP_DAC_READ_SEARCH", "files of others cannot be read"},
      {CAP_DAC_OVERRIDE, "CAP_DAC_OVERRIDE", "directories of others cannot be written"},
      {CAP_CHOWN, "CAP_CHOWN", "owners are not replicated"},
      {CAP_FOWNER, "CAP_FOWNER", "modes and times of files of others cannot be set"},
      {CAP_FSETID, "CAP_FSETID", "setgid bits are lost"},
      {CAP_MKNOD, "CAP_MKNOD", "devices cannot be made"},
      {CAP_SETFCAP, "CAP_SETFCAP", "file capabilities are not replicated"},
  }};
  std::vector<Finding> out;
  for (const Capability& capability : wanted) {
    const auto word = static_cast<size_t>(capability.number / 32);
    if ((data[word].effective >> (capability.number % 32) & 1) != 0) continue;
    out.push_back({Health::warn, "capabilities",
                   fmt::format("{} is missing: {}", capability.name, capability.without),
                   "run as root, or give it in the unit's AmbientCapabilities="});
  }
  if (out.empty()) out.push_back({Health::ok, "capabilities", "all that are needed", ""});
  return out;
}

}  // namespace

std::vector<Finding> examine_system() {
  std::vector<Finding> out = {kernel(), io_uring(), inotify_watches(), inotify_instances(),
                              open_files()};
  const std::vector<Finding> more = capabilities();
  out.insert(out.end(), more.begin(), more.end());
  return out;
}

Finding examine_state_dir(const std::string& dir) {
  const std::string subject = "state directory";
  if (::access(dir.c_str(), W_OK | X_OK) == 0) return {Health::ok, subject, dir, ""};
  if (errno == ENOENT) {
    return {Health::ok, subject, dir + " is not there yet: it is made when it is needed", ""};
  }
  return {Health::fail, subject, sys_error("write to " + dir, errno).message,
          "run as the user that owns it, or name another with --state-dir"};
}

Finding examine_identity(const std::string& key_file, const std::string& certificate_file,
                         const std::vector<std::string>& configured) {
  const auto identity = transport::load_identity(key_file, certificate_file);
  if (!identity) {
    return {Health::fail, "key", identity.error().message,
            identity.error().code == ErrorCode::not_found
                ? "`repl keygen` makes one; its fingerprint goes into the configuration"
                : "the daemon refuses it, too"};
  }
  if (std::ranges::count(configured, identity->fingerprint) == 0) {
    return {Health::fail, "key", key_file + " is " + identity->fingerprint,
            "the configuration says another fingerprint of this node: peers refuse it until it is "
            "there, on every node"};
  }
  return {Health::ok, "key", key_file, ""};
}

Health worst(const std::vector<Finding>& findings) {
  Health health = Health::ok;
  for (const Finding& finding : findings) health = std::max(health, finding.health);
  return health;
}

std::string findings_to_json(const std::vector<Finding>& findings) {
  static constexpr std::array names = {"ok", "warn", "fail"};
  Json list = Json::array();
  for (const Finding& f : findings) {
    list.push_back(Json{{"health", names[static_cast<size_t>(f.health)]},
                        {"subject", f.subject},
                        {"text", f.text},
                        {"advice", f.advice}});
  }
  return print_json(
      Json{{"health", names[static_cast<size_t>(worst(findings))]}, {"findings", list}});
}

}  // namespace repl::cli

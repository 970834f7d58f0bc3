#include "engine/apply/owners.h"

#include <grp.h>
#include <pwd.h>

#include <cerrno>
#include <vector>

namespace repl::apply {

namespace {

constexpr size_t record_bytes_first = 1024;
constexpr size_t record_bytes_max = 1 << 20;

std::optional<uint32_t> find_user(const std::string& name) {
  for (size_t size = record_bytes_first; size <= record_bytes_max; size *= 4) {
    std::vector<char> buffer(size);
    struct passwd record{};
    struct passwd* found = nullptr;
    if (::getpwnam_r(name.c_str(), &record, buffer.data(), size, &found) == ERANGE) continue;
    if (found != nullptr) return record.pw_uid;
    break;
  }
  return std::nullopt;
}

std::optional<uint32_t> find_group(const std::string& name) {
  for (size_t size = record_bytes_first; size <= record_bytes_max; size *= 4) {
    std::vector<char> buffer(size);
    struct group record{};
    struct group* found = nullptr;
    if (::getgrnam_r(name.c_str(), &record, buffer.data(), size, &found) == ERANGE) continue;
    if (found != nullptr) return record.gr_gid;
    break;
  }
  return std::nullopt;
}

}  // namespace

void Owners::map(Attributes& attr) {
  if (!attr.owner.empty()) {
    auto [user, fresh] = users_.try_emplace(attr.owner);
    if (fresh) user->second = find_user(attr.owner);
    if (user->second) attr.uid = *user->second;
  }
  if (!attr.group.empty()) {
    auto [group, fresh] = groups_.try_emplace(attr.group);
    if (fresh) group->second = find_group(attr.group);
    if (group->second) attr.gid = *group->second;
  }
}

void Owners::next_cut() {
  std::erase_if(users_, [](const auto& user) { return !user.second; });
  std::erase_if(groups_, [](const auto& group) { return !group.second; });
}

}  // namespace repl::apply

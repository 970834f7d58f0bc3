#include "engine/change/owner_names.h"

#include <grp.h>
#include <pwd.h>

#include <cerrno>
#include <vector>

namespace repl::change {

namespace {

constexpr size_t lookup_buffer_bytes = 16 * 1024;

template <typename Record, typename Lookup>
std::string name_of(uint32_t id, char* Record::* field, Lookup lookup) {
  std::vector<char> buffer(lookup_buffer_bytes);
  Record record{};
  Record* found = nullptr;
  int code = 0;
  while ((code = lookup(id, &record, buffer.data(), buffer.size(), &found)) == ERANGE) {
    buffer.resize(buffer.size() * 2);
  }
  if (code != 0 || found == nullptr) return "#" + std::to_string(id);
  return found->*field;
}

}  // namespace

const std::string& OwnerNames::user(uint32_t uid) {
  const auto [at, inserted] = users_.try_emplace(uid);
  if (inserted) at->second = name_of(uid, &::passwd::pw_name, getpwuid_r);
  return at->second;
}

const std::string& OwnerNames::group(uint32_t gid) {
  const auto [at, inserted] = groups_.try_emplace(gid);
  if (inserted) at->second = name_of(gid, &::group::gr_name, getgrgid_r);
  return at->second;
}

}  // namespace repl::change

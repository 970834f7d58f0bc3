// owner_names.h: uid → user name, gid → group name, for trees with ids = "name".
//
// Thread: one owner. Looked up once per id and process (getpwuid_r(3) may ask a directory server).
#pragma once

#include <cstdint>
#include <string>
#include <unordered_map>

namespace repl::change {

class OwnerNames {
 public:
  // The decimal number where the id has no name: it then travels as "#1234" and is the same
  // everywhere.
  [[nodiscard]] const std::string& user(uint32_t uid);
  [[nodiscard]] const std::string& group(uint32_t gid);

 private:
  std::unordered_map<uint32_t, std::string> users_;
  std::unordered_map<uint32_t, std::string> groups_;
};

}  // namespace repl::change

// owners.h: names of users and groups → this node's numbers, for trees with ids = "name".
//
// Thread: one owner. Found names are kept for life, missing ones until next_cut(). Source:
// getpwnam_r(3).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <unordered_map>

#include "engine/model/entry.h"

namespace repl::apply {

class Owners {
 public:
  // Sets attr.uid and attr.gid from attr.owner and attr.group where those are set and known here;
  // else the numbers that came stay.
  void map(Attributes& attr);
  void next_cut();

 private:
  std::unordered_map<std::string, std::optional<uint32_t>> users_;
  std::unordered_map<std::string, std::optional<uint32_t>> groups_;
};

}  // namespace repl::apply

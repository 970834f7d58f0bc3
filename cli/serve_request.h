// serve_request.h: what `repl serve --stdio` is to do, as one argument of hex digits, because ssh
// hands its arguments to a shell and no shell is ever given a file name.
//
// Thread: stateless.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/error.h"
#include "engine/model/filter.h"

namespace repl::cli {

struct ServeRequest {
  std::string tree;  // a configured tree of the far side; empty: a mirror session
  std::string root;  // mirror session: the directory that becomes the copy
  bool delete_extra = false;
  bool create_root = false;  // make the root if it is missing (not its parents)
  std::vector<FilterRule> rules;
  std::vector<std::string> only;
  bool ids_by_name = false;
};

// Hex digits alone. ErrorCode::limit if it would not fit one argument (execve(2): 128 KiB).
[[nodiscard]] Result<std::string> encode_serve_request(const ServeRequest& request);
// Total: anything malformed is ErrorCode::invalid.
[[nodiscard]] Result<ServeRequest> decode_serve_request(std::string_view hex);

}  // namespace repl::cli

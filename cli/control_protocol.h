// control_protocol.h: one JSON object per line between the commands and the daemon, over a Unix
// socket.
//
//   request   {"command":"wait","tree":"idm","options":{"for":"durable","timeout_ms":5000}}
//   replies   {"progress":{...}}                     any number
//             {"ok":true,"result":{...}}             or
//             {"ok":false,"error":"...","exit":N}    once, the last line
//
// A line is at most limits::control_request_bytes_max (requests) or control_reply_bytes_max
// (replies) long. Whatever the other side sends is validated here: malformed input is an Error,
// never an exception.
//
// Thread: values and stateless functions.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <variant>

#include "engine/base/error.h"

namespace repl::cli {

struct Request {
  std::string command;  // "status", "verify", "wait", "approve", ...
  std::string tree;
  // Flat: values are text, numbers in decimal, "true" or "false".
  std::map<std::string, std::string> options;

  [[nodiscard]] bool flag(const std::string& name) const;
  [[nodiscard]] uint64_t number(const std::string& name, uint64_t otherwise) const;
  [[nodiscard]] std::string text(const std::string& name, const std::string& otherwise = {}) const;
};

// `json` members hold one JSON value as text: "{...}".
struct ReplyProgress {
  std::string json;
};
struct ReplyDone {
  std::string json;
};
struct ReplyFailed {
  std::string error;  // a sentence for a person
  int exit = 1;       // ExitCode
};
using ReplyLine = std::variant<ReplyProgress, ReplyDone, ReplyFailed>;

// Lines without the newline.
[[nodiscard]] std::string encode(const Request& request);
[[nodiscard]] std::string encode(const ReplyLine& reply);
[[nodiscard]] Result<Request> decode_request(std::string_view line);
[[nodiscard]] Result<ReplyLine> decode_reply(std::string_view line);

// True for the commands that change nothing ("status", "wait", "role", ...): members of the group
// may send them.
[[nodiscard]] bool is_read_only(const Request& request);

}  // namespace repl::cli

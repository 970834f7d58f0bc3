// leaf.h: a checked, NUL-terminated leaf name, as the system calls of this layer want it. Internal
// to engine/io.
//
// Every function of fs_ops.h that takes a name builds one first: what is not a legal leaf ("..",
// "a/b", a name with a NUL, 256 bytes) never reaches the kernel.
#pragma once

#include <fmt/core.h>

#include <cerrno>
#include <cstring>
#include <string_view>

#include "engine/base/error.h"
#include "engine/base/escape.h"
#include "engine/model/key.h"

namespace repl::io {

class Leaf {
 public:
  explicit Leaf(std::string_view name) : ok_(is_legal_name(name)) {
    if (!ok_) return;
    std::memcpy(text_, name.data(), name.size());
    text_[name.size()] = '\0';
  }
  [[nodiscard]] bool ok() const { return ok_; }
  [[nodiscard]] const char* c_str() const { return text_; }

 private:
  bool ok_;
  char text_[limits::name_bytes_max + 1];
};

[[nodiscard]] inline std::unexpected<Error> fail_illegal(std::string_view name) {
  return fail(ErrorCode::invalid, fmt::format("'{}' is not a legal file name", escape(name)));
}

// Directly after a failed system call: "<operation> <escaped name>: <errno text>".
[[nodiscard]] inline std::unexpected<Error> fail_named(const char* operation,
                                                       std::string_view name) {
  const int saved = errno;
  return fail(sys_error(fmt::format("{} {}", operation, escape(name)), saved));
}

// Repeats a system call that a signal interrupted.
template <typename Call>
auto uninterrupted(Call call) {
  auto result = call();
  while (result < 0 && errno == EINTR) result = call();
  return result;
}

}  // namespace repl::io

// error.h: what an operating fault is, as a value.
//
// Faults of the world (a disk, a peer, a person's input) are values: an operation returns
// Result<T>, and the Error says what was tried, on what, why it failed, and what helps. Bugs are
// not errors; they are CHECKs (check.h). Exceptions of libraries are turned into Errors where the
// library is called.
//
// Thread: values, no shared state.
#pragma once

#include <cstdint>
#include <expected>
#include <string>
#include <string_view>

namespace repl {

// What class of fault it is: callers branch on this, never on the message.
enum class ErrorCode : uint8_t {
  io,             // the operating system refused; `sys_errno` says how
  not_found,      // the named thing does not exist (ENOENT, ESTALE)
  no_space,       // ENOSPC, EDQUOT
  not_permitted,  // EACCES, EPERM, EROFS
  changed,      // what we looked at is no longer what we saw (compare-and-swap lost, unstable read)
  invalid,      // malformed input from a person, a peer or a disk
  limit,        // a stated limit was reached
  protocol,     // a peer broke the protocol
  untrusted,    // identity or right missing
  unsupported,  // the kernel, filesystem or peer cannot do this
  closed,       // the other side went away
  timeout,
  internal,
};

// What to do about it, for the code that catches it (the message tells the person).
enum class Remedy : uint8_t { none, retry, reconnect, rescan, skip, hold };

struct Error {
  ErrorCode code = ErrorCode::internal;
  Remedy remedy = Remedy::none;
  int sys_errno = 0;    // 0 when no system call failed
  std::string message;  // a sentence for a person: operation, subject, reason, what to do next
};

template <typename T>
using Result = std::expected<T, Error>;
using Status = std::expected<void, Error>;

// `what` names operation and subject ("open /etc/repl/repl.toml"); the errno text is appended.
[[nodiscard]] Error sys_error(std::string_view what, int error_number);
[[nodiscard]] Error make_error(ErrorCode code, std::string message, Remedy remedy = Remedy::none);

[[nodiscard]] inline std::unexpected<Error> fail(Error error) {
  return std::unexpected<Error>(std::move(error));
}
[[nodiscard]] inline std::unexpected<Error> fail(ErrorCode code, std::string message,
                                                 Remedy remedy = Remedy::none) {
  return fail(make_error(code, std::move(message), remedy));
}
// For use directly after a failed system call: reads errno.
[[nodiscard]] std::unexpected<Error> fail_errno(std::string_view what);

}  // namespace repl

#include "engine/base/error.h"

#include <cerrno>
#include <cstring>

namespace repl {

namespace {

ErrorCode code_of(int error_number) {
  switch (error_number) {
    case ENOENT:
    case ESTALE:
    case ENOTDIR:
      return ErrorCode::not_found;
    case ENOSPC:
    case EDQUOT:
      return ErrorCode::no_space;
    case EACCES:
    case EPERM:
    case EROFS:
      return ErrorCode::not_permitted;
    case EOPNOTSUPP:
    case ENOSYS:
      return ErrorCode::unsupported;
    case ETIMEDOUT:
      return ErrorCode::timeout;
    case EPIPE:
    case ECONNRESET:
      return ErrorCode::closed;
    default:
      return ErrorCode::io;
  }
}

}  // namespace

Error sys_error(std::string_view what, int error_number) {
  char buffer[128];
  const char* text = strerror_r(error_number, buffer, sizeof buffer);
  return Error{.code = code_of(error_number),
               .remedy = Remedy::none,
               .sys_errno = error_number,
               .message = std::string(what) + ": " + text};
}

Error make_error(ErrorCode code, std::string message, Remedy remedy) {
  return Error{.code = code, .remedy = remedy, .sys_errno = 0, .message = std::move(message)};
}

std::unexpected<Error> fail_errno(std::string_view what) {
  const int saved = errno;
  return fail(sys_error(what, saved));
}

}  // namespace repl

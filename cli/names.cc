#include "cli/names.h"

namespace repl::cli {

const char* role_name(Role role) {
  switch (role) {
    case Role::primary:
      return "primary";
    case Role::secondary:
      return "secondary";
    case Role::none:
      break;
  }
  return "none";
}

const char* type_name(FileType type) {
  switch (type) {
    case FileType::regular:
      return "file";
    case FileType::directory:
      return "directory";
    case FileType::symlink:
      return "symlink";
    case FileType::fifo:
      return "fifo";
    case FileType::socket:
      return "socket";
    case FileType::char_device:
    case FileType::block_device:
      return "device";
    case FileType::none:
      break;
  }
  return "unknown";
}

}  // namespace repl::cli

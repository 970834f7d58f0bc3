// compare.h: is what is on disk what a record says?
//
// Thread: stateless. Nothing here follows a symlink or opens what is not a regular file.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "engine/base/error.h"
#include "engine/io/fs_ops.h"
#include "engine/model/entry.h"

namespace repl::apply {

enum class DirTimes : uint8_t { compare, ignore };

// The name of the first attribute that statx(2) shows different, or empty. xattrs, target, content:
// see below.
[[nodiscard]] std::string_view stat_difference(const Attributes& want, const io::Stat& have,
                                               DirTimes times);
// The same with xattrs (read from `fd`, which may be O_PATH).
[[nodiscard]] Result<std::string_view> fd_difference(const Attributes& want, int fd,
                                                     const io::Stat& have, DirTimes times);
// Everything, content included (read and hashed): the name of the first that differs, or empty. An
// object whose record has no digest is never equal.
[[nodiscard]] Result<std::string_view> object_difference(int dir, std::string_view name,
                                                         const io::Stat& have,
                                                         const Attributes& want);
[[nodiscard]] Result<bool> object_equals(int dir, std::string_view name, const io::Stat& have,
                                         const Attributes& want);

struct FileDigest {
  Digest digest;
  std::vector<Digest> blocks;
  uint64_t size = 0;
};
// Holes are skipped, not read.
[[nodiscard]] Result<FileDigest> digest_file(int fd);

enum class Present : uint8_t { absent, expected, incoming, other };
struct Look {
  Present present = Present::absent;
  io::Stat stat;
};
// What stands at (dir, name): what the index recorded (`expected`; ctime may also be `own_ctime`,
// which apply itself caused), what the cut brings (`incoming`), nothing, or something else. Either
// record may be null.
[[nodiscard]] Result<Look> look(int dir, std::string_view name, const Entry* expected,
                                const Timestamp* own_ctime, const Attributes* incoming);

// For use after a rename, which itself changed the ctime: is this the object that was seen as
// `before`?
[[nodiscard]] bool same_object(const io::Stat& before, const io::Stat& after);

// Faults of the whole receiver (full disk, bad disk, read-only, out of descriptors or memory),
// against those of one key.
[[nodiscard]] bool concerns_everything(const Error& error);
// The same, to be tried again, and what a person can do meanwhile.
[[nodiscard]] Error tried_again(Error error);

}  // namespace repl::apply

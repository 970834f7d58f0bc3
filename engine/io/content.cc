#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "engine/io/fs_ops.h"
#include "engine/io/leaf.h"

namespace repl::io {

Result<size_t> read_at(int fd, uint64_t offset, char* buffer, size_t size) {
  size_t done = 0;
  while (done < size) {
    const ssize_t got = uninterrupted(
        [&] { return ::pread(fd, buffer + done, size - done, static_cast<off_t>(offset + done)); });
    if (got < 0) return fail_errno("read");
    if (got == 0) break;
    done += static_cast<size_t>(got);
  }
  return done;
}

void drop_cached(int fd) { ::posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED); }

Status write_at(int fd, uint64_t offset, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t put = uninterrupted(
        [&] { return ::pwrite(fd, bytes.data(), bytes.size(), static_cast<off_t>(offset)); });
    if (put < 0) return fail_errno("write");
    if (put == 0) return fail(sys_error("write", EIO));
    offset += static_cast<uint64_t>(put);
    bytes.remove_prefix(static_cast<size_t>(put));
  }
  return {};
}

Status truncate(int fd, uint64_t size) {
  if (uninterrupted([&] { return ::ftruncate(fd, static_cast<off_t>(size)); }) != 0) {
    return fail_errno("truncate");
  }
  return {};
}

Result<DataRange> next_data(int fd, uint64_t offset, uint64_t size) {
  if (offset >= size) return DataRange{.start = size, .end = size};
  const off_t data = ::lseek(fd, static_cast<off_t>(offset), SEEK_DATA);
  if (data < 0) {
    if (errno == ENXIO) return DataRange{.start = size, .end = size};
    // The filesystem does not know its holes: all is data.
    if (errno == EINVAL || errno == EOPNOTSUPP) return DataRange{.start = offset, .end = size};
    return fail_errno("look for data");
  }
  if (static_cast<uint64_t>(data) >= size) return DataRange{.start = size, .end = size};
  const off_t hole = ::lseek(fd, data, SEEK_HOLE);
  // RACE: truncated between the two calls: the reader finds the end by itself.
  if (hole < 0 && errno != ENXIO) return fail_errno("look for a hole");
  const uint64_t end = hole < 0 ? size : std::min(size, static_cast<uint64_t>(hole));
  return DataRange{.start = static_cast<uint64_t>(data), .end = end};
}

}  // namespace repl::io

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>

#include "engine/io/fs_ops.h"
#include "engine/io/leaf.h"

namespace repl::io {

namespace {

constexpr size_t copy_buffer_bytes = 256 * 1024;

std::unexpected<Error> fail_source_ended() {
  return fail(ErrorCode::changed, "the source of a copy is shorter than it was", Remedy::retry);
}

// FICLONERANGE takes block-aligned ranges (the last may end at the end of the source); length 0
// would mean "to the end".
bool clone_range(int from, uint64_t from_offset, int to, uint64_t to_offset, uint64_t length) {
  struct file_clone_range range{
      .src_fd = from, .src_offset = from_offset, .src_length = length, .dest_offset = to_offset};
  return ::ioctl(to, FICLONERANGE, &range) == 0;
}

Status copy_through_memory(int from, uint64_t from_offset, int to, uint64_t to_offset,
                           uint64_t length) {
  const auto buffer = std::make_unique_for_overwrite<char[]>(copy_buffer_bytes);
  while (length > 0) {
    const size_t want = std::min<uint64_t>(length, copy_buffer_bytes);
    const Result<size_t> got = read_at(from, from_offset, buffer.get(), want);
    if (!got) return fail(got.error());
    if (*got == 0) return fail_source_ended();
    if (Status written = write_at(to, to_offset, {buffer.get(), *got}); !written) return written;
    from_offset += *got;
    to_offset += *got;
    length -= *got;
  }
  return {};
}

bool copy_file_range_refuses(int error_number) {
  return error_number == EXDEV || error_number == EINVAL || error_number == ENOSYS ||
         error_number == EOPNOTSUPP || error_number == EPERM;
}

}  // namespace

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

Result<CopyHow> copy_range(int from, uint64_t from_offset, int to, uint64_t to_offset,
                           uint64_t length) {
  if (length == 0) return CopyHow::copied;
  if (clone_range(from, from_offset, to, to_offset, length)) return CopyHow::cloned;
  while (length > 0) {
    auto in = static_cast<off64_t>(from_offset);
    auto out = static_cast<off64_t>(to_offset);
    const ssize_t done =
        uninterrupted([&] { return ::copy_file_range(from, &in, to, &out, length, 0); });
    if (done == 0) return fail_source_ended();
    if (done < 0) {
      if (!copy_file_range_refuses(errno)) return fail_errno("copy a range");
      if (Status copied = copy_through_memory(from, from_offset, to, to_offset, length); !copied) {
        return fail(copied.error());
      }
      break;
    }
    from_offset += static_cast<uint64_t>(done);
    to_offset += static_cast<uint64_t>(done);
    length -= static_cast<uint64_t>(done);
  }
  return CopyHow::copied;
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

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

Result<uint64_t> size_of(int fd) {
  struct stat st{};
  if (::fstat(fd, &st) != 0) return fail_errno("stat an open file");
  return static_cast<uint64_t>(st.st_size);
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

Status copy_data(int from, uint64_t from_offset, int to, uint64_t to_offset, uint64_t length) {
  while (length > 0) {
    auto in = static_cast<off64_t>(from_offset);
    auto out = static_cast<off64_t>(to_offset);
    const ssize_t done =
        uninterrupted([&] { return ::copy_file_range(from, &in, to, &out, length, 0); });
    if (done == 0) return fail_source_ended();
    if (done < 0) {
      if (!copy_file_range_refuses(errno)) return fail_errno("copy a range");
      return copy_through_memory(from, from_offset, to, to_offset, length);
    }
    from_offset += static_cast<uint64_t>(done);
    to_offset += static_cast<uint64_t>(done);
    length -= static_cast<uint64_t>(done);
  }
  return {};
}

Status write_zeros(int fd, uint64_t offset, uint64_t length) {
  const auto zeros = std::make_unique<char[]>(copy_buffer_bytes);
  while (length > 0) {
    const size_t piece = std::min<uint64_t>(length, copy_buffer_bytes);
    if (Status written = write_at(fd, offset, {zeros.get(), piece}); !written) return written;
    offset += piece;
    length -= piece;
  }
  return {};
}

}  // namespace

Result<bool> clone_file(int from, int to) {
  if (uninterrupted([&] { return ::ioctl(to, FICLONE, from); }) == 0) return true;
  switch (errno) {
    case EOPNOTSUPP:  // no reflinks here
    case ENOTTY:
    case ENOSYS:
    case EXDEV:
    case EINVAL:  // not these two files: other flags (nodatacow), a swap file
    case EPERM:
    case ETXTBSY:
      return false;
    default:
      return fail_errno("clone a file");
  }
}

Status make_hole(int fd, uint64_t offset, uint64_t length) {
  const Result<uint64_t> size = size_of(fd);
  if (!size) return fail(size.error());
  if (offset < *size) {
    const uint64_t within = std::min(length, *size - offset);
    const int punched = uninterrupted([&] {
      return ::fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, static_cast<off_t>(offset),
                         static_cast<off_t>(within));
    });
    if (punched != 0) {
      if (errno != EOPNOTSUPP && errno != ENOSYS) return fail_errno("punch a hole");
      if (Status zeros = write_zeros(fd, offset, within); !zeros) return zeros;
    }
  }
  return offset + length > *size ? truncate(fd, offset + length) : Status();
}

Result<CopyHow> copy_range(int from, uint64_t from_offset, int to, uint64_t to_offset,
                           uint64_t length) {
  if (length == 0) return CopyHow::copied;
  if (clone_range(from, from_offset, to, to_offset, length)) return CopyHow::cloned;
  const Result<uint64_t> size = size_of(from);
  if (!size) return fail(size.error());
  const uint64_t end = from_offset + length;
  if (end < from_offset || end > *size) return fail_source_ended();
  for (uint64_t at = from_offset; at < end;) {
    const Result<DataRange> data = next_data(from, at, end);
    if (!data) return fail(data.error());
    const uint64_t start = std::min(data->start, end);
    if (start > at) {
      if (Status hole = make_hole(to, to_offset + (at - from_offset), start - at); !hole)
        return fail(hole.error());
    }
    const uint64_t until = std::min(std::max(data->end, start), end);
    const Status copied =
        copy_data(from, start, to, to_offset + (start - from_offset), until - start);
    if (!copied) return fail(copied.error());
    at = until;
  }
  return CopyHow::copied;
}

}  // namespace repl::io

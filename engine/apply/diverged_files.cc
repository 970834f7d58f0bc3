#include "engine/apply/diverged_files.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <ctime>

#include "engine/io/fs_ops.h"

namespace repl::apply::diverged {

namespace {

constexpr int64_t unix_seconds_max = 253'402'300'799;  // the end of the year 9999

bool all_digits(std::string_view text) {
  return !text.empty() && std::ranges::all_of(text, [](char c) { return c >= '0' && c <= '9'; });
}

}  // namespace

std::string id_of(int64_t unix_seconds) {
  const auto time =
      static_cast<std::time_t>(std::clamp<int64_t>(unix_seconds, 0, unix_seconds_max));
  return fmt::format("{:%Y%m%dT%H%M%SZ}", fmt::gmtime(time));
}

bool is_store_id(std::string_view name) {
  constexpr size_t size = std::string_view("YYYYMMDDTHHMMSSZ").size();
  if (name.size() < size) return false;
  const bool is_time = all_digits(name.substr(0, 8)) && name[8] == 'T' &&
                       all_digits(name.substr(9, 6)) && name[15] == 'Z';
  const std::string_view rest = name.substr(size);
  return is_time && (rest.empty() || (rest[0] == '-' && all_digits(rest.substr(1))));
}

std::string object_name(uint64_t number) { return fmt::format("{:x}", number); }

std::optional<uint64_t> number_of(std::string_view object) {
  uint64_t number = 0;
  const char* end = object.data() + object.size();
  const auto parsed = std::from_chars(object.data(), end, number, 16);
  if (parsed.ec != std::errc{} || parsed.ptr != end || number == 0 || number == UINT64_MAX)
    return std::nullopt;
  return number;
}

Result<std::string> read_file(int fd) {
  const Result<io::Stat> stat = io::stat_fd(fd);
  if (!stat) return fail(stat.error());
  std::string bytes(stat->attr.size, '\0');
  const Result<size_t> got = io::read_at(fd, 0, bytes.data(), bytes.size());
  if (!got) return fail(got.error());
  bytes.resize(*got);
  return bytes;
}

Result<Manifest> read_manifest(int stores, std::string_view id) {
  const Result<Fd> dir = io::open_dir(stores, id);
  if (!dir) return fail(dir.error());
  const Result<Fd> file = io::open_read(dir->get(), manifest_name);
  if (!file && file.error().code == ErrorCode::not_found) return Manifest{};
  if (!file) return fail(file.error());
  const Result<std::string> bytes = read_file(file->get());
  if (!bytes) return fail(bytes.error());
  return decode_manifest(*bytes);
}

Status place_over(int dir, std::string_view from, std::string_view to) {
  const Status placed = io::rename_noreplace(dir, from, dir, to);
  if (placed || placed.error().sys_errno != EEXIST) return placed;
  const Status exchanged = io::rename_exchange(dir, from, dir, to);
  return exchanged ? io::unlink_at(dir, from) : exchanged;
}

}  // namespace repl::apply::diverged

#include "engine/index/lmdb_env.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <lmdb.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <thread>

#include "engine/base/limits.h"

namespace repl {

namespace {

// With less than this left an EIO of a commit is taken for what it is nearly always: a short write.
constexpr uint64_t disk_full_bytes = 16ull << 20;

constexpr size_t key_bytes_max = 511;  // LMDB's, as Debian builds it

MDB_val to_val(std::string_view bytes) {
  return MDB_val{.mv_size = bytes.size(), .mv_data = const_cast<char*>(bytes.data())};
}
std::string_view to_view(const MDB_val& value) {
  return {static_cast<const char*>(value.mv_data), value.mv_size};
}
Status sync_directory(const std::string& path) {
  const Fd fd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd.valid() || ::fsync(fd.get()) != 0) return fail_errno("sync the directory " + path);
  return {};
}

int clear_table(MDB_txn* txn, MDB_dbi dbi, Table table) {
  MDB_cursor* cursor = nullptr;
  int code = mdb_cursor_open(txn, dbi, &cursor);
  if (code != 0) return code;
  const std::string prefix = env_key(table, {});
  MDB_val key = to_val(prefix);
  MDB_val value{};
  code = mdb_cursor_get(cursor, &key, &value, MDB_SET_RANGE);
  while (code == 0 && to_view(key).starts_with(prefix)) {
    code = mdb_cursor_del(cursor, 0);
    // After a deletion MDB_NEXT is the pair that took its place.
    if (code == 0) code = mdb_cursor_get(cursor, &key, &value, MDB_NEXT);
  }
  mdb_cursor_close(cursor);
  return code == MDB_NOTFOUND ? 0 : code;
}

int write_table(MDB_txn* txn, MDB_dbi dbi, Table table, const Overlay& overlay) {
  if (overlay.cleared(table)) {
    if (const int code = clear_table(txn, dbi, table); code != 0) return code;
  }
  std::string bytes;
  for (const auto& [key, value] : overlay.map(table)) {
    bytes.assign(1, static_cast<char>(table)).append(key);
    MDB_val k = to_val(bytes);
    if (value) {
      MDB_val v = to_val(*value);
      if (const int code = mdb_put(txn, dbi, &k, &v, 0); code != 0) return code;
    } else if (const int code = mdb_del(txn, dbi, &k, nullptr); code != 0 && code != MDB_NOTFOUND) {
      return code;
    }
  }
  return 0;
}

}  // namespace

std::string env_key(Table table, std::string_view key) {
  std::string bytes;
  bytes.reserve(1 + key.size());
  bytes.push_back(static_cast<char>(table));
  return bytes.append(key);
}

LmdbEnv::LmdbEnv(std::string directory, size_t map_bytes)
    : directory_(std::move(directory)), map_bytes_(map_bytes) {}

LmdbEnv::~LmdbEnv() { close_env(); }

Result<std::unique_ptr<LmdbEnv>> LmdbEnv::open(const std::string& directory, size_t map_bytes) {
  if (::mkdir(directory.c_str(), 0700) == 0) {
    const size_t slash = directory.find_last_of('/');
    const std::string parent = slash == std::string::npos ? "." : directory.substr(0, slash + 1);
    if (Status synced = sync_directory(parent); !synced) return fail(synced.error());
  } else if (errno != EEXIST) {
    return fail_errno("create the index directory " + directory);
  }
  std::unique_ptr<LmdbEnv> env(new LmdbEnv(directory, map_bytes));
  if (Status owned = env->take_ownership(); !owned) return fail(owned.error());
  if (Status opened = env->open_env(); !opened) return fail(opened.error());
  if (Status synced = sync_directory(directory); !synced) return fail(synced.error());
  return env;
}

Status LmdbEnv::take_ownership() {
  const std::string path = directory_ + "/owner";
  owner_ = Fd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!owner_.valid()) return fail_errno("open " + path);
  const auto until =
      std::chrono::steady_clock::now() + std::chrono::milliseconds(limits::index_lock_ms_max);
  int locked = ::flock(owner_.get(), LOCK_EX | LOCK_NB);
  while (locked != 0 && errno == EWOULDBLOCK && std::chrono::steady_clock::now() < until) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
    locked = ::flock(owner_.get(), LOCK_EX | LOCK_NB);
  }
  if (locked != 0) {
    if (errno != EWOULDBLOCK) return fail_errno("lock " + path);
    char text[32] = {};
    const ssize_t size = ::pread(owner_.get(), text, sizeof text - 1, 0);
    std::string pid(text, size > 0 ? static_cast<size_t>(size) : 0);
    while (!pid.empty() && pid.back() == '\n') pid.pop_back();
    return fail(ErrorCode::not_permitted,
                fmt::format("the index {} is already in use by pid {}; stop that process first",
                            directory_, pid.empty() ? "(unknown)" : pid));
  }
  // For the message above only, so a full disk must not keep the index from being opened.
  const std::string pid = fmt::format("{}\n", ::getpid());
  if (::ftruncate(owner_.get(), 0) == 0) {
    [[maybe_unused]] const ssize_t written = ::pwrite(owner_.get(), pid.data(), pid.size(), 0);
  }
  return {};
}

Status LmdbEnv::open_env() {
  int code = mdb_env_create(&env_);
  if (code == 0) code = mdb_env_set_mapsize(env_, map_bytes_);
  if (code == 0) code = mdb_env_open(env_, directory_.c_str(), MDB_NOTLS, 0600);
  MDB_txn* txn = nullptr;
  MDB_dbi dbi = 0;
  if (code == 0) code = mdb_txn_begin(env_, nullptr, MDB_RDONLY, &txn);
  if (code == 0) code = mdb_dbi_open(txn, nullptr, 0, &dbi);
  if (code == 0) {
    code = mdb_txn_commit(txn);
  } else if (txn != nullptr) {
    mdb_txn_abort(txn);
  }
  if (code == 0) {
    MDB_envinfo info{};
    code = mdb_env_info(env_, &info);
    map_bytes_ = info.me_mapsize;
    dbi_ = dbi;
  }
  if (code == 0) return {};
  close_env();
  return fail(explain("open", code));
}

void LmdbEnv::close_env() {
  if (read_ != nullptr) mdb_txn_abort(read_);
  read_ = nullptr;
  reading_ = false;
  if (env_ != nullptr) mdb_env_close(env_);
  env_ = nullptr;
}

Error LmdbEnv::damage(std::string_view what) const {
  return make_error(ErrorCode::invalid,
                    fmt::format("the index {}/data.mdb is damaged ({}): stop repl and delete the "
                                "directory {}; the node then compares with its peers in full",
                                directory_, what, directory_),
                    Remedy::hold);
}

Error LmdbEnv::explain(std::string_view what, int code) const {
  const std::string subject = fmt::format("{} the index {}/data.mdb", what, directory_);
  if (code == MDB_CORRUPTED || code == MDB_PAGE_NOTFOUND || code == MDB_INVALID ||
      code == MDB_VERSION_MISMATCH || code == MDB_BAD_VALSIZE) {
    return damage(mdb_strerror(code));
  }
  if (code < 0) {
    return make_error(ErrorCode::io, fmt::format("{}: {}", subject, mdb_strerror(code)),
                      Remedy::retry);
  }
  Error error = sys_error(subject, code);
  error.remedy = Remedy::retry;
  struct statvfs space{};
  if (code == EIO && ::statvfs(directory_.c_str(), &space) == 0 &&
      space.f_bavail * space.f_frsize < disk_full_bytes) {
    error.code = ErrorCode::no_space;
    error.message += " (the disk is full: free some space, it is tried again)";
  }
  return error;
}

bool LmdbEnv::begin_read() {
  if (reading_) return true;
  if (env_ == nullptr) return false;
  const int code =
      read_ == nullptr ? mdb_txn_begin(env_, nullptr, MDB_RDONLY, &read_) : mdb_txn_renew(read_);
  reading_ = code == 0;
  if (!reading_ && !fault_) fault_ = explain("read", code);
  return reading_;
}

std::optional<std::string> LmdbEnv::get(std::string_view key) {
  // A name from a peer may be of any length; what cannot be stored is not there.
  if (key.empty() || key.size() > key_bytes_max) return std::nullopt;
  const std::lock_guard lock(mutex_);
  if (!begin_read()) return std::nullopt;
  MDB_val k = to_val(key);
  MDB_val value{};
  const int code = mdb_get(read_, dbi_, &k, &value);
  if (code == 0) return std::string(to_view(value));
  if (code != MDB_NOTFOUND && !fault_) fault_ = explain("read", code);
  return std::nullopt;
}

void LmdbEnv::read_range(std::string_view from, std::string_view prefix, size_t limit,
                         std::vector<KeyValue>& out) {
  const std::lock_guard lock(mutex_);
  if (!begin_read()) return;
  MDB_cursor* cursor = nullptr;
  int code = mdb_cursor_open(read_, dbi_, &cursor);
  if (code == 0) {
    // No stored key is longer, so the rest of `from` tells nothing.
    MDB_val key = to_val(from.substr(0, key_bytes_max));
    MDB_val value{};
    code = mdb_cursor_get(cursor, &key, &value, from.empty() ? MDB_FIRST : MDB_SET_RANGE);
    for (; code == 0 && limit > 0 && to_view(key).starts_with(prefix); --limit) {
      out.emplace_back(to_view(key), to_view(value));
      code = mdb_cursor_get(cursor, &key, &value, MDB_NEXT);
    }
    mdb_cursor_close(cursor);
  }
  if (code != 0 && code != MDB_NOTFOUND && !fault_) fault_ = explain("read", code);
}

void LmdbEnv::refresh() {
  const std::lock_guard lock(mutex_);
  if (reading_) mdb_txn_reset(read_);
  reading_ = false;
}

int LmdbEnv::write_once(const Overlay& overlay) {
  MDB_txn* txn = nullptr;
  int code = mdb_txn_begin(env_, nullptr, 0, &txn);
  if (code != 0) return code;
  for (size_t t = 0; t < table_count && code == 0; ++t) {
    code = write_table(txn, dbi_, static_cast<Table>(t), overlay);
  }
  if (code != 0) {
    mdb_txn_abort(txn);
    return code;
  }
  return mdb_txn_commit(txn);
}

Status LmdbEnv::grow() {
  const std::lock_guard lock(mutex_);
  // RACE: the owner may be between two reads with its transaction open; the next one renews it.
  // What it sees then may be newer by a commit, which the frozen overlay in front of it holds as
  // well.
  if (reading_) mdb_txn_reset(read_);
  reading_ = false;
  const int code = mdb_env_set_mapsize(env_, map_bytes_ * 2);
  if (code != 0) return fail(explain("grow", code));
  map_bytes_ *= 2;
  return {};
}

Status LmdbEnv::reopen() {
  const std::lock_guard lock(mutex_);
  close_env();
  return open_env();
}

Status LmdbEnv::commit(const Overlay& overlay) {
  if (Status healthy = fault(); !healthy) return healthy;
  if (env_ == nullptr) {
    if (Status opened = reopen(); !opened) return opened;
  }
  bool reopened = false;
  for (;;) {
    const int code = write_once(overlay);
    if (code == 0) return {};
    if (code == MDB_MAP_FULL) {
      if (Status grown = grow(); !grown) return grown;
    } else if (code == MDB_PANIC && !reopened) {
      // An earlier write of a meta page failed (full disk): LMDB wants a new environment.
      reopened = true;
      if (Status opened = reopen(); !opened) return opened;
    } else {
      return fail(explain("commit to", code));
    }
  }
}

Status LmdbEnv::fault() const {
  const std::lock_guard lock(mutex_);
  if (fault_) return fail(*fault_);
  return {};
}

void LmdbEnv::set_fault(std::string_view what) {
  const std::lock_guard lock(mutex_);
  if (!fault_) fault_ = damage(what);
}

size_t LmdbEnv::map_bytes() const {
  const std::lock_guard lock(mutex_);
  return map_bytes_;
}

}  // namespace repl

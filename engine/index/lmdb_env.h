// lmdb_env.h: one LMDB environment of one process, that grows, and that says what is wrong with it.
//
// No MDB_WRITEMAP (SIGBUS on a full disk) and no MDB_NOSYNC: a commit that returned is on disk. The
// directory holds LMDB's data.mdb and lock.mdb, and `owner`, a file that the one process which has
// the index open keeps locked with flock(2).
//
// Thread: read and refresh from the owner, commit from one other thread at a time. Reads go through
// one read transaction (MDB_NOTLS) that stays open between calls and is renewed by refresh(); a
// mutex keeps it apart from growing the map, which LMDB allows only while no transaction of the
// process is open.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/base/error.h"
#include "engine/base/fd.h"
#include "engine/index/overlay.h"

struct MDB_env;
struct MDB_txn;

namespace repl {

// A key of the unnamed database: the table's number, then the key.
[[nodiscard]] std::string env_key(Table table, std::string_view key);

using KeyValue = std::pair<std::string, std::string>;

class LmdbEnv {
 public:
  [[nodiscard]] static Result<std::unique_ptr<LmdbEnv>> open(const std::string& directory,
                                                             size_t map_bytes);
  ~LmdbEnv();
  LmdbEnv(const LmdbEnv&) = delete;
  LmdbEnv& operator=(const LmdbEnv&) = delete;

  // Nothing for an absent key, and for one that cannot be read (then fault() is set).
  [[nodiscard]] std::optional<std::string> get(std::string_view key);
  // Appends at most `limit` pairs with keys >= from that begin with `prefix`.
  void read_range(std::string_view from, std::string_view prefix, size_t limit,
                  std::vector<KeyValue>& out);
  // Later reads see what was committed since.
  void refresh();

  // One synced transaction, keys in order. A full map grows by doubling, as often as it takes. On
  // error nothing was written; the same overlay can be committed again.
  [[nodiscard]] Status commit(const Overlay& overlay);

  // The first failed read or undecodable record: from then on commit() refuses.
  [[nodiscard]] Status fault() const;
  void set_fault(std::string_view what);
  [[nodiscard]] size_t map_bytes() const;
  // What to say about a record of this index that cannot be used.
  [[nodiscard]] Error damage(std::string_view what) const;

 private:
  LmdbEnv(std::string directory, size_t map_bytes);
  [[nodiscard]] Status take_ownership();
  [[nodiscard]] Status open_env();
  void close_env();
  [[nodiscard]] int write_once(const Overlay& overlay);
  [[nodiscard]] Status grow();
  [[nodiscard]] Status reopen();
  [[nodiscard]] bool begin_read();
  [[nodiscard]] Error explain(std::string_view what, int code) const;

  const std::string directory_;
  size_t map_bytes_;  // under mutex_
  Fd owner_;
  mutable std::mutex mutex_;  // env_, read_, fault_; not held while a transaction writes
  MDB_env* env_ = nullptr;
  MDB_txn* read_ = nullptr;
  bool reading_ = false;  // read_ is not reset
  unsigned dbi_ = 0;
  std::optional<Error> fault_;
};

}  // namespace repl

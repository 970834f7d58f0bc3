// index.h: the durable record of what each key was when last known, with fingerprints and the log
// of changes.
//
// Mutations go to an in-memory overlay at once (reads see them) and become durable when the overlay
// that holds them has been frozen and committed, on another thread, in one LMDB transaction
// (store.h). So an engine never waits for a disk, and a crash loses whole frozen batches from the
// end, never a part of one.
//
// Invariants: (1) a directory's two fingerprints are the sums over its children, kept with every
// put and remove, up to the root; (2) the log of changes holds each key once, under the cut that
// last changed it; (3) inode → keys holds exactly the keys of live entries; (4) a directory id has
// one place.
//
// Thread: one owner for everything but commit() (the committer's thread).
// Layout: docs/INDEX_FORMAT.md.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/error.h"
#include "engine/base/limits.h"
#include "engine/model/dir_parents.h"
#include "engine/model/entry.h"
#include "engine/model/key.h"
#include "engine/model/position.h"

namespace repl {

struct DirSummary {
  Key place;            // root_key for the root
  Fingerprint content;  // sum over the children, the directory's own record not included
  Fingerprint identity;
  uint64_t children = 0;  // direct
  uint64_t unknown = 0;   // regular files below (any depth) whose content digest is not known yet
};

struct IndexCounts {
  uint64_t entries = 0;
  uint64_t directories = 0;
  uint64_t bytes = 0;  // sum of regular files' sizes
  uint64_t tombstones = 0;
};

struct Change {
  Key key;
  CutNumber cut;
  bool removed = false;  // a tombstone: there is no entry
};

struct IndexOptions {
  size_t map_bytes = limits::index_map_bytes_min;  // to begin with; grows by doubling
  uint64_t tombstones_max = limits::tombstones_max;
};

class Index final : public DirParents {
 public:
  // Opens or creates the environment `directory` (mode 0700; its parent exists). A file of a newer
  // format, of another tree (seed), or a damaged one is an Error that says what to do, as is an
  // index that another process has open.
  [[nodiscard]] static Result<std::unique_ptr<Index>> open(const std::string& directory,
                                                           uint64_t seed,
                                                           const IndexOptions& options = {});
  ~Index() override;

  // --- reading: overlay and disk as one ---
  [[nodiscard]] std::optional<Entry> get(const Key& key) const;
  [[nodiscard]] bool contains(const Key& key) const;
  // In name order (memcmp). Returning false stops. The index must not be changed meanwhile.
  void for_children(DirId dir,
                    const std::function<bool(std::string_view, const Entry&)>& each) const;
  // The first `limit` children whose name is greater than `after`.
  [[nodiscard]] std::vector<std::pair<std::string, Entry>> children_after(DirId dir,
                                                                          std::string_view after,
                                                                          size_t limit) const;
  [[nodiscard]] std::optional<Place> place_of(DirId dir) const override;
  [[nodiscard]] std::optional<DirSummary> summary(DirId dir) const;
  [[nodiscard]] std::optional<DirId> dir_of_handle(std::string_view handle) const;
  [[nodiscard]] std::vector<Key> keys_of_inode(uint64_t inode) const;
  [[nodiscard]] std::vector<Key> keys_of_link(LinkId link) const;
  // Keys whose regular content has this digest (only contents of one block or more are kept), at
  // most `limit`.
  [[nodiscard]] std::vector<Key> keys_of_content(const Digest& content, size_t limit) const;
  // Keys of a known content of this size, at most `limit`; only contents beyond
  // limits::inline_bytes_max are found so.
  [[nodiscard]] std::vector<Key> keys_of_size(uint64_t size, size_t limit) const;
  [[nodiscard]] std::optional<std::vector<Digest>> block_table(const Digest& content) const;
  // The rolling signature (delta/signature.h) that was kept; nothing if it is damaged.
  [[nodiscard]] std::optional<std::string> signature(const Digest& content) const;
  // Path of a key below the root, components joined by '/'; empty for the root; nothing if not
  // placed.
  [[nodiscard]] std::optional<std::string> path_of(const Key& key) const;
  [[nodiscard]] std::optional<Key> key_of_path(std::string_view path) const;
  // The root's own record included.
  [[nodiscard]] Fingerprint root_content() const;
  [[nodiscard]] Fingerprint root_identity() const;
  [[nodiscard]] IndexCounts counts() const;
  // Hash of a live entry with the present sum of its children, as fingerprints use it.
  [[nodiscard]] std::optional<Bits128> content_hash(const Key& key) const;
  [[nodiscard]] std::optional<Bits128> identity_hash(const Key& key) const;

  // --- changing ---
  // Sets the record. A directory whose id hangs elsewhere is moved with everything below it (its
  // record under the old key goes, with a tombstone). A directory that is replaced by another type
  // or id goes with all it holds. entry.cut is logged (cut 0, "before the first", is not). The
  // root's record is a directory, and its attr.dir becomes root_dir. False, and nothing changed:
  // the name is not legal, key.dir is unknown, the type is none, a directory has no id or the
  // root's, or it would hang below itself or too deep (limits::index_depth_max).
  bool put(const Key& key, const Entry& entry);
  // False if put() would refuse to hang `dir` there. Of two directories that change places within
  // each other, detach one first.
  [[nodiscard]] bool can_move(DirId dir, DirId new_parent) const;
  // A directory leaves its place and keeps what is in it, until put() hangs it somewhere: so
  // several directories can change places in any order. Its former key is vacant at once; the
  // tombstone is written by the put() that places it, under that entry's cut, if the key is still
  // vacant then. While a directory is detached its id is known, its path is not, and freeze() gives
  // nothing. False: unknown, the root, or detached already.
  bool detach_dir(DirId dir);
  // What was detached and not placed again is removed, with all it holds; tombstones under `cut`.
  void remove_detached(CutNumber cut);
  // Like put, but for what is only this node's own (ctime, inode, handle): nothing is logged, no
  // cut changes.
  void put_local(const Key& key, const LocalStat& local);
  // With everything below; one tombstone under `cut` for the key itself.
  void remove(const Key& key, CutNumber cut);
  // Without a tombstone: the key was never ours, or left the filter.
  void forget(const Key& key);
  // A content digest became known (or is known no longer: unset), and the size it was read with;
  // nothing is logged. Without effect on what is not a regular file.
  void set_content(const Key& key, const Digest& content, uint64_t size);
  // The primary's id takes the place of the local one, below and in every reference; nothing is
  // logged. If `to` is another directory's, that one takes `from`: so ids that are swapped or
  // permuted come right, one directory a call. O(direct children). False: `from` is unknown,
  // detached or the root, or `to` is unset, the root's or a detached directory's.
  bool adopt_dir_id(DirId from, DirId to);
  // Nothing is logged.
  void set_link(const Key& key, LinkId link, uint32_t link_names);
  // Kept while a key has the content. Before any has, and after the last one had it, it is
  // remembered in memory (keyless_contents.h). A table of one block, or whose digest is not
  // `content`, is not kept.
  void put_block_table(const Digest& content, const std::vector<Digest>& blocks);
  // Likewise, but only of a content that a key has. At most limits::signature_bytes_max.
  void put_signature(const Digest& content, std::string_view signature);
  // Every entry, tombstone and table; meta stays. The log then starts at the highest cut it knew.
  void clear();

  // --- the log of changes ---
  // Keys changed after `since`, in cut order (within a cut in no useful order); false if the log
  // does not reach back that far (compare in full). Returning false stops. The index must not be
  // changed meanwhile.
  [[nodiscard]] bool changes_since(CutNumber since,
                                   const std::function<bool(const Change&)>& each) const;
  // Tombstones at or below `cut` are no longer needed by anybody; the log starts behind the last
  // one dropped. More than limits::tombstones_max of them are trimmed without being asked, oldest
  // cuts first.
  void trim_log(CutNumber cut);
  // Forget what the log knows at or below `cut`: peers below it are compared in full.
  void raise_log_start(CutNumber cut);
  [[nodiscard]] CutNumber log_start() const;

  // --- small durable state of other layers (role, peers, holds), by name ---
  [[nodiscard]] std::optional<std::string> meta(std::string_view name) const;
  // Names of 1..limits::index_meta_name_bytes_max bytes (checked).
  void put_meta(std::string_view name, std::string_view value);
  void remove_meta(std::string_view name);
  void for_meta(std::string_view prefix,
                const std::function<void(std::string_view, std::string_view)>& each) const;

  // --- durability ---
  struct Batch;                          // a frozen overlay
  [[nodiscard]] size_t pending() const;  // keys in overlays that are not committed
  [[nodiscard]] bool commit_in_flight() const;
  [[nodiscard]] std::shared_ptr<Batch> in_flight() const;  // null: none is
  // Freezes the overlay. At most one batch is in flight: nothing while one is, when nothing is
  // pending, or while a directory is detached.
  [[nodiscard]] std::shared_ptr<Batch> freeze();
  // From the committer's thread: one LMDB transaction, synced. On error the batch stays frozen:
  // commit again.
  [[nodiscard]] Status commit(const std::shared_ptr<Batch>& batch);
  // From the owner, after a successful commit.
  void committed(const std::shared_ptr<Batch>& batch);
  // freeze + commit + committed on this thread, until nothing is pending (or a directory is
  // detached). The committer must be idle; a batch whose commit failed is tried again.
  [[nodiscard]] Status flush();
  // What reading the disk met: an error once a record could not be read or decoded. Such a record
  // counts as absent, and nothing is committed any more.
  [[nodiscard]] Status health() const;

  // Recomputes every fingerprint and reverse map from the entries and says what differs; for tests
  // and doctor.
  [[nodiscard]] std::vector<std::string> check() const;

 private:
  struct Impl;
  explicit Index(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace repl

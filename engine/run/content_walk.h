// content_walk.h: goes through the regular files of the index and reads their bytes, in bounded
// steps.
//
// Four uses: learning the digests that are not known yet (before two trees are compared),
// re-reading everything to prove that the bytes are what the index says (`verify --full`), and
// hashing the whole tree on the way (`verify --sha256`); and the same as the second, slowly
// (scrub.h).
//
// Thread: one owner. A step reads at most about `bytes_max`; a large file goes on in the next.
#pragma once

#include <deque>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "engine/index/index.h"
#include "engine/io/dir_cache.h"
#include "engine/io/fs_ops.h"
#include "engine/model/hash.h"

namespace repl::run {

enum class WalkKind : uint8_t { unknown_only, everything };

class ContentWalk {
 public:
  // A file that held still was read: its digest and blocks. With unknown_only its stat must be the
  // entry's, too; a re-read judges bytes, not times. Else there is no digest: the caller marks it
  // dirty, or counts it.
  struct Found {
    Key key;
    Entry entry;
    std::optional<Digest> digest;
    std::vector<Digest> blocks;
    std::string problem;  // for people, when there is no digest
  };
  using Sink = std::function<void(Found)>;

  // Sees all that the walk comes by, in its order: depth first, names in memcmp order.
  class Witness {
   public:
    // Any kind of entry; the root's children have depth 1. A regular file's is followed by its
    // bytes, and by the sink.
    virtual void entry(size_t depth, const Key& key, const Attributes& attr) = 0;
    virtual void bytes(std::string_view bytes) = 0;

   protected:
    ~Witness() = default;
  };

  ContentWalk(const Index& index, io::DirCache& dirs, WalkKind kind, Sink sink,
              Witness* witness = nullptr);
  // Only of what changed behind that cut the bytes are read.
  void only_after(CutNumber cut) { after_ = cut; }
  // What the page cache has of a file is dropped before it is read, unless it is dirty, and after.
  void past_the_cache() { past_the_cache_ = true; }
  // Names from the root to what was last visited. Before the first step a walk may be told to begin
  // behind it; what of it is gone is passed over.
  [[nodiscard]] std::vector<std::string> place() const;
  void go_on_behind(const std::vector<std::string>& place);

  // True when the walk has ended.
  [[nodiscard]] bool step(uint64_t bytes_max);
  [[nodiscard]] uint64_t bytes_read() const { return bytes_read_; }

 private:
  struct Level {
    DirId dir;
    std::string after;
    std::deque<std::string> names;  // fetched, not visited yet
    std::string at;                 // visited last
    bool last = false;              // nothing is behind them
  };
  struct OpenFile {
    Key key;
    Entry entry;
    Fd fd;
    io::Stat opened;
    uint64_t offset = 0;
    ContentHasher hasher;
  };
  bool next_file();
  bool fetch(Level& level);
  void begin_file(const Key& key, const Entry& entry);
  uint64_t read_some(uint64_t bytes_max);
  void end_file(std::string problem);

  const Index& index_;
  io::DirCache& dirs_;
  WalkKind kind_;
  Sink sink_;
  Witness* witness_;
  std::optional<CutNumber> after_;
  bool past_the_cache_ = false;
  std::vector<Level> stack_;
  std::optional<OpenFile> file_;
  std::string buffer_;
  uint64_t bytes_read_ = 0;
};

}  // namespace repl::run

// diff_walk.h: what differs between the own tree and a peer's, found by listings, changing nothing
// on either side.
//
// The root's hash is asked first: equal trees cost one round trip. Only directories whose content
// hashes differ are listed, several messages in flight. What is compared is content: directory ids
// and the identity of link groups do not count (the number of a file's names does). Directories are
// paired by name, whatever their ids, and the peer's is listed by the peer's own id. A directory
// that stands alone under its name on both sides, with the same id, is a move and is compared where
// it hangs; in a few entangled cases (a move into what was moved) it counts as gone here and new
// there. Below a directory that only one side has everything counts; a directory that differs from
// its peer in its own attributes counts as that, once.
//
// Both trees may change meanwhile: what vanishes is skipped and counted. Whether a directory's own
// attributes differ is told from its hash and its listing, which are of two moments; so the hash is
// asked once more before that is told.
//
// Thread: one owner; the index is only read. Memory: one task per directory that still has to be
// looked at. Errors: a breach of the protocol, or ErrorCode::limit (DiffLimits): the walk is over.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "engine/index/index.h"
#include "engine/model/message.h"
#include "engine/send/diff_report.h"
#include "engine/send/peer_listing.h"

namespace repl::send {

class DiffWalk {
 public:
  // `ask` sends to the peer; its answers come in order. `found` is told parents before children.
  DiffWalk(const Index& index, uint64_t seed, std::function<void(Message)> ask,
           std::function<void(DiffItem)> found, const DiffLimits& limits = {});

  void start();
  [[nodiscard]] Status on_answer(const KeysAnswer& answer);
  [[nodiscard]] Status on_listing(const DirectoryListing& listing);
  // Asks further and walks what is only here, a bounded step at a time. False: nothing to do until
  // an answer comes, or done.
  bool step();
  [[nodiscard]] bool done() const;
  [[nodiscard]] const DiffCounts& counts() const { return report_.counts(); }

 private:
  // A directory of the peer, with the way to it. Its names cost what they are long, once, however
  // many directories below it wait.
  struct PeerDir {
    PeerDir(std::shared_ptr<const PeerDir> parent, Key at, DirId id);
    ~PeerDir();
    PeerDir(const PeerDir&) = delete;
    PeerDir& operator=(const PeerDir&) = delete;
    [[nodiscard]] std::string path_of(std::string_view name) const;

    mutable std::shared_ptr<const PeerDir> above;  // nothing: the root
    Key key;                                       // in the peer's ids
    DirId dir;
    size_t depth = 0;
  };
  using PeerPlace = std::shared_ptr<const PeerDir>;

  struct Task {
    DirId ours;  // unset: only the peer has it
    PeerPlace peer;
    Bits128 peer_hash;  // unset: its own attributes are not compared
    // While its listing arrives:
    bool begun = false;
    bool gone = false;  // ours vanished meanwhile
    ListingMerge listing;
  };
  // Seems to differ in its own attributes.
  struct Suspect {
    DirId ours;
    PeerPlace peer;
    Bits128 peer_hash;
    Fingerprint peer_sum;
  };
  struct PeerOnly {
    PeerPlace place;
    Bits128 hash;
  };
  struct Walk {
    DirId dir;
    std::string cursor;
  };

  [[nodiscard]] Status on_root(const KeyInfo& theirs);
  void on_suspect(const Suspect& suspect, const KeyInfo& theirs);
  [[nodiscard]] Status check(const Task& task, const DirectoryListing& listing);
  [[nodiscard]] Status merge(Task& task, const std::vector<KeyInfo>& children);
  void listing_ended(const Task& task);
  void walk_on();
  [[nodiscard]] bool ask_suspects();
  [[nodiscard]] bool ask_listings();
  void only_here(DirId dir);
  void moved(DirId dir, const Key& key, const Entry& entry, const PeerOnly& there);
  void only_peer(PeerOnly alone);

  void our_child(DirId dir, std::string_view name, const Entry& ours);
  void their_child(const PeerPlace& parent, const KeyInfo& theirs);
  void both(DirId dir, const PeerPlace& parent, const Entry& ours, const KeyInfo& theirs);
  [[nodiscard]] DiffChange file_change(const Attributes& ours, const KeyInfo& theirs);
  [[nodiscard]] PeerPlace below(const PeerPlace& parent, const KeyInfo& theirs) const;
  void add_here(DiffChange change, const Key& key, FileType type, uint64_t bytes);
  void add_peer(const PeerDir& parent, const Key& key, FileType type, uint64_t bytes);
  [[nodiscard]] std::optional<Key> key_of(DirId dir) const;
  [[nodiscard]] bool attributes_differ(const Suspect& suspect) const;

  const Index& index_;
  uint64_t seed_;
  std::function<void(Message)> ask_;
  DiffLimits limits_;
  DiffReport report_;
  bool started_ = false;
  bool root_asked_ = false;
  uint64_t entries_ = 0;     // that the peer listed
  std::deque<Task> to_ask_;  // from the front; what is found goes there, so few wait
  std::deque<Task> asked_;   // listings arrive in this order
  std::vector<Walk> walks_;  // children that are only here, from the back
  std::vector<Suspect> suspects_;
  std::vector<Suspect> suspects_asked_;
  // Directories that stand alone under their names. They wait until nothing is left to compare, so
  // that each can meet itself.
  std::vector<DirId> here_only_;                   // from the back
  std::unordered_map<DirId, PeerOnly> peer_only_;  // whose ids live here, too
};

}  // namespace repl::send

// compare.h: finds what differs between the index and a peer by descending only where fingerprints
// differ.
//
// The root's hash is asked first: equal trees cost one round trip. Listings are asked level by
// level, several messages in flight. A directory that is the same but for its id adopts ours before
// it is descended; one that the peer knows under another place is a move: one record, and its
// listing is compared where it hangs with us. A listing must come in name order, so that it is
// merged with the index part by part.
//
// Thread: one owner. Memory: one task per directory that still has to be looked at; the index is
// only read.
#pragma once

#include <deque>
#include <functional>
#include <string>
#include <vector>

#include "engine/index/index.h"
#include "engine/model/message.h"
#include "engine/send/cut_writer.h"
#include "engine/send/peer_listing.h"

namespace repl::send {

class Comparer {
 public:
  // `ask` sends in order, behind the cuts that are on their way. `found` is told parents before
  // children, and of directories that live elsewhere with us (Candidate::dir).
  Comparer(const Index& index, uint64_t seed, std::function<void(Message)> ask,
           std::function<void(Candidate)> found);

  void start();
  // An Error is the peer's breach of the protocol.
  [[nodiscard]] Status on_answer(const KeysAnswer& answer);
  [[nodiscard]] Status on_listing(const DirectoryListing& listing);
  // Asks further and walks directories that are wholly ours, a bounded step at a time. False:
  // nothing to do until an answer comes, or done.
  bool step();
  [[nodiscard]] bool done() const {
    return started_ && !root_asked_ && asked_.empty() && to_ask_.empty() && ours_only_.empty();
  }

 private:
  struct Task {
    enum class Kind : uint8_t {
      same,             // the peer has it there under our id
      maybe_elsewhere,  // the peer has nothing usable there, but may know the id at another place
      other_id,         // the peer has a directory there under an id that is unknown to us
    };
    Kind kind = Kind::same;
    DirId dir;
    Key key;            // where it hangs with us
    Bits128 peer_hash;  // same, other_id: of the peer's entry
    // While its listing arrives:
    bool begun = false;
    ListingMerge listing;
  };
  struct Walk {
    DirId dir;
    std::string cursor;
  };

  [[nodiscard]] Status merge(Task& task, const std::vector<KeyInfo>& children);
  void unknown_to_peer(Task task);
  void listing_ended(const Task& task);
  void only_ours(DirId dir, std::string_view name, const Entry& entry);
  void only_theirs(DirId dir, const KeyInfo& theirs);
  void both(DirId dir, const Entry& ours, const KeyInfo& theirs);
  void both_directories(const Key& key, const Entry& ours, const KeyInfo& theirs);
  void adopt(Key key, DirId dir, LinkId link);
  void flush_adoptions();

  const Index& index_;
  uint64_t seed_;
  std::function<void(Message)> ask_;
  std::function<void(Candidate)> found_;
  std::deque<Task> to_ask_;
  std::deque<Task> asked_;  // listings arrive in this order
  std::deque<Walk> ours_only_;
  AdoptIds adoptions_;  // leave before the next ListDirectories
  bool started_ = false;
  bool root_asked_ = false;
};

}  // namespace repl::send

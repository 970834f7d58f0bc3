// cut_writer.h: turns keys into the records and streams of one cut.
//
// A key's record leaves at once when its content is not needed, small, or copied; large contents
// are put off to the end of the cut, where they are streamed. A cut may end without them (`loose`):
// then they go on across cuts, what destroys a version waits for them (order_keeper.h), and they
// are put into whatever cut is open when they are there. So does what did not hold still while it
// was read, large or small. What the disk shows no longer as the index
// has it is sent as it is now, marked dirty, and the cut says ordered = false; what cannot be read
// is left out, and the owner has it sent later.
//
// Thread: one owner. Memory: a record message, and what LargeContents and StreamedContents state.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "engine/base/limits.h"
#include "engine/base/log.h"
#include "engine/delta/strategy.h"
#include "engine/index/index.h"
#include "engine/model/cut.h"
#include "engine/model/message.h"
#include "engine/send/astray_keys.h"
#include "engine/send/content_source.h"
#include "engine/send/content_streamer.h"
#include "engine/send/copy_search.h"
#include "engine/send/hot_files.h"
#include "engine/send/large_contents.h"
#include "engine/send/method_counters.h"
#include "engine/send/order_keeper.h"
#include "engine/send/record_packer.h"
#include "engine/send/small_content.h"
#include "engine/send/streamed_contents.h"
#include "engine/send/work.h"

namespace repl::send {

// A key that differs, and what the peer has under it.
struct Candidate {
  Key key;
  bool removed = false;
  bool whole = false;  // no delta and no copy: the peer refused what was sent before
  FileType peer_type = FileType::none;
  Digest peer_content;
  uint64_t peer_size = 0;
  // The directory that was found at `key`: it is looked up again before it is sent. Of one that is
  // removed: it lives elsewhere, and its own record moves it there.
  DirId dir;
};

// What the sender tells its owner. Called from within start, on_message and pump; may change the
// index.
struct SenderCallbacks {
  std::function<void(const Key&)> mark_dirty;
  // It could not be read, so the cut goes without it: to be sent in a later one.
  std::function<void(const Key&, const Error& why)> left_out;
  // The content that was sent: the attributes as sent, its digest and block table.
  std::function<void(const Key&, const Attributes&, const Digest&, const std::vector<Digest>&)>
      content_known;
  // A cut could not be what the tree was at a moment: another one is to follow, with or without
  // items.
  std::function<void()> not_exact;
  // An entry whose removal is held: it cannot be read, and is not sent. May be empty.
  std::function<bool(const Key&)> withheld = {};
  // How many files among them have a content that nobody knows. May be empty.
  std::function<uint64_t()> withheld_unknown = {};
};

class CutWriter {
 public:
  using Drain = LargeContents::Drain;
  struct Parts {
    const Index& index;
    ContentSource& source;
    SenderCallbacks callbacks;
    Log& log;
    std::function<void(Message, Lane)> emit;  // bulk or background
    std::function<size_t(Lane)> room;         // bytes that the lane takes now
    std::function<bool()> drained;            // nothing waits in the background lane
    std::function<void(Message)> ask;         // prompt lane
  };
  explicit CutWriter(Parts parts);

  // `peer_at`: entries that changed at or below this cut are on the peer as the index has them;
  // unset: no entry is known to be. `disown`: removals leave the object on the peer's disk.
  // May the cut end without contents of its own? `if_torn`: none is expected to be large.
  enum class Loose : uint8_t { never, if_torn, yes };
  void begin(const CutBegin& begin, CutNumber peer_at, bool disown, Loose may_end);
  void add(const Candidate& candidate);  // of a merged cut: as the index has the key now
  void add(CutItem item);                // of a live cut
  // Works on what was put off, one step; without an open cut too: `complete` then wants one.
  [[nodiscard]] Drain drain();
  // After drain said idle, or without what is under way. Fingerprint of the root after this cut, if
  // it is known.
  void end(bool last, const Fingerprint& content, bool content_known, uint64_t settled = 0);
  // Large contents are being looked for among those of the peer: the cut cannot end.
  [[nodiscard]] bool searching() const { return !unsearched_.empty(); }
  [[nodiscard]] bool under_way() const { return !large_.empty(); }
  [[nodiscard]] size_t large_files() const { return large_.size(); }
  [[nodiscard]] bool only_huge() const { return !searching() && large_.only_huge(); }
  [[nodiscard]] bool can_end_loose() const {
    return order_.watching() && order_.holding() && !searching() &&
           large_.size() <= limits::large_contents_max;
  }
  // Nothing is to be added before drain() has worked off some.
  [[nodiscard]] bool crowded() const;
  // Records of cuts that ended are still to come.
  [[nodiscard]] bool loose() const;
  [[nodiscard]] size_t held_back() const { return order_.held() + released_.size(); }
  // The trees are compared: what waits is found.
  void forget_held_back();
  // The next piece of the same cut.
  void reopen();
  // The open cut tells what only a later one knows of, or lacks what is in it; and not of keys
  // alone that are known to be astray.
  void not_exact() { exact_ = false; }
  void index_moved_on() {
    not_exact();
    index_moved_on_ = true;
  }
  [[nodiscard]] bool exact() const { return exact_; }
  [[nodiscard]] bool tells_of_later() const { return index_moved_on_; }
  [[nodiscard]] AstrayKeys& astray() { return astray_; }
  [[nodiscard]] bool open() const { return open_; }
  [[nodiscard]] uint64_t records() const { return records_; }        // since begin, or reopen
  [[nodiscard]] uint64_t withheld() const { return withheld_; }      // since begin
  [[nodiscard]] uint64_t bytes_sent() const { return bytes_sent_; }  // since begin
  [[nodiscard]] const MethodCounters& counters() const { return counters_; }
  // Published as they were read, since they never held still.
  [[nodiscard]] uint64_t hot_files() const { return hot_.published(); }
  // Contents that did not hold still wait for the owner to have them read again; how often in a row
  // they were torn, at most. 0: none waits.
  [[nodiscard]] int torn_reads() const { return large_.torn_reads(); }
  void read_torn_again() { large_.wake_resting(); }

  // Answers to requests of drain(); others are ignored. `protocol` for what is too large.
  [[nodiscard]] Status on_signature(const Signature& signature) {
    return large_.on_signature(signature);
  }
  // What the peer has staged, so that whole contents go on where they stopped.
  void set_stages(const std::vector<StageProgress>& stages) { large_.set_stages(stages); }

 private:
  struct LinkGroup {
    Key first;
    Attributes attr;  // as sent
    bool deferred = false;
    std::vector<Key> followers;  // waiting for the first
    uint64_t piece = 0;          // in which `first` was sent
  };

  void take_candidate(const Candidate& candidate);
  void put_item(const CutItem& item);
  [[nodiscard]] bool is_withheld(const Key& key);
  void add_later(Candidate candidate);
  void bound_held_back();
  bool release_one();
  void put_again();
  void put(Work work);
  bool put_as_link(const Work& work);
  void put_inline(Work work);
  void put_small(Work work, SmallContent content);
  void put_large(Work work);
  void put_off_torn(Work work);
  [[nodiscard]] Work prepared(Work work);
  void step_search();
  void end_search(bool known);
  [[nodiscard]] bool put_copy(const Work& work, CopySearch& found);
  void put_done(const Work& work, const Attributes& attr, Content content);
  void skip(const Key& key, LinkId link, const Error& why);
  [[nodiscard]] std::optional<Key> copy_source(const Work& work) const;
  [[nodiscard]] Result<Attributes> as_on_disk(const Work& work, ContentHandle& handle,
                                              const io::Stat& state);
  void learned(const Work& work, const Attributes& attr, const Digest& digest,
               const std::vector<Digest>& blocks);
  void record(Record record);
  void emit(Message message, Lane lane = Lane::bulk);
  void changed_meanwhile(const Key& key, LinkId link);
  void goes_astray(const Key& key, LinkId link);

  void give_up(const Work& work, const Error& why);
  void finish_stream(const Work& work, ContentStreamer& streamer);
  void count(const ContentStreamer& streamer);
  void count_hot(const Key& key, bool torn);

  Parts parts_;
  RecordPacker packer_;
  CutBegin begin_;
  bool disown_ = false;
  Loose may_end_ = Loose::never;
  bool open_ = false;
  bool exact_ = true;
  bool index_moved_on_ = false;  // since begin
  uint64_t records_ = 0;
  uint64_t withheld_ = 0;
  uint64_t bytes_sent_ = 0;
  std::unordered_map<LinkId, LinkGroup> links_;
  uint64_t piece_ = 0;
  StreamedContents streamed_;  // what the peer has there, once it has this cut
  PeerContents peer_contents_;
  std::deque<Work> unsearched_;         // large contents that may be known to the peer
  std::unique_ptr<CopySearch> search_;  // of the first of them
  LargeContents large_;
  OrderKeeper order_;
  std::deque<CutItem> released_;      // what waited, on its way into the open cut
  std::vector<Candidate> later_;      // for the next cut
  std::vector<Candidate> again_;      // changed while they were streamed, or did not hold still
  std::unordered_set<Key> recorded_;  // of the open cut, while large contents are under way
  AstrayKeys astray_;
  HotFiles hot_;
  MethodCounters counters_;
};

}  // namespace repl::send

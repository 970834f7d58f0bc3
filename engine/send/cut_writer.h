// cut_writer.h: turns keys into the records and streams of one cut.
//
// A key's record leaves at once when its content is not needed, small, or copied; large contents
// are put off to the end of the cut, where they are streamed one after the other. While one waits
// for a signature from the peer, others go on. What the disk shows no longer as the index has it is
// sent as it is now, marked dirty, and the cut says ordered = false; what cannot be read is left
// out, and the owner has it sent later.
//
// A large file that is written all the time is in a cut before its content of the cut before was
// read: the index does not know that content, but the peer has it. So what was streamed last is
// remembered here, by key.
//
// Thread: one owner. Memory: a record message, a slab, rolling_signatures_max signatures and block
// tables, one Pending per large file of the cut and 16 MiB of block digests of what was
// streamed last.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <unordered_map>
#include <vector>

#include "engine/base/log.h"
#include "engine/delta/strategy.h"
#include "engine/index/index.h"
#include "engine/model/cut.h"
#include "engine/model/message.h"
#include "engine/send/content_source.h"
#include "engine/send/content_streamer.h"
#include "engine/send/record_packer.h"

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
};

struct MethodCounters {
  uint64_t metadata = 0;
  uint64_t inlined = 0;
  uint64_t copied = 0;
  uint64_t linked = 0;
  uint64_t aligned = 0;
  uint64_t rolling = 0;
  uint64_t whole = 0;
  uint64_t removed = 0;
  uint64_t literal_bytes = 0;
  uint64_t saved_bytes = 0;  // StageCopy: what the peer had already
};

class CutWriter {
 public:
  enum class Drain : uint8_t { more, waiting, idle };
  struct Parts {
    const Index& index;
    ContentSource& source;
    SenderCallbacks callbacks;
    Log& log;
    std::function<void(Message)> emit;  // bulk lane, in order
    std::function<void(Message)> ask;   // prompt lane
  };
  explicit CutWriter(Parts parts);

  // `peer_at`: entries that changed at or below this cut are on the peer as the index has them;
  // unset: no entry is known to be. `disown`: removals leave the object on the peer's disk.
  void begin(const CutBegin& begin, CutNumber peer_at, bool disown);
  void add(const Candidate& candidate);  // of a merged cut: as the index has the key now
  void add(const CutItem& item);         // of a live cut
  // Works on what was put off: one step of at most `budget_bytes`.
  [[nodiscard]] Drain drain(size_t budget_bytes);
  // After drain said idle. Fingerprint of the root after this cut, if it is known.
  void end(bool last, const Fingerprint& content, bool content_known, uint64_t settled = 0);
  // The next piece of the same cut.
  void reopen();
  void not_exact() { exact_ = false; }
  [[nodiscard]] bool exact() const { return exact_; }
  [[nodiscard]] bool open() const { return open_; }
  [[nodiscard]] uint64_t bytes_sent() const { return bytes_sent_; }  // since begin
  [[nodiscard]] const MethodCounters& counters() const { return counters_; }

  // Answers to requests of drain(); others are ignored. `protocol` for what is too large.
  [[nodiscard]] Status on_signature(const Signature& signature);
  // What the peer has staged, so that whole contents go on where they stopped.
  void set_stages(const std::vector<StageProgress>& stages);

 private:
  struct Work {
    Key key;
    Attributes attr;
    bool content_equal = false;
    bool whole = false;
    bool base_on_peer = false;
    Digest base;
    uint64_t base_size = 0;
    std::shared_ptr<const std::string> bytes;
    std::optional<Key> copy_from;
  };
  struct Pending {
    enum class State : uint8_t { fresh, asked, ready };
    Work work;
    State state = State::fresh;
    SignatureKind asked = SignatureKind::blocks;
    std::string received;  // parts of the signature that was asked for
    bool signature_refused = false;
    std::optional<std::vector<Digest>> table;
    bool table_asked = false;
    StreamPlan plan;
  };
  struct Streamed {
    Digest content;
    uint64_t size = 0;
    std::vector<Digest> blocks;
  };
  struct LinkGroup {
    Key first;
    Attributes attr;  // as sent
    bool deferred = false;
    std::vector<Key> followers;  // waiting for the first
    uint64_t piece = 0;          // in which `first` was sent
  };

  void put(Work work);
  bool put_as_link(const Work& work);
  void put_inline(Work work);
  void put_done(const Work& work, const Attributes& attr, Content content);
  void skip(const Key& key, LinkId link, const Error& why);
  [[nodiscard]] std::optional<Key> copy_source(const Work& work) const;
  [[nodiscard]] Result<Attributes> as_on_disk(const Work& work, ContentHandle& handle);
  void learned(const Work& work, const Attributes& attr, const Digest& digest,
               const std::vector<Digest>& blocks);
  void record(Record record);
  void remember(const Key& key, const StreamResult& result);
  void forget(const Record& record);
  void emit(Message message);
  void changed_meanwhile(const Key& key);

  void prepare(Pending& pending);
  void request(Pending& pending, SignatureKind kind);
  [[nodiscard]] Status table_arrived(Pending& pending, bool refused);
  [[nodiscard]] std::optional<uint64_t> count_matching(const Pending& pending, uint64_t size,
                                                       uint64_t& total);
  void start_stream(Pending pending);
  void finish_stream();

  Parts parts_;
  RecordPacker packer_;
  CutBegin begin_;
  CutNumber peer_at_;
  bool disown_ = false;
  bool open_ = false;
  bool exact_ = true;
  uint64_t records_ = 0;
  uint64_t bytes_sent_ = 0;
  std::unordered_map<LinkId, LinkGroup> links_;
  uint64_t piece_ = 0;
  std::deque<Pending> pending_;
  std::optional<Work> streaming_;
  std::unique_ptr<ContentStreamer> streamer_;
  std::unordered_map<StageId, uint64_t> stages_;
  std::unordered_map<Key, Streamed> streamed_;  // what the peer has there, once it has this cut
  size_t streamed_blocks_ = 0;
  MethodCounters counters_;
};

}  // namespace repl::send

// catch_up.h: a node with versions that its primary never had is brought up to date, on a person's
// word: `repl catchup`.
//
//   recording   everything that is on disk goes into the index, what was changed unseen too
//   keeping     what changed here since the last common position goes into the diverged store,
//               durably (apply/diverged_store.h)
//   comparing,  the primary is met as `catch_up`: it compares, and sends one cut
//   transferring
//   verifying   what was written is read again, the tree is scanned, and the primary compares root
//               fingerprints at one position
//
// The person's word is durable (meta "catch-up") and bound to the position that it was given for:
// so a connection that is lost, or a crash, needs no second one, and it says nothing of what comes
// later. Before everything is kept nothing is accepted from anybody.
//
// Thread: the engine's. A step keeps at most limits::keep_step_max objects, or reads 64 MiB.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "engine/apply/diverged_store.h"
#include "engine/run/content_walk.h"
#include "engine/run/session.h"
#include "engine/run/tree_parts.h"

namespace repl::run {

struct CatchUpProgress {
  std::string phase;
  uint64_t files_done = 0;
  uint64_t files_total = 0;
  uint64_t bytes_done = 0;
  uint64_t bytes_total = 0;
};

// What a catch-up ends with.
struct Certificate {
  bool verified = false;
  Position position;
  Position peer_position;
  Fingerprint content;
  Fingerprint peer_content;
  uint64_t entries = 0;
  uint64_t bytes_read = 0;  // again, here
  uint64_t files_read = 0;
  uint64_t kept = 0;    // versions in the diverged store
  std::string kept_in;  // where; empty: nothing is kept
  uint64_t held = 0;    // paths that were changed here meanwhile
  double seconds = 0;
  std::string detail;  // why it is not verified
};

struct CatchUpRequest {
  std::string from;
  uint64_t plan = 0;            // CatchUpPlan::id, of the last one made
  uint64_t bytes_expected = 0;  // of that; filled in by the engine
  std::function<void(const CatchUpProgress&)> progress;
  std::function<void(Result<Certificate>)> answer;
};

class CatchUp {
 public:
  // What a Secondary lends.
  struct Lent {
    std::function<void(bool record)> scan;  // of the whole tree; `record`: into the index
    std::function<bool()> scanned;
    std::function<void()> drop_holds;  // what was held is recorded, and kept
    std::function<Status()> flush;
    std::function<bool()> at_rest;  // nothing is under way, all of it durable
    std::function<uint64_t()> held;
  };
  CatchUp(TreeParts& parts, Lent lent);
  ~CatchUp();

  // May what this peer sends replace what is kept? Said in the hello.
  [[nodiscard]] bool agreed() const;
  [[nodiscard]] bool agreed_with(const std::string& node) const;
  // It was begun and interrupted before everything was kept: nothing may be accepted.
  [[nodiscard]] bool half_kept() const;
  [[nodiscard]] bool running() const { return request_.has_value(); }
  // What is on disk is recorded in the index instead of being held as drift.
  [[nodiscard]] bool recording() const { return phase_ == Phase::recording; }

  void begin(Session& session, CatchUpRequest request);
  // True: there is more to do at once.
  [[nodiscard]] bool step(MonotonicTime now);
  void on_verified(const VerifyReply& reply);
  void on_refused(const std::string& why);
  void on_closed(const Session& session);

 private:
  enum class Phase : uint8_t {
    idle,
    recording,
    keeping,
    transferring,
    reading,
    scanning,
    verifying
  };
  // The person's word.
  struct Word {
    bool kept = false;
    std::string from;
    Position here;  // for which it was given
    Reign common_reign;
    CutNumber common_cut;
  };
  struct ToKeep {
    Key key;
    bool removed = false;
  };
  void recall();
  [[nodiscard]] Status remember();
  void forget();
  void enter(Phase phase);
  void begin_keeping();
  void list_everything(DirId dir);
  [[nodiscard]] Status keep_some();
  [[nodiscard]] Status keep(const ToKeep& what);
  void learn(const io::Stat& stat);
  [[nodiscard]] bool arrived() const;
  void begin_reading();
  void ask_primary();
  void settle();
  [[nodiscard]] Result<apply::diverged::Shown> shows(const apply::diverged::Item& item) const;
  void tell(MonotonicTime now);
  void end(Result<Certificate> result);

  TreeParts& parts_;
  Lent lent_;
  std::optional<Word> word_;
  Phase phase_ = Phase::idle;
  std::optional<CatchUpRequest> request_;
  const Session* session_ = nullptr;
  std::unique_ptr<apply::diverged::Store> store_;
  std::deque<ToKeep> to_keep_;
  uint64_t files_total_ = 0;
  std::unique_ptr<ContentWalk> walk_;
  std::string problem_;
  Certificate certificate_;
  MonotonicTime began_{};
  MonotonicTime told_{};
  uint64_t bytes_before_ = 0;
  uint64_t next_id_ = 1;
  int asked_ = 0;
};

}  // namespace repl::run

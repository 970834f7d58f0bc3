// signature_keeper.h: keeps rolling signatures of large files that are edited, so that their next
// edit is sent without asking the peer for anything.
//
// Only a content that came of another one under our eyes is worth it: librsync's sums cost two
// seconds of processor time per GiB. So they are made in idle time, in slices, and of what changed
// only: the sums of the other blocks are taken from the signature of the content before. Every
// block that is read is checked against the block table: a signature is of that content, or there
// is none.
//
// Thread: the engine's. Memory: limits::signature_keys_max keys; while one is made, the signature
// before and the new one (limits::signature_bytes_max each) and two block tables.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/base/clock.h"
#include "engine/base/log.h"
#include "engine/delta/signature.h"
#include "engine/index/index.h"
#include "engine/send/content_source.h"

namespace repl::run {

class SignatureKeeper {
 public:
  SignatureKeeper(Index& index, send::ContentSource& source, Log& log)
      : index_(index), source_(source), log_(log) {}

  // A file was edited; `before`: the content that it had, if that is known. Without effect on one
  // that is too small or too large. Past the bound it is forgotten: its signature will be asked
  // for.
  void edited(const Key& key, uint64_t size, const Digest& before);
  // One slice, limits::signature_step_bytes read, once the tree has been idle for
  // limits::signature_idle_ms. True: there is more to do at once.
  [[nodiscard]] bool step(MonotonicTime now, bool idle);
  [[nodiscard]] bool wanted() const { return job_ || !waiting_.empty(); }
  [[nodiscard]] std::optional<MonotonicTime> deadline() const;

 private:
  struct Job {
    Key key;
    Digest content;
    std::vector<Digest> table;
    std::vector<Digest> old_table;
    std::string old_signature;
    std::unique_ptr<send::ContentHandle> file;
    uint64_t size = 0;
    delta::SignatureBuilder builder;
  };
  [[nodiscard]] std::optional<Job> begin(const Key& key, const Digest& before) const;
  // False: it is not that content any more.
  [[nodiscard]] bool slice(Job& job) const;
  [[nodiscard]] bool keep(Job& job, uint64_t index, uint64_t length) const;
  void end(const Job& job, std::string signature);

  Index& index_;
  send::ContentSource& source_;
  Log& log_;
  std::map<Key, Digest> waiting_;  // what was edited, and the content before
  std::optional<Job> job_;
  std::optional<MonotonicTime> idle_since_;
};

}  // namespace repl::run

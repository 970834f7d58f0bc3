// content_builder.h: builds the contents that arrive in pieces, front to back, in staging.
//
// Offsets are sequential: a gap, an overlap or a length past limits::content_bytes_max breaks the
// protocol. What merely does not fit here (the base is not what the sender thinks, the digest
// differs) is a refusal, kept with the stage and told when a record wants it. A stage outlives the
// connection; its file names its id.
//
// The digest is known at the end without reading what the base has: whole blocks that stay blocks
// are taken from the base's table, other ranges are read once, as they were written.
//
// Bounds: limits::stages_open_max contents at a time, limits::cut_records_max until the end of a
// cut; a hole costs no memory but its block hashes, of which limits::staged_blocks_max are kept.
// Thread: one owner.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "engine/apply/second_copies.h"
#include "engine/apply/stage_file.h"
#include "engine/apply/staging.h"
#include "engine/base/error.h"
#include "engine/index/index.h"
#include "engine/io/dir_cache.h"
#include "engine/model/hash.h"
#include "engine/model/message.h"

namespace repl::apply {

enum class StageState : uint8_t { unknown, open, ended, refused, aborted };

struct BuiltContent {
  StageState state = StageState::unknown;
  std::string reason;  // refused
  Digest digest;       // ended
  uint64_t size = 0;
  std::vector<Digest> blocks;
  std::string file;                      // ended: its name in Staging::stage_dir()
  std::optional<Difference> difference;  // ended, and there are no reflinks here
  bool is_tail = false;                  // the file holds only what comes after the base
};

class ContentBuilder {
 public:
  ContentBuilder(Staging& staging, SecondCopies& second, Index& index, io::DirCache& dirs);

  // Errors are the protocol's (close) or the disk's (concerns_everything: close and retry).
  [[nodiscard]] Status begin(const StageBegin& begin);
  [[nodiscard]] Status data(const StageData& data);
  [[nodiscard]] Status hole(const StageHole& hole);
  [[nodiscard]] Status copy(const StageCopy& copy);
  [[nodiscard]] Status end(const StageEnd& end);
  [[nodiscard]] Status abort(const StageAbort& abort);

  // How far it is.
  [[nodiscard]] const BuiltContent* find(const StageId& id) const;
  // A record used it, or nobody will: forgets the stage (the file is the caller's).
  void forget(const StageId& id);
  // The connection ended: what is staged stays on disk and may be resumed; refusals are forgotten.
  void end_session();
  // A whole cut ended: what no record of it used is forgotten. Those that are still arriving;
  // nothing if the staging area holds no others.
  [[nodiscard]] std::optional<std::unordered_set<StageId>> end_cut();
  [[nodiscard]] uint64_t blocks_kept() const { return blocks_; }

 private:
  struct Stage {
    BuiltContent built;
    StageFile file;
    std::vector<Digest> base_table;  // empty: not known
    ContentHasher hasher;
    bool hashed = true;        // `hasher` saw every byte
    uint64_t blocks = 0;       // its part of blocks_
    uint64_t base_blocks = 0;  // likewise
  };
  // The open stage that goes on at `offset`; null: refused or aborted, swallow.
  Result<Stage*> next(const StageId& id, uint64_t offset, uint64_t length);
  Status open_base(const StageBegin& begin, Stage& stage);
  void load_table(const Digest& base, Stage& stage);
  // Second copies go when the disk is full, and it is tried once more.
  Status with_room(const std::function<Status()>& write);
  Status hash_copy(Stage& stage, const StageCopy& copy);
  Status hash_written(Stage& stage, uint64_t offset, uint64_t length);
  Status hash_all(Stage& stage);
  Status check_base(Stage& stage);
  Status refuse(Stage& stage, std::string reason);
  Status failed(const StageId& id, Stage& stage, const Error& error);
  Status discard_file(Stage& stage);
  void close(Stage& stage, StageState state);
  void drop_blocks(Stage& stage);
  // Room for the hashes of so many bytes more? Else the content is hashed at its end, from disk.
  void reserve_blocks(Stage& stage, uint64_t bytes);
  Staging& staging_;
  SecondCopies& second_;
  Index& index_;
  io::DirCache& dirs_;
  std::unordered_map<StageId, Stage> stages_;
  size_t open_ = 0;        // of them
  uint64_t blocks_ = 0;    // of all stages, about: at most one more for each
  bool leftovers_ = true;  // files of contents that are not in `stages_`
};

}  // namespace repl::apply

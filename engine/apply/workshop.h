// workshop.h: what every step of applying shares, and what it reports.
//
// Thread: one owner.
#pragma once

#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "engine/apply/cut_state.h"
#include "engine/apply/holds.h"
#include "engine/apply/owners.h"
#include "engine/apply/second_copies.h"
#include "engine/apply/staged_dirs.h"
#include "engine/apply/staging.h"
#include "engine/apply/sync_work.h"
#include "engine/base/log.h"
#include "engine/index/index.h"
#include "engine/io/dir_cache.h"
#include "engine/model/policy.h"

namespace repl::apply {

// What happens to a key whose object is not what the index recorded.
enum class OnDrift : uint8_t {
  hold,              // it stays; the key waits for a person
  keep_and_replace,  // it goes to kept/, durably; the record wins
};

struct Workshop {
  Staging& staging;
  SecondCopies& second;
  Index& index;
  io::DirCache& dirs;
  StagedDirs& staged;
  Holds& holds;
  const Policy& policy;
  Log& log;
  OnDrift on_drift = OnDrift::hold;
  CutState& cut;
  SyncWork& work;
  std::vector<Refused> refused;
  std::unordered_set<Key> owed;  // refused, and not sent again yet
  std::vector<std::string> notices;
  uint64_t kept = 0;
  // Inodes whose ctime we changed ourselves since the index recorded it (links, exchanges).
  std::unordered_map<uint64_t, Timestamp> own_ctime;
  std::unordered_set<DirId> touched;  // directories of the tree whose entries changed

  [[nodiscard]] bool may_replace(const Key& key) const {
    return on_drift == OnDrift::keep_and_replace || holds.is_approved(key);
  }
  [[nodiscard]] const Timestamp* own_ctime_of(const Entry& entry) const;
  // The key goes on without this record: a person decides, or the primary sends the whole again.
  void hold(Item& item, std::string reason);
  void hold_removal(const Key& key, std::string reason);
  void resend(Item& item, std::string reason);
  // The key is as the primary wants it.
  void settled(const Key& key);
  // Moves a drifted object aside, durably, and notes where it came from.
  [[nodiscard]] Status keep(int dir, const std::string& name, const Key& key);
  // For messages; what cannot be told is shown as the key.
  [[nodiscard]] std::string path(const Key& key) const;
};

// Where a kept object came from: meta "kept/<name>", string path, string key (8 bytes directory id,
// name), u64 cut.
inline constexpr std::string_view kept_meta = "kept/";
void note_kept(Index& index, const std::string& name, const Key& key, CutNumber cut);

}  // namespace repl::apply

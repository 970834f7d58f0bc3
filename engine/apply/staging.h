// staging.h: the permanent area (mode 0700) where everything is made before it is seen, and where
// what was displaced stays until its cut is durable. It lies on the tree's filesystem and is
// invisible to the watch.
//
//   stage/0..3/<StageId>  contents being received; survive a reconnect and a restart
//   stage/0..3/<StageId>+ those of which the length does not tell how far they are; survive neither
//   new/0..3/<n>          prepared objects, new directories with their final names inside; after an
//   exchange the
//                         displaced version stands under the same name, a second copy of a large
//                         file (second_copies.h) for as long as it is kept
//   old/<n>               removed objects, directories on their way to another place
//   kept/<n>              drifted versions; durable, never deleted from here
//   plan/<n>              a piece of the plan of a cut that is not durable yet (plan.h)
//   diverged/<id>/        versions that lost (diverged_store.h); made when there are any
//
// stage and new are several directories each: xfs gives each directory another allocation group.
//
// Thread: one owner; the descriptors may be used by the sync thread while the object lives.
#pragma once

#include <array>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "engine/apply/cut_state.h"
#include "engine/base/error.h"
#include "engine/base/fd.h"
#include "engine/base/ids.h"
#include "engine/model/message.h"

namespace repl::apply {

inline constexpr size_t spread_dirs = 4;
inline constexpr char unfinished_mark = '+';

// A directory of the area, made (0700) where it is missing.
[[nodiscard]] Result<Fd> open_private_dir(int parent, std::string_view name);
[[nodiscard]] Result<std::vector<std::string>> names_in(int dir);

class Staging {
 public:
  // `area` is created (0700) by the caller. Contents that cannot be resumed are purged; new/ and
  // old/ are left for recover() (recovery.h), which knows the index.
  [[nodiscard]] static Result<std::unique_ptr<Staging>> open(Fd area);

  [[nodiscard]] int new_root() const { return new_.get(); }
  [[nodiscard]] int new_dir(size_t n) const { return new_spread_[n % spread_dirs].get(); }
  [[nodiscard]] int stage_dir(const StageId& id) const {
    return stage_spread_[id.low % spread_dirs].get();
  }
  [[nodiscard]] int old_dir() const { return old_.get(); }
  [[nodiscard]] int kept_dir() const { return kept_.get(); }
  [[nodiscard]] int plan_dir() const { return plan_.get(); }
  // Opened before anything is written: syncfs(2) on it sees every error since.
  [[nodiscard]] int filesystem() const { return area_.get(); }

  // A name that no object of the area bears.
  [[nodiscard]] std::string fresh_name();
  // For Hello: what is staged, the largest first, as many as a message may hold.
  [[nodiscard]] Result<std::vector<StageProgress>> progress() const;
  // What was received so far goes.
  [[nodiscard]] Status drop_stages();
  // What was received so far, but for those that are to stay, goes to old/: where each is now.
  [[nodiscard]] Result<std::vector<Slot>> set_stages_aside(const std::unordered_set<StageId>& stay);
  // Empties new/ and old/.
  [[nodiscard]] Status purge();

 private:
  Staging() = default;
  Status open_all();
  Status purge_stages();
  Status learn_names(int dir);
  Fd area_, stage_, new_, old_, kept_, plan_;
  std::array<Fd, spread_dirs> stage_spread_;
  std::array<Fd, spread_dirs> new_spread_;
  uint64_t next_name_ = 1;
};

}  // namespace repl::apply

#include "engine/apply/sync_work.h"

#include "engine/base/limits.h"
#include "engine/io/fs_ops.h"

namespace repl::apply {

void SyncWork::add(Fd fd) {
  if (whole_filesystem) return;
  if (fds.size() < limits::held_fds_max) {
    fds.push_back(std::move(fd));
    return;
  }
  whole_filesystem = true;
  fds.clear();
}

namespace {

Status make_durable(const SyncWork& work) {
  if (work.whole_filesystem) return io::sync_filesystem(work.filesystem);
  for (const Fd& fd : work.fds) {
    if (const Status synced = io::sync_fd(fd.get()); !synced) return synced;
  }
  return {};
}

void let_go(SyncWork& work) {
  for (const Slot& slot : work.displaced) {
    const Result<io::Stat> stat = io::stat_at(slot.dir, slot.name);
    if (!stat) continue;
    // Whatever is left is found and removed at the next start.
    const Status gone = stat->attr.type == FileType::directory
                            ? io::remove_tree(slot.dir, slot.name)
                            : io::unlink_at(slot.dir, slot.name);
    const bool lives_on = stat->attr.type != FileType::directory && stat->nlink > 1;
    if (gone && lives_on) work.relinked.push_back(stat->local.inode);
  }
  for (const Slot& plan : work.plans) {
    if (!io::unlink_at(plan.dir, plan.name)) continue;
  }
}

}  // namespace

Status SyncWork::run(SyncWork& work, Index& index) {
  if (!work.synced) {
    if (const Status synced = make_durable(work); !synced) {
      Error lost = synced.error();
      lost.message = "what was applied may not be on the disk: " + lost.message +
                     ": the tree goes back to the last durable cut";
      lost.remedy = Remedy::hold;
      return fail(std::move(lost));
    }
    work.synced = true;
  }
  if (work.batch) {
    if (const Status committed = index.commit(work.batch); !committed) return committed;
  }
  let_go(work);
  return {};
}

}  // namespace repl::apply

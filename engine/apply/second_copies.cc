#include "engine/apply/second_copies.h"

#include <algorithm>

#include "engine/base/limits.h"

namespace repl::apply {

namespace {

constexpr uint64_t sector_bytes = 512;  // of io::Stat::blocks

uint64_t disk_bytes(const io::Stat& stat) { return stat.blocks * sector_bytes; }

bool as_recorded(const io::Stat& was, const io::Stat& now) {
  return was.local.inode == now.local.inode && was.local.birth == now.local.birth &&
         was.local.ctime == now.local.ctime && was.attr.mtime == now.attr.mtime &&
         was.attr.size == now.attr.size && now.nlink == 1;
}

}  // namespace

uint64_t SecondCopies::bytes() const {
  uint64_t sum = 0;
  for (const Copy& copy : copies_) sum += disk_bytes(copy.stat);
  return sum;
}

SecondCopies::Place SecondCopies::drop(Place copy) {
  dropped_.push_back(std::move(copy->slot));
  return copies_.erase(copy);
}

void SecondCopies::advance(const Step& step) {
  for (Copy& copy : copies_) {
    if (copy.inode != step.difference.base_inode || copy.content != step.difference.base) continue;
    copy.inode = step.inode;
    copy.content = step.content;
    copy.stale.add(step.difference.changed);
    if (copy.stale.count() <= limits::second_copy_ranges_max) continue;
    copy.stale = ByteRanges();
    copy.inode = 0;  // nobody's: it goes as an orphan
  }
}

// Versions that a cut which is not durable displaced are not ours to drop.
bool SecondCopies::make_room(uint64_t inode, uint64_t wanted) {
  const Result<uint64_t> free = io::free_bytes(staging_.filesystem());
  if (!free) return false;
  const auto fits = [&] {
    const uint64_t used = bytes() + wanted;
    const auto of_one = std::ranges::count(copies_, inode, &Copy::inode);
    return copies_.size() < limits::second_copies_max &&
           static_cast<size_t>(of_one) < limits::second_copies_of_one_max &&
           used <= limits::second_copies_bytes_max &&
           used <= (*free + used) / limits::second_copies_share;
  };
  for (auto copy = copies_.begin(); !fits() && copy != copies_.end();) {
    copy = copy->ready ? drop(copy) : std::next(copy);
  }
  return fits();
}

std::optional<uint64_t> SecondCopies::keep(const Slot& slot, const io::Stat& displaced,
                                           const Step& step) {
  const bool pays = displaced.nlink == 1 &&
                    disk_bytes(displaced) >= limits::second_copy_bytes_min &&
                    step.difference.changed.count() <= limits::second_copy_ranges_max;
  if (!pays || !make_room(step.inode, disk_bytes(displaced))) return std::nullopt;
  Copy& copy = copies_.emplace_back();
  copy.number = ++numbers_;
  copy.slot = slot;
  copy.stat = displaced;
  copy.inode = step.inode;
  copy.content = step.content;
  copy.stale = step.difference.changed;
  return copy.number;
}

void SecondCopies::ready(const std::vector<uint64_t>& numbers) {
  for (Copy& copy : copies_) {
    if (std::ranges::find(numbers, copy.number) != numbers.end()) copy.ready = true;
  }
}

std::optional<SecondCopies::Taken> SecondCopies::take(uint64_t inode, const Digest& content) {
  for (auto copy = copies_.begin(); copy != copies_.end();) {
    if (!copy->ready || copy->inode != inode || copy->content != content) {
      ++copy;
      continue;
    }
    Result<Fd> file = io::open_write(copy->slot.dir, copy->slot.name);
    const Result<io::Stat> now = file ? io::stat_fd(file->get()) : fail(file.error());
    const bool usable = now && as_recorded(copy->stat, *now) && !io::is_open_elsewhere(file->get());
    if (!usable) {
      copy = drop(copy);
      continue;
    }
    Taken taken{
        .file = std::move(*file), .slot = std::move(copy->slot), .stale = std::move(copy->stale)};
    copies_.erase(copy);
    return taken;
  }
  return std::nullopt;
}

void SecondCopies::drop_orphans(const Index& index) {
  for (auto copy = copies_.begin(); copy != copies_.end();) {
    const bool orphan = copy->ready && index.keys_of_inode(copy->inode).empty();
    copy = orphan ? drop(copy) : std::next(copy);
  }
}

bool SecondCopies::drop_all() {
  for (auto copy = copies_.begin(); copy != copies_.end();) {
    copy = copy->ready ? drop(copy) : std::next(copy);
  }
  bool freed = false;
  for (const Slot& slot : take_dropped()) {
    // What cannot be removed is found at the next start.
    freed = io::unlink_at(slot.dir, slot.name).has_value() || freed;
  }
  return freed;
}

}  // namespace repl::apply

#include "engine/send/order_keeper.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "engine/base/limits.h"

namespace repl::send {

void OrderKeeper::begin(bool watch) {
  watching_ = watch;
  holding_ = true;
  moved_from_.clear();
}

bool OrderKeeper::lacks(const Key& key) const {
  return large_.find(key) != nullptr || held_.covers(key);
}

// The stream belongs to the inode: a file that is renamed while it is under way goes on.
void OrderKeeper::follow_rename(const CutItem& item) {
  if (large_.empty() || held_.covers(item.key)) return;
  const std::optional<Entry> entry = index_.get(item.key);
  if (!entry) return;
  Work* work = large_.find_inode(entry->local.inode, entry->local.birth);
  if (work == nullptr || work->key == item.key || large_.find(item.key) != nullptr) return;
  const std::optional<Entry> left = index_.get(work->key);
  if (left && left->local.inode == work->inode) return;  // another name of it
  const bool changed = again_.erase(work->key) > 0;
  large_.renamed(*work, item.key);
  if (changed) again_.insert(item.key);
}

// The name of the same link group whose content is under way. It may have become one of a group in
// this very cut, by the item's name, and its own item is still to come.
Work* OrderKeeper::other_name(const CutItem& item) {
  if (!item.attr.link.is_set() || large_.empty() || held_.covers(item.key)) return nullptr;
  if (Work* known = large_.find_link(item.attr.link); known != nullptr) return known;
  const std::optional<Entry> entry = index_.get(item.key);
  Work* work = entry ? large_.find_inode(entry->local.inode, entry->local.birth) : nullptr;
  const std::optional<Entry> there = work != nullptr ? index_.get(work->key) : std::nullopt;
  if (!there || there->attr.link != item.attr.link) return nullptr;
  large_.changed(*work, there->attr);
  return work;
}

bool OrderKeeper::take(CutItem& item) {
  if (!watching_) {
    if (item.copy_from) moved_from_.insert(*item.copy_from);
    return false;
  }
  const bool file = !item.removed && item.attr.type == FileType::regular;
  if (file) follow_rename(item);
  if (Work* work = large_.find(item.key); work != nullptr && take_under_way(item, *work))
    return true;
  if (Work* first = file ? other_name(item) : nullptr; first != nullptr) {
    if (std::ranges::find(first->followers, item.key) == first->followers.end())
      first->followers.push_back(item.key);
    return true;
  }
  if (item.copy_from && lacks(*item.copy_from)) item.copy_from.reset();
  if (waits(item)) {
    held_.hold(std::move(item));
    return true;
  }
  if (item.copy_from) moved_from_.insert(*item.copy_from);
  return false;
}

bool OrderKeeper::waits(const CutItem& item) const {
  if (!holding_) return false;
  if (held_.covers(item.key) || held_.holds_link(item.attr.link)) return true;
  if (item.removed) return !moved_from_.contains(item.key);
  return item.destroys;
}

// False: the file whose content is under way is not there any more, or is to be sent anew; what the
// peer has is what it had before.
bool OrderKeeper::take_under_way(CutItem& item, Work& work) {
  const std::optional<Entry> entry = item.removed ? std::nullopt : index_.get(item.key);
  const bool same_file = entry && item.attr.type == FileType::regular && !item.unsent &&
                         item.attr.size > limits::inline_bytes_max &&
                         entry->local.inode == work.inode && entry->local.birth == work.birth;
  if (!same_file) {
    Work gone = large_.cancel(item.key);
    std::ranges::move(gone.followers, std::back_inserter(orphans_));
    again_.erase(item.key);
    item.base_content = gone.base_on_peer ? gone.base : Digest{};
    item.base_size = gone.base_on_peer ? gone.base_size : 0;
    item.content_changed = item.attr.type == FileType::regular;
    item.copy_from.reset();
    return false;
  }
  const ContentStreamer* stream = large_.stream_of(work);
  if (stream != nullptr) {
    const Attributes& opened = stream->opened().attr;
    const bool same_bytes = opened.size == item.attr.size && opened.mtime == item.attr.mtime;
    if (!same_bytes) again_.insert(item.key);
  }
  large_.changed(work, item.attr);
  return true;
}

}  // namespace repl::send

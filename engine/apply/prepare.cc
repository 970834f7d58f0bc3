// The part of Applier that makes objects in staging as their records arrive.
#include <fmt/core.h>

#include "engine/apply/applier.h"
#include "engine/apply/broken.h"
#include "engine/apply/compare.h"
#include "engine/model/hash.h"

namespace repl::apply {

namespace {

constexpr uint16_t transit_mode = 0755;
constexpr uint16_t building_mode = 0700;

bool same_node(const Attributes& a, const Attributes& b) {
  return a.type == b.type && a.target == b.target && a.rdev == b.rdev;
}

}  // namespace

Result<io::Stat> dress(int fd, const Attributes& want, bool just_created) {
  if (want.transit) return io::stat_fd(fd);
  static const std::string no_xattrs;
  const Status set =
      io::set_attributes(fd, want, io::AttributeSet{}, just_created ? &no_xattrs : nullptr);
  if (!set) return fail(set.error());
  Result<io::Stat> stat = io::stat_fd(fd);
  if (!stat) return fail(stat.error());
  // Nothing inherits an ACL in staging, so a new object without attributes need not be asked.
  const bool skip_xattrs = just_created && want.xattrs.empty();
  const Result<std::string_view> difference =
      skip_xattrs ? Result<std::string_view>(stat_difference(want, *stat, DirTimes::compare))
                  : fd_difference(want, fd, *stat, DirTimes::compare);
  if (!difference) return fail(difference.error());
  if (!difference->empty()) {
    return fail(ErrorCode::unsupported,
                fmt::format("this filesystem does not keep the {} as it was set", *difference),
                Remedy::hold);
  }
  return stat;
}

Status Applier::prepare(Item& item, Content content) {
  if (auto* link = std::get_if<ContentLink>(&content)) {
    const auto first = cut_.puts.find(link->to);
    const bool earlier = first != cut_.puts.end() && &cut_.items[first->second] != &item;
    if (!earlier || cut_.items[first->second].attr.type != item.attr.type) {
      return broken("a link to what was not sent before");
    }
    item.source = Source::link;
    item.from = std::move(link->to);
    return {};
  }
  switch (item.attr.type) {
    case FileType::directory:
      return prepare_directory(item);
    case FileType::regular:
      return prepare_regular(item, content);
    default:
      return prepare_special(item);
  }
}

Result<Slot> Applier::slot_for(const Item& item, bool& in_place) {
  in_place = staged_.contains(item.key.dir);
  if (!in_place) return Slot{.dir = staging_.new_dir(spread_++), .name = staging_.fresh_name()};
  const Result<int> dir = staged_.open(item.key.dir);
  if (!dir) return fail(dir.error());
  return Slot{.dir = *dir, .name = item.key.name};
}

Status Applier::prepare_directory(Item& item) {
  if (item.key.is_root()) return {};
  const auto place = index_.place_of(item.attr.dir);
  if (place) {
    item.from = Key{.dir = place->parent, .name = place->name};
    if (item.from != item.key) item.source = Source::moved;
    return {};
  }
  bool in_place = false;
  const size_t spread = spread_;
  const Result<Slot> slot = slot_for(item, in_place);
  if (!slot) return fail(slot.error());
  const uint16_t mode = item.attr.transit ? transit_mode : building_mode;
  if (const Status made = io::make_dir(slot->dir, slot->name, mode); !made) return made;
  item.source = in_place ? Source::in_place : Source::prepared;
  if (in_place) {
    staged_.add_nested(item.attr.dir, item.key.dir, item.key.name);
  } else {
    staged_.add_top(item.attr.dir, spread, slot->name);
    item.slot = *slot;
  }
  return {};
}

Status Applier::prepare_regular(Item& item, Content& content) {
  if (auto* inlined = std::get_if<ContentInline>(&content))
    return prepare_inline(item, inlined->bytes);
  if (const auto* staged = std::get_if<ContentStaged>(&content)) {
    if (!cut_.stages.insert(staged->stage).second) return broken("one content for two files");
    item.source = Source::stage;
    item.stage = staged->stage;
    return {};
  }
  const auto* copied = std::get_if<ContentCopy>(&content);
  const std::optional<Entry> base = index_.get(copied != nullptr ? copied->from : item.key);
  if (!base || base->attr.type != FileType::regular || base->attr.size != item.attr.size ||
      (item.attr.content.is_set() && base->attr.content != item.attr.content) ||
      (copied != nullptr && !base->attr.content.is_set())) {
    shop_.resend(item, "its content is not here");
    return {};
  }
  item.attr.content = base->attr.content;
  if (copied == nullptr && !leaves_links(item)) return {};
  item.source = Source::copy;
  item.from = copied != nullptr ? copied->from : item.key;
  return {};
}

// The name was one of several of its inode and is to be another inode's: what is set on it must not
// reach the names that stay.
bool Applier::leaves_links(const Item& item) const {
  const std::optional<Entry> entry = index_.get(item.key);
  return entry && entry->attr.link.is_set() && entry->attr.link != item.attr.link &&
         index_.keys_of_link(entry->attr.link).size() > 1;
}

Status Applier::prepare_special(Item& item) {
  const std::optional<Entry> entry = index_.get(item.key);
  if (entry && same_node(entry->attr, item.attr) && !leaves_links(item)) return {};
  return make_object(item, [&](int dir, const std::string& name) -> Result<Fd> {
    const Status made = item.attr.type == FileType::symlink
                            ? io::make_symlink(dir, name, item.attr.target)
                            : io::make_node(dir, name, item.attr.type, item.attr.rdev);
    if (!made) return fail(made.error());
    return io::open_path(dir, name);
  });
}

Status Applier::prepare_inline(Item& item, const std::string& bytes) {
  ContentHasher hasher;
  hasher.update(bytes);
  const Digest digest = hasher.finish();
  if (item.attr.content.is_set() && item.attr.content != digest) {
    shop_.resend(item, "the content is not what its digest says");
    return {};
  }
  item.attr.content = digest;
  if (hasher.blocks().size() > 1) item.blocks = hasher.blocks();
  return make_object(item, [&](int dir, const std::string& name) -> Result<Fd> {
    Result<Fd> file = io::create_file(dir, name);
    if (!file || bytes.empty()) return file;
    if (const Status written = io::write_at(file->get(), 0, bytes); !written)
      return fail(written.error());
    return file;
  });
}

Status Applier::make_object(
    Item& item, const std::function<Result<Fd>(int dir, const std::string& name)>& make) {
  bool in_place = false;
  const Result<Slot> slot = slot_for(item, in_place);
  if (!slot) return fail(slot.error());
  item.source = in_place ? Source::in_place : Source::prepared;
  if (!in_place) item.slot = *slot;
  Result<Fd> fd = make(slot->dir, slot->name);
  const Result<io::Stat> stat =
      fd ? dress(fd->get(), item.attr, true) : Result<io::Stat>(std::unexpected(fd.error()));
  if (!stat) {
    // Inside a new directory it would enter with it.
    const Status gone = in_place ? io::unlink_at(slot->dir, slot->name) : Status();
    if (!gone && gone.error().code != ErrorCode::not_found) return gone;
    return fail(stat.error());
  }
  item.stat = *stat;
  if (item.attr.type == FileType::regular) {
    // Held only while the cut is small enough to be synced file by file.
    if (cut_.items.size() + work_.fds.size() <= limits::held_fds_max) item.fd = std::move(*fd);
  } else {
    work_.whole_filesystem = true;
  }
  return {};
}

}  // namespace repl::apply

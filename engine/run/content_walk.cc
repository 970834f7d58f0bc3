#include "engine/run/content_walk.h"

#include <algorithm>
#include <utility>

#include "engine/change/observer.h"

namespace repl::run {

namespace {

constexpr size_t buffer_bytes = 1 << 20;
constexpr size_t children_per_fetch = 512;

}  // namespace

ContentWalk::ContentWalk(const Index& index, io::DirCache& dirs, WalkKind kind, Sink sink,
                         Witness* witness)
    : index_(index), dirs_(dirs), kind_(kind), sink_(std::move(sink)), witness_(witness) {
  stack_.push_back(Level{.dir = root_dir, .after = {}, .names = {}, .at = {}});
}

std::vector<std::string> ContentWalk::place() const {
  std::vector<std::string> names;
  for (const Level& level : stack_) {
    if (level.at.empty()) break;
    names.push_back(level.at);
  }
  return names;
}

void ContentWalk::go_on_behind(const std::vector<std::string>& place) {
  for (const std::string& name : place) {
    Level& level = stack_.back();
    level.after = level.at = name;
    const std::optional<Entry> entry = index_.get(Key{.dir = level.dir, .name = name});
    if (!entry || entry->attr.type != FileType::directory) return;
    stack_.push_back(Level{.dir = entry->attr.dir, .after = {}, .names = {}, .at = {}});
  }
}

bool ContentWalk::step(uint64_t bytes_max) {
  uint64_t spent = 0;
  constexpr uint64_t file_cost = 4096;  // a step ends also among many empty files
  while (spent < bytes_max) {
    if (!file_ && !next_file()) return true;
    if (file_) spent += read_some(bytes_max - spent);
    spent += file_cost;
  }
  return false;
}

// Depth first. The index may change between steps: what went is skipped, what came behind the
// cursor is not missed by its event.
bool ContentWalk::next_file() {
  while (!stack_.empty()) {
    Level& level = stack_.back();
    if (level.names.empty() && (level.last || !fetch(level))) {
      stack_.pop_back();
      continue;
    }
    const Key key{.dir = level.dir, .name = std::move(level.names.front())};
    level.names.pop_front();
    level.at = key.name;
    const std::optional<Entry> entry = index_.get(key);
    if (!entry) continue;
    if (witness_ != nullptr) witness_->entry(stack_.size(), key, entry->attr);
    if (entry->attr.type == FileType::directory) {
      stack_.push_back(Level{.dir = entry->attr.dir, .after = {}, .names = {}, .at = {}});
      continue;
    }
    const bool wanted = entry->attr.type == FileType::regular &&
                        (kind_ == WalkKind::everything || !entry->attr.content.is_set()) &&
                        (!after_ || entry->cut > *after_);
    if (!wanted) continue;
    begin_file(key, *entry);
    return true;
  }
  return false;
}

// False when there is nothing more in the directory, or nothing unknown below it.
bool ContentWalk::fetch(Level& level) {
  const std::optional<DirSummary> summary = index_.summary(level.dir);
  if (!summary || (kind_ == WalkKind::unknown_only && summary->unknown == 0)) return false;
  auto children = index_.children_after(level.dir, level.after, children_per_fetch);
  level.last = children.size() < children_per_fetch;
  for (auto& [name, entry] : children) level.names.push_back(std::move(name));
  if (!level.names.empty()) level.after = level.names.back();
  return !level.names.empty();
}

void ContentWalk::begin_file(const Key& key, const Entry& entry) {
  file_.emplace(
      OpenFile{.key = key, .entry = entry, .fd = {}, .opened = {}, .offset = 0, .hasher = {}});
  const Result<int> dir = dirs_.open(key.dir);
  if (!dir) return end_file(dir.error().message);
  Result<Fd> fd = io::open_read(*dir, key.name);
  if (!fd) return end_file(fd.error().message);
  const Result<io::Stat> opened = io::stat_fd(fd->get());
  if (!opened) return end_file(opened.error().message);
  if (past_the_cache_) io::drop_cached(fd->get());
  file_->fd = std::move(*fd);
  file_->opened = *opened;
}

uint64_t ContentWalk::read_some(uint64_t bytes_max) {
  buffer_.resize(buffer_bytes);
  uint64_t spent = 0;
  while (file_ && spent < bytes_max) {
    const Result<size_t> size =
        io::read_at(file_->fd.get(), file_->offset, buffer_.data(), buffer_.size());
    if (!size) {
      end_file(size.error().message);
      break;
    }
    const std::string_view bytes = std::string_view(buffer_).substr(0, *size);
    file_->hasher.update(bytes);
    if (witness_ != nullptr) witness_->bytes(bytes);
    file_->offset += *size;
    bytes_read_ += *size;
    spent += *size;
    if (*size < buffer_.size()) end_file({});
  }
  return spent;
}

void ContentWalk::end_file(std::string problem) {
  OpenFile file = std::move(*file_);
  file_.reset();
  Found found{.key = std::move(file.key),
              .entry = std::move(file.entry),
              .digest = {},
              .blocks = {},
              .problem = std::move(problem)};
  if (past_the_cache_ && file.fd.valid()) io::drop_cached(file.fd.get());
  if (found.problem.empty()) {
    const Result<io::Stat> stat = io::stat_fd(file.fd.get());
    const bool still = stat && stat->attr.size == file.offset &&
                       stat->attr.mtime == file.opened.attr.mtime &&
                       stat->attr.size == found.entry.attr.size;
    if (still && (kind_ == WalkKind::everything || change::same_stat(found.entry, *stat))) {
      found.digest = file.hasher.finish();
      found.blocks = file.hasher.blocks();
    } else {
      found.problem = "changed since it was last looked at";
    }
  }
  sink_(std::move(found));
}

}  // namespace repl::run

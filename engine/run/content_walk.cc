#include "engine/run/content_walk.h"

#include <algorithm>
#include <utility>

#include "engine/change/observer.h"

namespace repl::run {

namespace {

constexpr size_t buffer_bytes = 1 << 20;
constexpr size_t children_per_step = 512;

}  // namespace

ContentWalk::ContentWalk(const Index& index, io::DirCache& dirs, WalkKind kind, Sink sink)
    : index_(index), dirs_(dirs), kind_(kind), sink_(std::move(sink)) {
  stack_.push_back(Level{.dir = root_dir, .after = {}});
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

// Depth first. The index may change between steps: a directory that went is skipped, a name is found again by
// its place in the order.
bool ContentWalk::next_file() {
  while (!stack_.empty()) {
    const DirId dir = stack_.back().dir;
    const std::optional<DirSummary> summary = index_.summary(dir);
    const bool nothing_here = !summary || (kind_ == WalkKind::unknown_only && summary->unknown == 0);
    const auto children = nothing_here ? std::vector<std::pair<std::string, Entry>>{}
                                       : index_.children_after(dir, stack_.back().after, children_per_step);
    if (children.empty()) {
      stack_.pop_back();
      continue;
    }
    bool descended = false;
    for (const auto& [name, entry] : children) {
      stack_.back().after = name;
      if (entry.attr.type == FileType::directory) {
        stack_.push_back(Level{.dir = entry.attr.dir, .after = {}});
        descended = true;
        break;
      }
      const bool wanted = entry.attr.type == FileType::regular &&
                          (kind_ == WalkKind::everything || !entry.attr.content.is_set());
      if (!wanted) continue;
      begin_file(Key{.dir = dir, .name = name}, entry);
      return true;
    }
    if (!descended && children.size() < children_per_step) stack_.pop_back();
  }
  return false;
}

void ContentWalk::begin_file(const Key& key, const Entry& entry) {
  ++files_seen_;
  file_.emplace(OpenFile{.key = key, .entry = entry, .fd = {}, .opened = {}, .offset = 0, .hasher = {}});
  const Result<int> dir = dirs_.open(key.dir);
  if (!dir) return end_file(dir.error().message);
  Result<Fd> fd = io::open_read(*dir, key.name);
  if (!fd) return end_file(fd.error().message);
  const Result<io::Stat> opened = io::stat_fd(fd->get());
  if (!opened) return end_file(opened.error().message);
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
    file_->hasher.update(std::string_view(buffer_).substr(0, *size));
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
  Found found{.key = std::move(file.key), .entry = std::move(file.entry), .digest = {}, .blocks = {},
              .problem = std::move(problem)};
  if (found.problem.empty()) {
    const Result<io::Stat> stat = io::stat_fd(file.fd.get());
    const bool still = stat && stat->attr.size == file.offset && stat->attr.mtime == file.opened.attr.mtime &&
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

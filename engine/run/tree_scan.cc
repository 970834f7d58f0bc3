#include "engine/run/tree_scan.h"

#include <fcntl.h>

#include <utility>
#include <vector>

namespace repl::run {

TreeScan::TreeScan(TreeParts& parts, ScanVisitor& visitor, bool all_details,
                   std::function<void()> wake)
    : parts_(parts),
      visitor_(visitor),
      all_details_(all_details),
      scanner_(
          parts.options.scan_threads,
          [&parts](DirId dir, int fd, std::string_view handle) -> Status {
            return parts.watcher ? parts.watcher->add(dir, fd, handle) : Status{};
          },
          std::move(wake)) {}

void TreeScan::begin(DirId dir) {
  const Result<int> fd = parts_.dirs->open(dir);
  if (!fd) return visitor_.unreadable(dir, fd.error());
  const int copy = ::fcntl(*fd, F_DUPFD_CLOEXEC, 0);
  if (copy < 0) return visitor_.unreadable(dir, sys_error("duplicate a descriptor", EMFILE));
  scan::Job job;
  job.dir = dir;
  job.self = std::make_shared<Fd>(copy);
  if (!all_details_) job.want_details = [](std::string_view, const io::Stat&) { return false; };
  scanner_.post(std::move(job));
}

bool TreeScan::step() {
  for (scan::Listing& listing : scanner_.take()) visit(listing);
  return scanner_.idle();
}

void TreeScan::visit(scan::Listing& listing) {
  if (listing.watch_error) visitor_.unwatched(listing.dir, *listing.watch_error);
  if (listing.error) {
    if (listing.error->code == ErrorCode::not_found)
      visitor_.elsewhere(listing.dir);
    else
      visitor_.unreadable(listing.dir, *listing.error);
    return;
  }
  visitor_.listed(listing.dir, listing.self);
  std::unordered_set<std::string_view> present;
  present.reserve(listing.children.size());
  for (const scan::Child& child : listing.children) present.insert(child.name);
  std::vector<std::string> missing;
  parts_.index->for_children(listing.dir, [&](std::string_view name, const Entry&) {
    if (!present.contains(name)) missing.emplace_back(name);
    return true;
  });
  for (scan::Child& child : listing.children) {
    ++seen_;
    const Key key{.dir = listing.dir, .name = child.name};
    if (child.error) {
      if (child.error->code == ErrorCode::not_found)
        visitor_.missing(key);
      else
        visitor_.unreadable_child(key, *child.error);
      continue;
    }
    std::string handle = child.handle;
    const DirId below = visitor_.child(key, listing.fd->get(), child);
    if (!below.is_set()) continue;
    scan::Job job;
    job.dir = below;
    job.parent = listing.fd;
    job.name = child.name;
    job.handle = std::move(handle);
    if (!all_details_) job.want_details = [](std::string_view, const io::Stat&) { return false; };
    scanner_.post(std::move(job));
  }
  for (std::string& name : missing) {
    visitor_.missing(Key{.dir = listing.dir, .name = std::move(name)});
  }
}

}  // namespace repl::run

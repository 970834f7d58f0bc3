#include "engine/scan/read_listing.h"

#include <utility>

namespace repl::scan {

namespace {

Status open_job(const Job& job, Listing& listing) {
  if (!job.parent) {
    listing.fd = job.self;
    return {};
  }
  Result<Fd> fd = io::open_dir(job.parent->get(), job.name);
  if (!fd) return fail(std::move(fd.error()));
  listing.fd = std::make_shared<Fd>(std::move(*fd));
  return {};
}

// Moves the value out, or returns the error.
template <typename T>
Status assign(T& to, Result<T> from) {
  if (!from) return fail(std::move(from.error()));
  to = std::move(*from);
  return {};
}

Status look_at_child(int dir, Child& child, const Job& job) {
  if (Status done = assign(child.stat, io::stat_at(dir, child.name)); !done) return done;
  const FileType type = child.stat.attr.type;
  if (type == FileType::directory) {
    if (Status done = assign(child.handle, io::handle_at(dir, child.name)); !done) return done;
  }
  if (job.want_details && !job.want_details(child.name, child.stat)) return {};
  if (Status done = assign(child.xattrs, io::read_xattrs_at(dir, child.name)); !done) return done;
  if (type == FileType::symlink) {
    if (Status done = assign(child.target, io::read_link(dir, child.name)); !done) return done;
  }
  child.details = true;
  return {};
}

Child read_child(int dir, std::string_view name, const Job& job) {
  Child child{.name = std::string(name)};
  Status looked = look_at_child(dir, child, job);
  if (looked) return child;
  return Child{.name = std::move(child.name), .error = std::move(looked.error())};
}

Status read_into(Listing& listing, const Job& job, const BeforeListing& before_listing) {
  if (Status opened = open_job(job, listing); !opened) return opened;
  const int dir = listing.fd->get();
  if (Status done = assign(listing.self_handle, io::handle_of(dir)); !done) return done;
  // RACE: renames may have put another directory at this name since the parent was listed.
  if (!job.handle.empty() && job.handle != listing.self_handle)
    return fail(ErrorCode::not_found, "another directory has that name now");
  Status watched = before_listing(job.dir, dir, listing.self_handle);
  if (!watched) listing.watch_error = std::move(watched.error());
  if (Status looked = assign(listing.self, io::stat_fd(dir)); !looked) return looked;
  return io::list_dir(dir, [&](std::string_view name, FileType) {
    listing.children.push_back(read_child(dir, name, job));
    return true;
  });
}

}  // namespace

Listing read_listing(const Job& job, const BeforeListing& before_listing) {
  Listing listing{.dir = job.dir};
  Status done = read_into(listing, job, before_listing);
  if (!done) listing.error = std::move(done.error());
  return listing;
}

}  // namespace repl::scan

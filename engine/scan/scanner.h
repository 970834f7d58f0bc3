// scanner.h: reads directories in parallel: getdents64 + statx, watches set before each listing.
//
// The scanner knows no index and no filter: the owner compares each listing with the index, decides
// which child directories to go into, and posts those. Contents are not read here.
//
// Thread: post() and take() from the owner; workers are the scanner's own. A worker holds at most
// one directory's listing in memory plus what the owner has not taken; at listings_waiting_max it
// waits. With no workers the owner reads, one directory in each take().
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/base/error.h"
#include "engine/base/fd.h"
#include "engine/base/ids.h"
#include "engine/io/fs_ops.h"

namespace repl::scan {

struct Child {
  std::string name;
  io::Stat stat;
  bool details = false;        // xattrs and target were read
  std::string xattrs;          // canonical
  std::string target;          // symlinks
  std::string handle;          // directories
  std::optional<Error> error;  // could not be looked at (permission, vanished): stat is empty
};

struct Listing {
  DirId dir;
  std::shared_ptr<Fd> fd;  // kept open for posting children and for reading
  io::Stat self;           // of the directory, watched but not listed yet
  std::string self_handle;
  std::vector<Child> children;       // unsorted
  std::optional<Error> error;        // the directory could not be opened or listed
  std::optional<Error> watch_error;  // it was listed, but it is not watched
};

struct Job {
  DirId dir;
  std::shared_ptr<Fd> parent;  // null: `name` is ignored and `self` is the directory
  std::string name;
  // Of the directory that is meant; another one of that name is `not_found`. Empty: any.
  std::string handle;
  std::shared_ptr<Fd> self;
  // Whether this child's xattrs and target are worth reading: false when the stat equals the index.
  // Called on a worker's thread; null: always.
  std::function<bool(std::string_view name, const io::Stat& stat)> want_details;
};

// Called on a worker's thread, before the directory is listed: sets the watch.
using BeforeListing = std::function<Status(DirId dir, int fd, std::string_view handle)>;

class Scanner {
 public:
  Scanner(size_t workers, BeforeListing before_listing, std::function<void()> wake_owner);
  ~Scanner();  // jobs not begun are dropped
  Scanner(const Scanner&) = delete;
  Scanner& operator=(const Scanner&) = delete;

  void post(Job job);
  // What is finished, never blocks. Empty and idle() together mean the end.
  [[nodiscard]] std::vector<Listing> take();
  [[nodiscard]] bool idle() const;  // nothing posted is unfinished or untaken
  void cancel();                    // drops what is not begun

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

inline constexpr size_t listings_waiting_max = 256;

}  // namespace repl::scan

// tree_scan.h: walks the tree with the scanner's threads and tells a visitor what is there and what
// is missing.
//
// Watches are set before each directory is listed, so what changes behind the scan arrives as an
// event.
//
// Thread: the engine's; the scanner's workers only read directories and set watches.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <unordered_set>

#include "engine/run/tree_parts.h"
#include "engine/scan/scanner.h"

namespace repl::run {

class ScanVisitor {
 public:
  virtual ~ScanVisitor() = default;
  // A name that is there. Returns the directory to go into; unset: none.
  virtual DirId child(const Key& key, int dir_fd, scan::Child& child) = 0;
  // A name that the index has and the directory has not.
  virtual void missing(const Key& key) = 0;
  // A directory that is watched now, as it is before its children are told.
  virtual void listed(DirId dir, const io::Stat& self) = 0;
  // A directory that is not where it was when its parent was listed: an event is on the way, and
  // until it is found again nothing below it is watched.
  virtual void elsewhere(DirId dir) = 0;
  // A directory that could not be read; its keys stay as they are. Or one that cannot be watched.
  virtual void unreadable(DirId dir, const Error& error) = 0;
  // A child that could not be looked at.
  virtual void unreadable_child(const Key& key, const Error& error) = 0;
  virtual void unwatched(DirId dir, const Error& error) = 0;
};

class TreeScan {
 public:
  // `all_details`: attributes that cost system calls are read by the workers for every child (a
  // first scan).
  TreeScan(TreeParts& parts, ScanVisitor& visitor, bool all_details, std::function<void()> wake);

  // Posts one more subtree.
  void begin(DirId dir);
  // Takes what is finished, never blocks for long. True when everything posted has been visited.
  [[nodiscard]] bool step();
  [[nodiscard]] uint64_t seen() const { return seen_; }

 private:
  void visit(scan::Listing& listing);
  TreeParts& parts_;
  ScanVisitor& visitor_;
  bool all_details_;
  uint64_t seen_ = 0;
  scan::Scanner scanner_;
};

}  // namespace repl::run

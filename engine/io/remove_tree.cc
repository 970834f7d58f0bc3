#include <cerrno>
#include <optional>
#include <vector>

#include "engine/io/fs_ops.h"
#include "engine/io/leaf.h"

namespace repl::io {

namespace {

// Descriptors held at once. What hangs deeper is moved up to the top of the tree that is going
// away, and removed from there: no depth is too deep, and ".." is never needed.
constexpr size_t held_levels_max = 32;
// RACE: somebody may create in a directory that is being emptied; then it is emptied again, this
// often.
constexpr int empty_tries_max = 16;

struct Level {
  Fd fd;
  std::string name;                   // in the level above
  std::vector<std::string> children;  // directories still to go
  int tries = 0;
};

class TreeRemoval {
 public:
  TreeRemoval(int dir, std::string_view name) : dir_(dir), name_(name) {}

  Status run() {
    if (Status opened = push(dir_, name_); !opened) return opened;
    while (!levels_.empty()) {
      Level& level = levels_.back();
      if (level.children.empty()) {
        close_level();
      } else {
        const std::string child = std::move(level.children.back());
        level.children.pop_back();
        descend(child);
      }
    }
    if (error_) return fail(std::move(*error_));
    return {};
  }

 private:
  Status push(int parent, std::string_view name) {
    Result<Fd> fd = open_dir(parent, name);
    if (!fd) return fail(fd.error());
    levels_.push_back(Level{.fd = std::move(*fd), .name = std::string(name)});
    if (Status emptied = empty_files(levels_.back()); !emptied) {
      levels_.pop_back();
      return emptied;
    }
    return {};
  }

  // Unlinks while listing (an entry that was returned may go, on every Linux filesystem) and notes
  // directories.
  Status empty_files(Level& level) {
    return list_dir(level.fd.get(), [&](std::string_view name, FileType type) {
      if (type != FileType::directory) {
        const Status removed = unlink_at(level.fd.get(), name);
        if (removed || removed.error().sys_errno == ENOENT) return true;
        if (removed.error().sys_errno != EISDIR) {
          note(removed.error());
          return true;
        }
      }
      level.children.emplace_back(name);
      return true;
    });
  }

  void descend(const std::string& child) {
    Level& level = levels_.back();
    if (levels_.size() >= held_levels_max) {
      if (const Status raised = raise(level.fd.get(), child); !raised) note(raised.error());
      return;
    }
    const Status opened = push(level.fd.get(), child);
    if (opened) return;
    if (opened.error().sys_errno == ENOENT) return;
    // RACE: it was a directory when it was listed; what took its place goes like any other name.
    if (opened.error().sys_errno == ENOTDIR && unlink_at(level.fd.get(), child)) return;
    note(opened.error());
  }

  // Moves a subtree to the top level, under a name that is free there.
  Status raise(int from, const std::string& child) {
    Level& top = levels_.front();
    for (;;) {
      std::string name = fmt::format("repl-raised-{}", raised_++);
      const Status moved = rename_noreplace(from, child, top.fd.get(), name);
      if (moved) {
        top.children.push_back(std::move(name));
        return {};
      }
      if (moved.error().sys_errno == ENOENT) return {};
      if (moved.error().sys_errno != EEXIST) return moved;
    }
  }

  void close_level() {
    const int parent = levels_.size() == 1 ? dir_ : levels_[levels_.size() - 2].fd.get();
    const Status removed = remove_dir(parent, levels_.back().name);
    const int error_number = removed ? 0 : removed.error().sys_errno;
    if (error_number == ENOTEMPTY || error_number == EEXIST) {
      Level& level = levels_.back();
      // With an error noted, what is left is most likely what could not be removed.
      if (!error_ && ++level.tries < empty_tries_max) {
        if (const Status again = empty_files(level); again) return;
      }
    }
    if (!removed && error_number != ENOENT) note(removed.error());
    levels_.pop_back();
  }

  // The first error is the telling one; the rest of the tree still goes.
  void note(const Error& error) {
    if (!error_) error_ = error;
  }

  int dir_;
  std::string name_;
  std::vector<Level> levels_;
  std::optional<Error> error_;
  uint64_t raised_ = 0;
};

}  // namespace

Status remove_tree(int dir, std::string_view name) {
  Status removed = unlink_at(dir, name);
  if (removed || removed.error().sys_errno != EISDIR) return removed;
  removed = remove_dir(dir, name);
  if (removed || removed.error().sys_errno != ENOTEMPTY) return removed;
  return TreeRemoval(dir, name).run();
}

}  // namespace repl::io

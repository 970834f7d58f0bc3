// observer.h: one key, as it is on disk now → the index, and what that means for a cut.
//
// This is where hints become truth. The observer looks (statx, attributes, and the bytes of a small
// content), compares with the index, gives directories and link groups their ids, and puts what
// changed into the index under the number of the cut that is being made.
//
// Thread: one owner.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "engine/base/log.h"
#include "engine/change/id_allocator.h"
#include "engine/change/owner_names.h"
#include "engine/index/index.h"
#include "engine/io/dir_cache.h"
#include "engine/io/fs_ops.h"
#include "engine/model/cut.h"
#include "engine/model/policy.h"

namespace repl::change {

// A key as it was seen on disk.
struct Seen {
  io::Stat stat;
  bool details = false;  // the four below were read
  std::string xattrs;
  std::string target;
  std::string handle;
};

enum class Verdict : uint8_t {
  unchanged,
  changed,     // `item` says how
  gone,        // nothing is there
  excluded,    // something is there, but it is not in the tree
  covered,     // another filesystem is mounted there: its keys are frozen
  held,        // a directory was there whose removal is held: what is there now is not looked at
  no_parent,   // its directory is not where the index has it: the directory's own key is in `also`
  unreadable,  // `error` says why; to be tried again
};

struct Outcome {
  Verdict verdict = Verdict::unchanged;
  CutItem item;
  DirId list;  // a directory whose children must be looked at; unset: none
  std::vector<Key>
      also;  // other keys to look at: names of the same inode, the former place of a moved one
  // Other names of the file that the key had before: what was written through it is theirs.
  std::vector<Key> left_behind;
  DirId there;  // held: the directory that is there, if that is a known one
  std::vector<std::pair<DirId, Key>> left;  // directories that left a place, where peers have them
  std::optional<Error> error;
};

// Whether a content that may have changed is read at once (small ones) or left unknown for the
// sender, which digests it while it sends.
enum class Contents : uint8_t { read_small, leave_unknown };

struct ObserverParts {
  Index& index;
  io::DirCache& dirs;
  const Policy& policy;
  IdAllocator& ids;
  uint64_t root_mount = 0;    // STATX_MNT_ID of the root
  std::string reserved_name;  // our staging directory below the root; empty: elsewhere
  // May the directory that the index has at the key go, since another object is there? Empty: yes.
  std::function<bool(const Key&, const Entry& old)> may_replace = {};
};

[[nodiscard]] bool same_stat(const Entry& entry, const io::Stat& stat);

class Observer {
 public:
  explicit Observer(ObserverParts parts) : parts_(std::move(parts)) {}

  // Looks at the key and records what it finds under `cut`. `bits`: what the kernel hinted, 0 when
  // suspected for another reason; a content is suspect if a hint says modified, or if its stat says
  // so.
  [[nodiscard]] Outcome look(const Key& key, uint32_t bits, CutNumber cut, Contents contents);
  // The same for a child that a scan has seen already. `scan`: there were no hints, so a changed
  // ctime alone makes a content suspect.
  [[nodiscard]] Outcome observe(const Key& key, int dir_fd, Seen seen, uint32_t bits, bool scan,
                                CutNumber cut, Contents contents);
  // The key is gone: removes it from the index with all it holds, and settles its link group. Empty
  // if the index had nothing there.
  [[nodiscard]] std::vector<CutItem> record_removal(const Key& key, CutNumber cut);
  [[nodiscard]] Membership membership(const Key& key, bool is_directory) const;
  // With ids = "name": fills owner and group from uid and gid.
  void describe_owner(Attributes& attr);

 private:
  struct Pass;  // one look at one key
  bool read_details(Pass& pass);
  [[nodiscard]] bool may_replace(const Pass& pass) const;
  bool settle_directory(Pass& pass);
  bool settle_content(Pass& pass);
  void settle_links(Pass& pass);
  void name_those_left_behind(Pass& pass) const;
  // The link groups that have a name at or below the entry.
  [[nodiscard]] std::set<LinkId> links_of(const Entry& entry) const;
  Outcome settle_unchanged(Pass& pass);
  void record_change(Pass& pass);
  bool read_small(Pass& pass);
  [[nodiscard]] bool reads_the_same(int fd, size_t size);

  ObserverParts parts_;
  OwnerNames names_;
  std::string scratch_;
  std::string again_;  // contents are read here before their size is certain
};

}  // namespace repl::change

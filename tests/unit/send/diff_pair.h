// diff_pair.h: two real indexes, a DiffWalk on one of them and answers from the other, delivered
// as a test likes; random trees; and what a diff must say of them.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <deque>
#include <map>
#include <random>
#include <set>

#include "engine/index/listing.h"
#include "engine/send/diff_walk.h"
#include "tests/unit/send/model_receiver.h"

namespace repl::send {

inline Attributes diff_file(uint64_t content, uint64_t size = 10) {
  return Attributes{.type = FileType::regular,
                    .mode = 0644,
                    .size = size,
                    .content = Digest{Bits128{.high = content == 0 ? 0u : 1u, .low = content}}};
}
inline Attributes diff_dir(DirId id) {
  return Attributes{.type = FileType::directory, .mode = 0755, .dir = id};
}
inline void set(const TempIndex& index, DirId dir, std::string name, Attributes attr) {
  EXPECT_TRUE(index->put(Key{.dir = dir, .name = std::move(name)},
                         Entry{.attr = std::move(attr), .cut = CutNumber{1}}));
}
inline void set_root(const TempIndex& index, uint16_t mode = 0755) {
  Attributes root = diff_dir(root_dir);
  root.mode = mode;
  EXPECT_TRUE(index->put(root_key, Entry{.attr = root, .cut = CutNumber{1}}));
}

struct DiffPair {
  TempIndex here;
  TempIndex peer;
  std::deque<Message> asked;
  std::deque<Message> answers;
  std::vector<DiffItem> items;
  size_t asks = 0;
  size_t listed = 0;       // directories
  size_t waiting_max = 0;  // directories asked for and not listed
  std::unique_ptr<DiffWalk> walk;

  DiffPair() {
    set_root(here);
    set_root(peer);
  }
  void start(const DiffLimits& limits = {}) {
    asked.clear();
    answers.clear();
    items.clear();
    asks = listed = waiting_max = 0;
    walk = std::make_unique<DiffWalk>(
        *here.index, test_seed,
        [this](Message message) {
          ++asks;
          asked.push_back(std::move(message));
          size_t waiting = 0;
          for (const Message& each : asked) {
            if (const auto* list = std::get_if<ListDirectories>(&each)) {
              EXPECT_LE(list->dirs.size(), limits::records_per_message_max);
              waiting += list->dirs.size();
            }
          }
          waiting_max = std::max(waiting_max, waiting);
        },
        [this](DiffItem item) { items.push_back(std::move(item)); }, limits);
    walk->start();
  }
  // The peer answers the oldest question.
  bool answer() {
    if (asked.empty()) return false;
    const Message message = std::move(asked.front());
    asked.pop_front();
    if (const auto* ask = std::get_if<AskKeys>(&message)) {
      answers.emplace_back(keys_answer(*peer.index, *ask));
    }
    if (const auto* list = std::get_if<ListDirectories>(&message)) {
      for (const DirId dir : list->dirs) {
        ++listed;
        list_directory(*peer.index, dir,
                       [&](DirectoryListing part) { answers.emplace_back(std::move(part)); });
      }
    }
    return true;
  }
  bool deliver() {
    if (answers.empty()) return false;
    const Message message = std::move(answers.front());
    answers.pop_front();
    const Status status = std::holds_alternative<KeysAnswer>(message)
                              ? walk->on_answer(std::get<KeysAnswer>(message))
                              : walk->on_listing(std::get<DirectoryListing>(message));
    EXPECT_TRUE(status) << (status ? "" : status.error().message);
    return true;
  }
  void finish() {
    while (walk->step() || deliver() || answer()) {
    }
    EXPECT_TRUE(walk->done());
    EXPECT_FALSE(walk->step());
  }
  void run(const DiffLimits& limits = {}) {
    start(limits);
    finish();
  }
  [[nodiscard]] uint64_t count(DiffChange change) const { return walk->counts().of(change).items; }
  // "change path" or "change path<-peer path", sorted.
  [[nodiscard]] std::vector<std::string> lines() const {
    static const char* const names[] = {"peer", "here", "content", "attributes", "type", "moved"};
    std::vector<std::string> out;
    for (const DiffItem& item : items) {
      out.push_back(std::string(names[static_cast<size_t>(item.change)]) + " " + item.path +
                    (item.peer_path.empty() ? "" : "<-" + item.peer_path));
    }
    std::ranges::sort(out);
    return out;
  }
};

// --- what a diff must say ---

using Paths = std::map<std::string, Attributes>;

inline void add_paths(const Index& index, DirId dir, const std::string& at, Paths& out) {
  index.for_children(dir, [&](std::string_view name, const Entry& entry) {
    std::string path = at.empty() ? std::string(name) : at + "/" + std::string(name);
    if (entry.attr.type == FileType::directory) add_paths(index, entry.attr.dir, path, out);
    out.emplace(std::move(path), entry.attr);
    return true;
  });
}
inline Paths paths_of(const Index& index) {
  Paths out;
  add_paths(index, root_dir, "", out);
  if (const auto root = index.get(root_key)) out.emplace("", root->attr);
  return out;
}
inline std::pair<std::string, std::string> split(const std::string& path) {
  const size_t slash = path.rfind('/');
  if (slash == std::string::npos) return {"", path};
  return {path.substr(0, slash), path.substr(slash + 1)};
}
inline std::string join(const std::string& dir, const std::string& name) {
  return dir.empty() ? name : dir + "/" + name;
}

inline std::optional<DiffChange> expected_change(const Attributes& ours, const Attributes& theirs,
                                                 uint64_t& unknown) {
  if (ours.type != theirs.type) return DiffChange::type;
  std::string a, b;
  append_compared(a, ours);
  append_compared(b, theirs);
  const bool same = a == b && ours.link_names == theirs.link_names;
  if (ours.type == FileType::regular) {
    if (ours.size != theirs.size) return DiffChange::content;
    if (same && ours.content == theirs.content) return std::nullopt;
    if (!ours.content.is_set() || !theirs.content.is_set()) {
      ++unknown;
      return DiffChange::content;
    }
    if (ours.content != theirs.content) return DiffChange::content;
  }
  return same ? std::nullopt : std::optional(DiffChange::attributes);
}

// Holds the items against both trees: what is neither only here nor only there is paired, each pair
// differs as was said, and what could be paired is.
class DiffCheck {
 public:
  explicit DiffCheck(const DiffPair& pair)
      : pair_(pair), ours_(paths_of(*pair.here.index)), theirs_(paths_of(*pair.peer.index)) {
    for (const DiffItem& item : pair.items) sort_in(item);
  }
  void run() {
    std::map<std::string, std::string> paired;  // theirs → ours
    uint64_t unknown = 0;
    for (const auto& [path, attr] : ours_) {
      if (only_here_.contains(path)) {
        expect_alone(path);
        continue;
      }
      const auto there = place_there(path);
      ASSERT_TRUE(there) << path << " lies in what is only here, and is not told";
      const auto theirs = theirs_.find(*there);
      ASSERT_NE(theirs, theirs_.end()) << path << " is only here, and is not told";
      EXPECT_TRUE(paired.emplace(*there, path).second) << *there << " is paired twice";
      EXPECT_FALSE(only_peer_.contains(*there)) << *there;
      const auto change = expected_change(attr, theirs->second, unknown);
      const auto told = changes_.find(path);
      EXPECT_EQ(change, told == changes_.end() ? std::nullopt : std::optional(told->second))
          << path;
    }
    for (const auto& [path, attr] : theirs_) {
      EXPECT_NE(paired.contains(path), only_peer_.contains(path)) << path;
    }
    EXPECT_EQ(unknown, pair_.walk->counts().unknown);
    for (size_t i = 0; i < diff_changes; ++i) {
      EXPECT_EQ(pair_.walk->counts().by_change[i].items, tallies_[i].items) << i;
      EXPECT_EQ(pair_.walk->counts().by_change[i].bytes, tallies_[i].bytes) << i;
    }
    EXPECT_FALSE(pair_.walk->counts().truncated);
    EXPECT_EQ(pair_.walk->counts().changed_meanwhile, 0u);
    EXPECT_EQ(pair_.walk->counts().equal(), pair_.items.empty());
  }

 private:
  void sort_in(const DiffItem& item) {
    DiffTally& tally = tallies_[static_cast<size_t>(item.change)];
    ++tally.items;
    tally.bytes += item.bytes;
    const bool at_peer = item.change == DiffChange::only_peer;
    const auto& side = at_peer ? *pair_.peer.index : *pair_.here.index;
    EXPECT_EQ(side.path_of(item.key), item.path);
    switch (item.change) {
      case DiffChange::only_peer:
        EXPECT_TRUE(only_peer_.insert(item.path).second) << item.path;
        break;
      case DiffChange::only_here:
        EXPECT_TRUE(only_here_.insert(item.path).second) << item.path;
        break;
      case DiffChange::moved:
        EXPECT_TRUE(moved_.emplace(item.path, item.peer_path).second) << item.path;
        EXPECT_EQ(ours_.at(item.path).dir, theirs_.at(item.peer_path).dir);
        break;
      default:
        EXPECT_TRUE(changes_.emplace(item.path, item.change).second) << item.path;
    }
    if (at_peer || item.change == DiffChange::only_here) {
      const Attributes& attr = (at_peer ? theirs_ : ours_).at(item.path);
      EXPECT_EQ(item.type, attr.type);
      EXPECT_EQ(item.bytes, attr.size);
    }
  }
  // Where a key that is not only here must be at the peer.
  std::optional<std::string> place_there(const std::string& path) const {
    if (path.empty()) return "";
    if (const auto moved = moved_.find(path); moved != moved_.end()) return moved->second;
    const auto [dir, name] = split(path);
    if (only_here_.contains(dir) && !dir.empty()) return std::nullopt;
    const auto above = place_there(dir);
    if (!above) return std::nullopt;
    return join(*above, name);
  }
  void expect_alone(const std::string& path) const {
    const auto [dir, name] = split(path);
    if (only_here_.contains(dir)) return;
    const auto above = place_there(dir);
    ASSERT_TRUE(above) << path;
    if (theirs_.at(*above).type != FileType::directory) return;
    EXPECT_FALSE(theirs_.contains(join(*above, name))) << path << " is there, too";
  }

  const DiffPair& pair_;
  Paths ours_;
  Paths theirs_;
  std::set<std::string> only_here_;
  std::set<std::string> only_peer_;
  std::map<std::string, std::string> moved_;
  std::map<std::string, DiffChange> changes_;
  std::array<DiffTally, diff_changes> tallies_;
};

// --- random trees ---

class RandomTree {
 public:
  RandomTree(const TempIndex& index, std::mt19937_64& rng, uint64_t first_id)
      : index_(index), rng_(rng), next_id_(first_id) {}

  uint64_t below(uint64_t n) { return rng_() % n; }
  std::vector<Key> keys(bool only_dirs) const {
    std::vector<Key> out;
    std::vector<DirId> todo{root_dir};
    while (!todo.empty()) {
      const DirId dir = todo.back();
      todo.pop_back();
      index_->for_children(dir, [&](std::string_view name, const Entry& entry) {
        const bool is_dir = entry.attr.type == FileType::directory;
        if (is_dir || !only_dirs) out.push_back(Key{.dir = dir, .name = std::string(name)});
        if (is_dir) todo.push_back(entry.attr.dir);
        return true;
      });
    }
    return out;
  }
  DirId some_dir() {
    const auto dirs = keys(true);
    const uint64_t at = below(dirs.size() + 1);
    return at == dirs.size() ? root_dir : index_->get(dirs[at])->attr.dir;
  }
  std::string some_name() { return std::string(1, static_cast<char>('a' + below(12))); }
  void add() {
    Attributes attr;
    const uint64_t kind = below(10);
    if (kind < 4) {
      attr = diff_dir(DirId{next_id_++});
    } else if (kind < 9) {
      attr = diff_file(below(5), 10 + below(2));
    } else {
      attr = Attributes{.type = FileType::symlink, .mode = 0777, .target = some_name()};
    }
    index_->put(Key{.dir = some_dir(), .name = some_name()}, {.attr = attr, .cut = CutNumber{1}});
  }
  void change() {
    const auto all = keys(false);
    const uint64_t kind = below(8);
    if (all.empty() || kind < 2) return add();
    const Key key = all[below(all.size())];
    Entry entry = *index_->get(key);
    if (kind == 2) return index_->remove(key, CutNumber{2});
    if (kind < 5 && entry.attr.type == FileType::directory) {
      const Key to{.dir = some_dir(), .name = some_name()};
      if (index_->can_move(entry.attr.dir, to.dir)) index_->put(to, entry);
      return;
    }
    if (kind == 5) {
      index_->set_content(key, Digest{}, entry.attr.size);
      return;
    }
    if (kind == 6 && entry.attr.type == FileType::regular) {
      entry.attr = diff_file(1 + below(9), 10 + below(2));
    } else {
      entry.attr.mode = static_cast<uint16_t>(0700 + below(64));
    }
    index_->put(key, entry);
  }
  // All of `from`, directories under ids that are `shift` higher.
  void copy(const Index& from, uint64_t shift, DirId dir = root_dir) {
    from.for_children(dir, [&](std::string_view name, const Entry& entry) {
      Entry own = entry;
      if (own.attr.dir.is_set()) own.attr.dir.value += shift;
      const DirId parent{dir == root_dir ? dir.value : dir.value + shift};
      EXPECT_TRUE(index_->put(Key{.dir = parent, .name = std::string(name)}, own));
      if (entry.attr.dir.is_set()) copy(from, shift, entry.attr.dir);
      return true;
    });
  }

 private:
  const TempIndex& index_;
  std::mt19937_64& rng_;
  uint64_t next_id_;
};

}  // namespace repl::send

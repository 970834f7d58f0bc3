// Proof of the index from its entries alone. A reverse map is right if every record that an entry
// asks for is there and there are no others: so each is looked up, and then they are counted.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <unordered_map>
#include <vector>

#include "engine/base/escape.h"
#include "engine/index/index_impl.h"
#include "engine/model/hash.h"

namespace repl {

namespace {

constexpr size_t differences_max = 100;

struct Sums {
  Fingerprint content;
  Fingerprint identity;
  uint64_t children = 0;
  uint64_t unknown = 0;
  Key place;
  std::vector<DirId> subdirs;
  bool summed = false;
};

}  // namespace

class IndexCheck {
 public:
  IndexCheck(const Store& store, DirTree& tree, uint64_t seed, const IndexCounts& counts)
      : store_(store), tree_(tree), seed_(seed), counts_(counts) {}

  std::vector<std::string> run() {
    dirs_[root_dir];
    for (auto at = store_.range(Table::entries, {}); at.valid(); at.next()) {
      check_entry(at.key(), at.value());
    }
    sum_up();
    compare_dirs();
    compare_counts();
    check_tombstones();
    check_tables();
    return std::move(differences_);
  }

 private:
  void differs(std::string what) {
    if (differences_.size() < differences_max) differences_.push_back(std::move(what));
  }
  static std::string say(const Key& key) {
    return fmt::format("({:x}, {})", key.dir.value, escape(key.name));
  }
  void expect(Table table, const std::string& bytes, std::string_view what, const Key& key) {
    ++expected_[static_cast<size_t>(table)];
    if (!store_.contains(table, bytes))
      differs(fmt::format("{} is not found by {}", say(key), what));
  }

  void check_entry(const std::string& key_text, const std::string& value);
  void check_dir_entry(const Key& key, const Entry& entry);
  void sum_up();
  void add_child_dir(Sums& above, DirId child);
  void compare_dirs();
  void compare_counts();
  void check_tombstones();
  void check_tables();

  const Store& store_;
  DirTree& tree_;
  const uint64_t seed_;
  const IndexCounts counts_;
  IndexCounts found_;
  std::unordered_map<DirId, Sums> dirs_;
  std::array<uint64_t, table_count> expected_{};
  std::vector<std::string> differences_;
};

void IndexCheck::check_entry(const std::string& key_text, const std::string& value) {
  const auto key = decode_key(key_text);
  const auto entry = decode_entry(value);
  if (!key || !entry) {
    differs("an entry cannot be decoded");
    return;
  }
  ++found_.entries;
  if (entry->attr.type == FileType::regular) found_.bytes += entry->attr.size;
  if (entry->local.inode != 0) {
    expect(Table::inodes, number_key_bytes(entry->local.inode, *key), "its inode", *key);
  }
  if (entry->attr.link.is_set()) {
    expect(Table::links, number_key_bytes(entry->attr.link.value, *key), "its link", *key);
  }
  if (entry->cut.is_set()) {
    expect(Table::log, number_key_bytes(entry->cut.value, *key), "its cut", *key);
  }
  if (is_kept_content(*entry)) {
    expect(Table::contents, digest_key_bytes(entry->attr.content, *key), "its content", *key);
  }
  if (is_sized(*entry)) {
    expect(Table::sizes, number_key_bytes(entry->attr.size, *key), "its size", *key);
  }
  if (store_.contains(Table::tombstones, key_text))
    differs(say(*key) + " lives and has a tombstone");
  if (entry->attr.dir.is_set()) check_dir_entry(*key, *entry);
  if (key->is_root()) return;
  Sums& above = dirs_[key->dir];
  ++above.children;
  if (is_unknown(*entry)) ++above.unknown;
  if (entry->attr.dir.is_set()) {
    above.subdirs.push_back(entry->attr.dir);
  } else {
    above.content = add(above.content, entry_content_hash(seed_, key->name, entry->attr, {}));
    above.identity = add(above.identity, entry_identity_hash(seed_, key->name, entry->attr, {}));
  }
}

void IndexCheck::check_dir_entry(const Key& key, const Entry& entry) {
  ++found_.directories;
  if (key.is_root()) {
    if (entry.attr.dir != root_dir) differs("the root's record has another directory id");
    return;
  }
  Sums& own = dirs_[entry.attr.dir];
  if (own.place.dir.is_set()) differs(say(key) + " has the id of " + say(own.place));
  own.place = key;
  const DirNode* node = tree_.find(entry.attr.dir);
  if (node == nullptr || node->parent != key.dir || node->name != key.name) {
    differs(say(key) + " is not the place that its directory's record names");
  }
}

void IndexCheck::add_child_dir(Sums& above, DirId child) {
  const Sums& below = dirs_[child];
  const auto bytes = store_.get(Table::entries, key_bytes(below.place));
  const auto entry = bytes ? decode_entry(*bytes) : std::nullopt;
  if (!entry) return;
  above.content =
      add(above.content, entry_content_hash(seed_, below.place.name, entry->attr, below.content));
  above.identity = add(above.identity,
                       entry_identity_hash(seed_, below.place.name, entry->attr, below.identity));
  above.unknown += below.unknown;
}

// From the root, children before their parents; not on the C stack.
void IndexCheck::sum_up() {
  struct Step {
    DirId dir;
    size_t next = 0;
  };
  std::vector<Step> way{{.dir = root_dir}};
  dirs_[root_dir].summed = true;
  while (!way.empty()) {
    Step& step = way.back();
    Sums& sums = dirs_[step.dir];
    if (step.next < sums.subdirs.size()) {
      const DirId child = sums.subdirs[step.next++];
      if (!std::exchange(dirs_[child].summed, true)) way.push_back({.dir = child});
      continue;
    }
    for (const DirId child : sums.subdirs) add_child_dir(sums, child);
    way.pop_back();
  }
}

void IndexCheck::compare_dirs() {
  for (const auto& [dir, sums] : dirs_) {
    const std::string what = fmt::format("directory {:x} at {}", dir.value, say(sums.place));
    if (!sums.summed) differs(what + " does not hang below the root");
    const DirNode* node = tree_.find(dir);
    if (node == nullptr) {
      differs(what + " has no record");
      continue;
    }
    if (node->content != sums.content) differs(what + ": content fingerprint");
    if (node->identity != sums.identity) differs(what + ": identity fingerprint");
    if (node->children != sums.children) differs(what + ": number of children");
    if (node->unknown != sums.unknown) differs(what + ": number of unknown contents");
  }
}

void IndexCheck::compare_counts() {
  expected_[static_cast<size_t>(Table::dirs)] = dirs_.size();
  const std::pair<Table, std::string_view> maps[] = {
      {Table::dirs, "directories"}, {Table::inodes, "inodes"},     {Table::links, "links"},
      {Table::log, "the log"},      {Table::contents, "contents"}, {Table::sizes, "sizes"}};
  for (const auto& [table, name] : maps) {
    uint64_t records = 0;
    for (auto at = store_.range(table, {}); at.valid(); at.next()) ++records;
    const uint64_t expected = expected_[static_cast<size_t>(table)];
    if (records != expected) {
      differs(fmt::format("{}: {} records, {} expected", name, records, expected));
    }
  }
  if (found_.entries != counts_.entries) differs("number of entries");
  if (found_.directories != counts_.directories) differs("number of directories");
  if (found_.bytes != counts_.bytes) differs("number of bytes");
}

void IndexCheck::check_tombstones() {
  uint64_t records = 0;
  for (auto at = store_.range(Table::tombstone_log, {}); at.valid(); at.next(), ++records) {
    const std::string_view bytes = at.key();
    const std::string_view key = bytes.substr(std::min<size_t>(8, bytes.size()));
    if (store_.get(Table::tombstones, key) != bytes.substr(0, 8)) differs("a tombstone's cut");
  }
  uint64_t tombstones = 0;
  for (auto at = store_.range(Table::tombstones, {}); at.valid(); at.next(), ++tombstones) {
    const auto key = decode_key(at.key());
    if (!key || !dirs_.contains(key->dir)) differs("a tombstone in a directory that is not there");
  }
  if (records != tombstones || records != counts_.tombstones) differs("number of tombstones");
}

void IndexCheck::check_tables() {
  for (auto at = store_.range(Table::handles, {}); at.valid(); at.next()) {
    const auto id = decode_number(at.value());
    const auto dir = id ? dirs_.find(DirId{*id}) : dirs_.end();
    const auto bytes = dir == dirs_.end()
                           ? std::nullopt
                           : store_.get(Table::entries, key_bytes(dir->second.place));
    const auto entry = bytes ? decode_entry(*bytes) : std::nullopt;
    if (!entry || entry->local.handle != at.key()) differs("a handle leads to a wrong directory");
  }
  for (const Table table : {Table::blocks, Table::signatures}) {
    for (auto at = store_.range(table, {}); at.valid(); at.next()) {
      if (!store_.range(Table::contents, at.key()).valid()) {
        differs("a block table or signature without a key");
      }
    }
  }
}

std::vector<std::string> Index::check() const {
  impl_->tree.write();
  auto differences = IndexCheck(*impl_->store, impl_->tree, impl_->seed, impl_->counts).run();
  if (const Status healthy = health(); !healthy) differences.push_back(healthy.error().message);
  return differences;
}

}  // namespace repl

// Random cuts, none of them durable, and kill -9 at a random moment of the last: recovery finds the
// tree of the last durable cut, nothing is left aside, and the cuts can come again.
//   REPL_SEED=N one seed; REPL_SEEDS=N so many
#include <algorithm>
#include <csignal>
#include <random>
#include <set>

#include "tests/support/apply_tree.h"

namespace repl::apply::testing {
namespace {

struct Node {
  Attributes attr;
  std::string bytes;
  bool operator==(const Node&) const = default;
};

// What a tree holds.
struct Model {
  std::map<Key, Node> nodes;

  [[nodiscard]] bool has_dir(DirId dir) const { return dir == root_dir || place(dir) != nullptr; }
  [[nodiscard]] const Key* place(DirId dir) const {
    for (const auto& [key, node] : nodes) {
      if (node.attr.dir.is_set() && node.attr.dir == dir) return &key;
    }
    return nullptr;
  }
  [[nodiscard]] size_t depth(DirId dir) const {
    size_t depth = 0;
    for (; dir != root_dir; ++depth) dir = place(dir)->dir;
    return depth;
  }
  [[nodiscard]] bool below(DirId dir, DirId above) const {
    for (; dir != root_dir; dir = place(dir)->dir) {
      if (dir == above) return true;
    }
    return above == root_dir;
  }
  void erase(const Key& key) {
    const auto at = nodes.find(key);
    if (at == nodes.end()) return;
    const DirId dir = at->second.attr.dir;
    nodes.erase(at);
    if (!dir.is_set()) return;
    std::vector<Key> inside;
    for (const auto& [child, node] : nodes) {
      if (child.dir == dir) inside.push_back(child);
    }
    for (const Key& child : inside) erase(child);
  }
  // A group has one set of attributes, and at least two names.
  void settle_links() {
    std::map<LinkId, std::vector<Node*>> groups;
    for (auto& [key, node] : nodes) {
      if (node.attr.link.is_set()) groups[node.attr.link].push_back(&node);
    }
    for (auto& [link, names] : groups) {
      for (Node* node : names) {
        node->attr.link_names = static_cast<uint32_t>(names.size());
        if (names.size() > 1) continue;
        node->attr.link = LinkId{};
        node->attr.link_names = Attributes{}.link_names;
      }
    }
  }
};

class Operations {
 public:
  explicit Operations(uint64_t seed) : rng_(seed) {}
  uint64_t number(uint64_t below) { return rng_() % below; }

  void change(Model& model) {
    std::vector<Key> dirs, others;
    for (const auto& [key, node] : model.nodes)
      (node.attr.type == FileType::directory ? dirs : others).push_back(key);
    const uint64_t in = number(dirs.size() + 1);
    const DirId parent = in == dirs.size() ? root_dir : model.nodes.at(dirs[in]).attr.dir;
    const Key key{parent, fmt::format("n{}", number(4))};
    switch (number(11)) {
      case 0:
      case 1:
        return make(model, key, file_node());
      case 2:
      case 3:
        return make_dir(model, key);
      case 4:
        if (!dirs.empty()) move(model, dirs[number(dirs.size())], key);
        return;
      case 5:
        if (!others.empty()) move(model, others[number(others.size())], key);
        return;
      case 6:
        if (!others.empty()) model.erase(others[number(others.size())]);
        return;
      case 7:
        if (!dirs.empty()) model.erase(dirs[number(dirs.size())]);
        return;
      case 8:
        if (!others.empty()) touch(model, others[number(others.size())]);
        return;
      case 9:
      case 10:
        if (!others.empty()) link(model, others[number(others.size())], key);
    }
  }

 private:
  Node file_node() {
    Node node{.attr = {}, .bytes = fmt::format("content {}", ++clock_)};
    if (number(4) == 0) node.bytes.append(300 + number(3000), 'x');
    node.attr = file_attr(node.bytes.size());
    node.attr.content = digest_of(node.bytes);
    node.attr.mtime.seconds += clock_;
    return node;
  }
  static void make(Model& model, const Key& key, Node node) {
    model.erase(key);
    model.nodes[key] = std::move(node);
  }
  void make_dir(Model& model, const Key& key) {
    const uint64_t id = ++next_id_;
    make(model, key, Node{.attr = dir(key.dir, key.name, id).attr, .bytes = {}});
    for (uint64_t n = number(4); n > 0; --n)
      make(model, Key{DirId{id}, fmt::format("n{}", n)}, file_node());
  }
  void move(Model& model, const Key& from, const Key& to) {
    const Node node = model.nodes.at(from);
    const auto there = model.nodes.find(to);
    const bool into_itself = node.attr.dir.is_set() && model.below(to.dir, node.attr.dir);
    const bool over_its_parent = there != model.nodes.end() && there->second.attr.dir.is_set() &&
                                 model.below(from.dir, there->second.attr.dir);
    if (from == to || into_itself || over_its_parent) return;
    model.nodes.erase(from);
    make(model, to, node);
    if (number(3) == 0) touch(model, to);
  }
  void touch(Model& model, const Key& key) {
    Node changed = model.nodes.at(key);
    if (changed.attr.type != FileType::regular) return;
    changed.attr.mtime.seconds += ++clock_;
    if (number(2) == 0) changed.attr.mode ^= 0044;
    const LinkId link = changed.attr.link;
    for (auto& [other, node] : model.nodes) {
      if (other == key || (link.is_set() && node.attr.link == link)) node = changed;
    }
  }
  void link(Model& model, const Key& from, const Key& to) {
    model.erase(to);
    const auto file = model.nodes.find(from);
    if (from == to || file == model.nodes.end()) return;
    if (!file->second.attr.link.is_set()) file->second.attr.link = LinkId{++next_id_};
    model.nodes[to] = file->second;
  }

  std::mt19937_64 rng_;
  uint64_t next_id_ = 100;
  int64_t clock_ = 0;
};

struct Cut {
  std::vector<Put> puts;
  std::vector<Key> removals;
};

// As a sender tells it: directories from the top down, the rest, removals; of a group of names all
// of them, and first one that is there already.
Cut cut_between(const Model& old, const Model& now, Operations& random) {
  const auto before = [&](const Key& key) {
    const auto at = old.nodes.find(key);
    return at == old.nodes.end() ? Node{} : at->second;
  };
  const auto bytes_stay = [&](const Key& key, const Node& node) {
    return before(key).bytes == node.bytes && before(key).attr.type == FileType::regular;
  };
  std::set<LinkId> groups;
  for (const auto& [key, node] : now.nodes) {
    if (node.attr.link.is_set() && before(key) != node) groups.insert(node.attr.link);
  }
  Cut cut;
  std::multimap<size_t, Put> dirs;
  std::map<std::pair<LinkId, bool>, std::vector<Put>> files;
  for (const auto& [key, node] : now.nodes) {
    if (before(key) == node && !groups.contains(node.attr.link)) continue;
    Put put{.key = key, .attr = node.attr, .content = ContentNone{}};
    if (node.attr.type == FileType::directory) {
      dirs.emplace(now.depth(node.attr.dir), std::move(put));
      continue;
    }
    const bool stay = bytes_stay(key, node);
    if (!stay) put.content = ContentInline{node.bytes};
    for (const auto& [from, other] : old.nodes) {
      const bool linked = node.attr.link.is_set() || other.attr.link.is_set();
      if (!stay && !linked && other.bytes == node.bytes && other.attr.type == FileType::regular &&
          random.number(2) == 0)
        put.content = ContentCopy{.from = from};
    }
    files[{node.attr.link, !stay}].push_back(std::move(put));
  }
  for (auto& [depth, put] : dirs) cut.puts.push_back(std::move(put));
  std::map<LinkId, Key> first;
  for (auto& [group, puts] : files) {
    for (Put& put : puts) {
      const auto [at, is_first] = first.try_emplace(group.first, put.key);
      if (group.first.is_set() && !is_first) put.content = ContentLink{.to = at->second};
      cut.puts.push_back(std::move(put));
    }
  }
  for (const auto& [key, node] : old.nodes) {
    const bool moved = node.attr.dir.is_set() && now.has_dir(node.attr.dir);
    if (!now.nodes.contains(key) && !moved && now.has_dir(key.dir)) cut.removals.push_back(key);
  }
  return cut;
}

void tell(Tree& tree, const Cut& cut) {
  tree.begin();
  for (const Put& put : cut.puts) tree.put(put);
  for (const Key& key : cut.removals) tree.remove(key.dir, key.name);
}

void expect_model(const Tree& tree, const Model& model) {
  size_t found = 0;
  for (const auto& [path, line] : walk(tree.root())) found += path == "." ? 0 : 1;
  EXPECT_EQ(found, model.nodes.size());
  for (const auto& [key, node] : model.nodes) {
    const auto path = tree.index->path_of(key);
    ASSERT_TRUE(path) << key.name;
    EXPECT_EQ(tree.index->get(key)->attr, node.attr) << *path;
    if (node.attr.type == FileType::regular) {
      EXPECT_EQ(tree.read(*path), node.bytes) << *path;
    }
  }
  // When a displaced directory goes, the ctime of what has other names changes.
  const bool linked = std::ranges::any_of(
      model.nodes, [](const auto& node) { return node.second.attr.link.is_set(); });
  if (!linked) tree.expect_index_is_disk();
}

void kill_during(const Volume& volume, const std::vector<Cut>& cuts, uint64_t wait_us) {
  const pid_t child = ::fork();
  if (child == 0) {
    Tree tree(volume);
    tree.cut = 1;
    for (size_t i = 0; i < cuts.size(); ++i) {
      tell(tree, cuts[i]);
      if (i + 1 == cuts.size()) ::kill(::getpid(), SIGSTOP);
      if (!tree.try_end()) ::_exit(1);
    }
    ::kill(::getpid(), SIGKILL);
  }
  int status = 0;
  ::waitpid(child, &status, WUNTRACED);
  ASSERT_TRUE(WIFSTOPPED(status));
  ::kill(child, SIGCONT);
  ::usleep(static_cast<useconds_t>(wait_us));
  ::kill(child, SIGKILL);
  ::waitpid(child, &status, 0);
  EXPECT_TRUE(WIFSIGNALED(status)) << "the cut could not be published";
}

void crash_and_recover(uint64_t seed) {
  Operations random(seed);
  const Volume volume("tmpfs", 16);
  ASSERT_TRUE(volume.ok());
  Model model;
  for (int n = 0; n < 25; ++n) random.change(model);
  model.settle_links();
  std::map<std::string, std::string> before;
  {
    Tree tree(volume);
    tell(tree, cut_between(Model{}, model, random));
    EXPECT_EQ(tree.end().refused.size(), 0u);
    before = walk(tree.root());
  }
  Model now = model;
  std::vector<Cut> cuts;
  for (uint64_t n = 1 + random.number(3); n > 0; --n) {
    const Model old = now;
    for (uint64_t m = 1 + random.number(8); m > 0; --m) random.change(now);
    now.settle_links();
    cuts.push_back(cut_between(old, now, random));
  }
  kill_during(volume, cuts, random.number(3) == 0 ? 20'000 : random.number(1500));
  Tree tree(volume);
  auto after = walk(tree.root());
  after.erase(".");
  before.erase(".");
  EXPECT_EQ(after, before);
  for (const auto& [path, line] : walk(volume.mount() + "/staging/kept"))
    EXPECT_EQ(path, ".") << "kept: " << path << " " << line;
  tree.expect_index_is_disk();
  if (::testing::Test::HasFailure()) return;
  tree.cut = 1;
  for (const Cut& cut : cuts) {
    tell(tree, cut);
    EXPECT_EQ(tree.end().refused.size(), 0u);
  }
  expect_model(tree, now);
}

uint64_t from_environment(const char* name, uint64_t otherwise) {
  const char* given = std::getenv(name);
  return given == nullptr ? otherwise : std::strtoull(given, nullptr, 10);
}

TEST(RandomCrash, GoesBackToTheLastDurableCutAndForwardAgain) {
  const uint64_t first = from_environment("REPL_SEED", 1);
  const uint64_t count = std::getenv("REPL_SEED") ? 1 : from_environment("REPL_SEEDS", 100);
  for (uint64_t seed = first; seed < first + count; ++seed) {
    SCOPED_TRACE(fmt::format("REPL_SEED={}", seed));
    crash_and_recover(seed);
    if (HasFailure()) return;
  }
}

}  // namespace
}  // namespace repl::apply::testing

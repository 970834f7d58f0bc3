// sender_pair.h: a primary's tree in memory and a Sender for it, joined with a ModelReceiver by
// lanes that a test empties as it likes.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <set>

#include "engine/send/sender.h"
#include "tests/unit/send/model_receiver.h"
#include "tests/unit/send/scripted_source.h"

namespace repl::send {

inline Key at_root(const std::string& name) { return Key{root_dir, name}; }

inline std::string random_bytes(std::mt19937_64& rng, size_t size) {
  std::string out(size, '\0');
  for (char& c : out) c = static_cast<char>(rng());
  return out;
}

// A primary's tree: the index, and files to read. Every operation belongs to the cut `now`.
struct Tree {
  TempIndex index;
  ScriptedSource source;
  CutNumber now{1};
  uint64_t next_id = 100;
  uint64_t next_inode = 1000;
  int64_t clock = 1;
  std::set<Key> touched;
  std::set<Key> destroyed;  // of them: another object was there

  void put(const Key& key, Attributes attr, uint64_t inode = 0) {
    const auto old = index->get(key);
    const bool file = attr.type != FileType::directory;
    if (old && (old->attr.type != attr.type || old->attr.dir != attr.dir ||
                (file && (old->local.inode != inode || attr.size < old->attr.size)))) {
      destroyed.insert(key);
    }
    index->put(key, Entry{.attr = std::move(attr), .local = {.inode = inode}, .cut = now});
    touched.insert(key);
  }
  void root() { put(root_key, dir_attr(root_dir)); }
  Attributes dir_attr(DirId id) {
    return Attributes{.type = FileType::directory, .mode = 0755, .mtime = {++clock, 0}, .dir = id};
  }
  DirId mkdir(DirId parent, const std::string& name) {
    const DirId id{next_id++};
    put({parent, name}, dir_attr(id));
    return id;
  }
  // `in_place`: the file that is there stays, else another takes its name.
  void write(const Key& key, std::string bytes, bool digest_known = true, bool in_place = false) {
    auto file = std::make_shared<ScriptedFile>();
    const auto old = index->get(key);
    const bool linked = old && old->attr.link.is_set();
    const auto there = source.files.find(key);
    in_place = in_place && old && there != source.files.end();
    const uint64_t inode = in_place ? there->second->inode : next_inode++;
    file->attr = Attributes{.type = FileType::regular, .mode = 0644, .mtime = {++clock, 0}};
    file->attr.size = bytes.size();
    file->bytes = std::move(bytes);
    file->inode = inode;
    file->ctime = clock;
    if (in_place) {  // who has it open sees it
      *there->second = *file;
      file = there->second;
    }
    Attributes attr = file->attr;
    if (digest_known) attr.content = digest_of_blocks(blocks_of(file->bytes));
    std::vector<Key> names{key};
    if (linked) {
      attr.link = old->attr.link;
      attr.link_names = old->attr.link_names;
      names = index->keys_of_link(attr.link);
    }
    for (const Key& name : names) {
      source.files[name] = file;
      put(name, attr, inode);
    }
  }
  void remove(const Key& key) {
    index->remove(key, now);
    touched.insert(key);
    destroyed.insert(key);
  }
  void link(const Key& from, const Key& to) {
    auto attr = index->get(from)->attr;
    std::vector<Key> names{from};
    if (attr.link.is_set()) names = index->keys_of_link(attr.link);
    if (!attr.link.is_set()) attr.link = LinkId{next_id++};
    names.push_back(to);
    attr.link_names = static_cast<uint32_t>(names.size());
    source.files[to] = source.files[from];
    for (const Key& name : names) put(name, attr, source.files[from]->inode);
  }
  // By rename(2), over what is there.
  void rename(const Key& from, const Key& to) {
    const Entry entry = *index->get(from);
    if (entry.attr.type == FileType::directory) {
      put(to, entry.attr);
      touched.insert(from);
      return;
    }
    source.files[to] = source.files[from];
    source.files.erase(from);
    put(to, entry.attr, entry.local.inode);
    remove(from);
  }
  std::vector<Key> keys(bool directories) const {
    std::vector<Key> out;
    std::vector<DirId> todo{root_dir};
    while (!todo.empty()) {
      const DirId dir = todo.back();
      todo.pop_back();
      index->for_children(dir, [&](std::string_view name, const Entry& e) {
        const bool is_dir = e.attr.type == FileType::directory;
        if (is_dir == directories) out.push_back({dir, std::string(name)});
        if (is_dir) todo.push_back(e.attr.dir);
        return true;
      });
    }
    return out;
  }
  bool below(DirId inner, DirId outer) const {
    while (inner != root_dir) {
      if (inner == outer) return true;
      const auto place = index->place_of(inner);
      if (!place) return false;
      inner = place->parent;
    }
    return outer == root_dir;
  }

  void random_op(std::mt19937_64& rng) {
    auto dirs = keys(true);
    auto files = keys(false);
    const auto some_dir = [&] {
      const size_t i = rng() % (dirs.size() + 1);
      return i == dirs.size() ? root_dir : index->get(dirs[i])->attr.dir;
    };
    const Key fresh{some_dir(), "n" + std::to_string(rng() % 12)};
    const auto there = index->get(fresh);
    const bool free = !there;
    switch (rng() % 9) {
      case 0:
        if (free) mkdir(fresh.dir, fresh.name);
        break;
      case 1:
      case 2:
        if (free || there->attr.type == FileType::regular) {
          const size_t size = rng() % 8 == 0 ? 280'000 + rng() % 100'000 : rng() % 3000;
          write(fresh, random_bytes(rng, size), rng() % 4 != 0, rng() % 2 == 0);
        }
        break;
      case 3:
        if (free) {
          put(fresh, Attributes{.type = FileType::symlink,
                                .mode = 0777,
                                .mtime = {++clock, 0},
                                .target = "to" + std::to_string(rng() % 5)});
        }
        break;
      case 4:
        if (!files.empty()) {
          const Key key = files[rng() % files.size()];
          const auto entry = index->get(key);
          if (!entry->attr.link.is_set()) remove(key);
        }
        break;
      case 5:
        if (!dirs.empty() && rng() % 4 == 0) {
          const Key key = dirs[rng() % dirs.size()];
          const DirId id = index->get(key)->attr.dir;
          // Link groups would lose names: the scanner's business, not this model's.
          bool linked = false;
          for (const Key& f : files) {
            linked |= below(f.dir, id) && index->get(f)->attr.link.is_set();
          }
          if (!linked) remove(key);
        }
        break;
      case 6:
        if (!dirs.empty() && free) {
          const Key key = dirs[rng() % dirs.size()];
          const Entry entry = *index->get(key);
          if (!below(fresh.dir, entry.attr.dir)) {
            put(fresh, entry.attr);
            touched.insert(key);
          }
        }
        break;
      case 7:
        if (!files.empty() && free) {
          const Key from = files[rng() % files.size()];
          if (index->get(from)->attr.type == FileType::regular) link(from, fresh);
        }
        break;
      default:
        if (!files.empty()) {
          const Key key = files[rng() % files.size()];
          Attributes attr = index->get(key)->attr;
          if (attr.type == FileType::regular && !attr.link.is_set()) {
            attr.mode = static_cast<uint16_t>(0600 + rng() % 64);
            source.files[key]->attr.mode = attr.mode;
            put(key, attr, source.files[key]->inode);
          }
        }
    }
  }
};

struct QueueOutbox final : Outbox {
  std::deque<Message> prompt, bulk, background;
  size_t room = 300 * 1024;
  bool send(Message& message, Lane lane) override {
    if (lane != Lane::prompt && of(lane).size() >= 4) return false;
    of(lane).push_back(std::move(message));
    return true;
  }
  size_t writable(Lane lane) const override { return of(lane).size() >= 4 ? 0 : room; }
  bool drained(Lane lane) const override { return of(lane).empty(); }
  [[nodiscard]] const std::deque<Message>& of(Lane lane) const {
    return lane == Lane::prompt ? prompt : lane == Lane::bulk ? bulk : background;
  }
  [[nodiscard]] std::deque<Message>& of(Lane lane) {
    return const_cast<std::deque<Message>&>(std::as_const(*this).of(lane));
  }
  // The lane whose message leaves next; null: all are empty.
  [[nodiscard]] std::deque<Message>* next() {
    for (const Lane lane : {Lane::prompt, Lane::bulk, Lane::background}) {
      if (!of(lane).empty()) return &of(lane);
    }
    return nullptr;
  }
};

struct Pair {
  Tree tree;
  ModelReceiver receiver;
  QueueOutbox outbox;
  NullLog log;
  std::set<Key> dirty;
  std::set<Key> left_out;
  std::function<bool(const Key&)> withheld;
  std::function<void()> on_not_exact = [] {};  // once
  bool read_torn_again = true;                 // when nothing else moves, as after a pause
  std::unique_ptr<Sender> sender;
  Pair() { tree.root(); }

  void connect() {
    outbox = QueueOutbox{};
    SenderCallbacks callbacks;
    callbacks.mark_dirty = [this](const Key& key) { dirty.insert(key); };
    callbacks.left_out = [this](const Key& key, const Error&) { left_out.insert(key); };
    callbacks.withheld = [this](const Key& key) { return withheld && withheld(key); };
    callbacks.not_exact = [this] { std::exchange(on_not_exact, [] {})(); };
    receiver.ends = 0;
    callbacks.content_known = [this](const Key& key, const Attributes& attr, const Digest& digest,
                                     const std::vector<Digest>& blocks) {
      const auto entry = tree.index->get(key);
      if (!entry || entry->attr.mtime != attr.mtime || entry->attr.size != attr.size) return;
      std::vector<Key> names{key};
      if (entry->attr.link.is_set()) names = tree.index->keys_of_link(entry->attr.link);
      for (const Key& name : names) tree.index->set_content(name, digest, attr.size);
      if (blocks.size() > 1) tree.index->put_block_table(digest, blocks);
    };
    sender = std::make_unique<Sender>(*tree.index.index, test_seed, tree.source, outbox,
                                      std::move(callbacks), log);
  }
  void start(PlanMode mode, CutNumber since = {}, bool disown = false, bool strict = false) {
    connect();
    sender->start(Plan{.mode = mode,
                       .epoch = {},
                       .reign = receiver.reign,
                       .cut = tree.now,
                       .exact = true,
                       .since = since,
                       .strict = strict,
                       .disown_extra = disown,
                       .stages = {}});
  }
  // Questions and answers go to and fro; cuts wait.
  void turns(int count) {
    for (; count > 0; --count) {
      sender->pump();
      const auto asks = [](const Message& m) {
        return std::holds_alternative<AskKeys>(m) || std::holds_alternative<AdoptIds>(m) ||
               std::holds_alternative<ListDirectories>(m);
      };
      for (; !outbox.bulk.empty() && asks(outbox.bulk.front()); outbox.bulk.pop_front())
        receiver.take(outbox.bulk.front());
      for (; !receiver.replies.empty(); receiver.replies.pop_front())
        ASSERT_TRUE(sender->on_message(receiver.replies.front()));
    }
  }
  // Until nothing moves on either side.
  void settle() {
    for (size_t turns = 0; turns < 1'000'000; ++turns) {
      bool moved = sender->pump();
      while (auto* lane = outbox.next()) {
        const Message message = std::move(lane->front());
        lane->pop_front();
        receiver.take(message);
        moved = true;
        if (lane != &outbox.prompt) break;
      }
      while (!receiver.replies.empty()) {
        const Message reply = std::move(receiver.replies.front());
        receiver.replies.pop_front();
        const Status taken = sender->on_message(reply);
        ASSERT_TRUE(taken) << taken.error().message;
        moved = true;
      }
      if (!moved && read_torn_again && sender->status().torn_reads > 0) {
        sender->read_torn_again();
        continue;
      }
      if (!moved || ::testing::Test::HasFatalFailure()) return;
    }
    FAIL() << "never settles";
  }
  // Until `done`, or nothing moves; what is urgent first.
  void run_until(const std::function<bool()>& done) {
    for (size_t turns = 0; turns < 1'000'000 && !done(); ++turns) {
      bool moved = sender->pump();
      if (auto* lane = outbox.next()) {
        const Message message = std::move(lane->front());
        lane->pop_front();
        receiver.take(message);
        moved = true;
      }
      for (; !receiver.replies.empty(); receiver.replies.pop_front())
        ASSERT_TRUE(sender->on_message(receiver.replies.front()));
      if (!moved && read_torn_again && sender->status().torn_reads > 0) {
        sender->read_torn_again();
        continue;
      }
      if (!moved) return;
    }
  }
  void expect_equal() {
    EXPECT_EQ(sender->status().phase, SendPhase::live);
    EXPECT_EQ(tree.index->root_content(), receiver.index->root_content());
    EXPECT_EQ(tree.index->root_identity(), receiver.index->root_identity());
    std::map<uint64_t, LinkId> groups;
    for (const Key& key : tree.keys(false)) {
      const auto theirs = receiver.index->get(key);
      ASSERT_TRUE(theirs) << key.name;
      EXPECT_EQ(tree.index->get(key)->attr, theirs->attr) << key.name;
      const LinkId link = theirs->attr.link;
      if (receiver.objects[key] == 0) continue;
      const auto [at, first] = groups.emplace(receiver.objects[key], link);
      EXPECT_TRUE(first || (link.is_set() && at->second == link))
          << key.name << " is the same file as a name of another group";
      if (link.is_set()) {
        EXPECT_EQ(receiver.objects[key], receiver.objects[receiver.index->keys_of_link(link)[0]])
            << key.name << " is another file than the others of its group";
      }
    }
    EXPECT_EQ(tree.index->counts().entries, receiver.index->counts().entries);
  }
  void random_ops(std::mt19937_64& rng, size_t count) {
    for (size_t i = 0; i < count; ++i) tree.random_op(rng);
  }
  void first_sync() {
    start(PlanMode::first_sync);
    settle();
    expect_equal();
  }
  // What the engine makes of the touched keys.
  std::shared_ptr<CutBatch> batch() {
    auto out = std::make_shared<CutBatch>();
    out->cut = tree.now;
    std::set<Key> keys = tree.touched;
    for (const Key& key : tree.touched) {
      const auto entry = tree.index->get(key);
      if (!entry || !entry->attr.link.is_set()) continue;
      for (const Key& name : tree.index->keys_of_link(entry->attr.link)) keys.insert(name);
    }
    std::vector<std::pair<size_t, Key>> order;
    for (const Key& key : keys) {
      size_t depth = 0;
      DirId dir = key.dir;
      bool placed = key.is_root() || dir == root_dir;
      while (dir != root_dir && dir.is_set()) {
        const auto place = tree.index->place_of(dir);
        if (!place) break;
        dir = place->parent;
        ++depth;
        placed = dir == root_dir;
      }
      if (placed) order.emplace_back(key.is_root() ? 0 : depth + 1, key);
    }
    std::sort(order.begin(), order.end());
    for (const auto& [depth, key] : order) {
      CutItem item{.key = key};
      const auto entry = tree.index->get(key);
      const auto base = receiver.index->get(key);
      item.removed = !entry;
      item.destroys = tree.destroyed.contains(key);
      if (entry) item.attr = entry->attr;
      if (base) {
        item.base_content = base->attr.content;
        item.base_size = base->attr.size;
      }
      item.content_changed =
          entry && entry->attr.type == FileType::regular &&
          (!base || !entry->attr.content.is_set() || base->attr.content != entry->attr.content);
      if (item.content_changed && entry->attr.size < 1000) {
        item.bytes = std::make_shared<std::string>(tree.source.files[key]->bytes);
      }
      out->items.push_back(std::move(item));
    }
    tree.touched.clear();
    tree.destroyed.clear();
    out->content = tree.index->root_content();
    out->content_known = tree.index->summary(root_dir)->unknown == 0;
    return out;
  }
};

}  // namespace repl::send

// model_receiver.h: the simplest receiver that keeps the rules of model/message.h: an Index and the
// contents it has by digest. A cut is applied as one transaction at its end. Breaches by the sender
// are test failures.
#pragma once

#include <gtest/gtest.h>

#include <deque>
#include <filesystem>
#include <map>
#include <set>

#include "engine/base/bytes.h"
#include "engine/delta/signature.h"
#include "engine/index/index.h"
#include "engine/model/hash.h"
#include "engine/send/outbox.h"

namespace repl::send {

inline constexpr uint64_t test_seed = 42;

struct TempIndex {
  std::string path;
  std::unique_ptr<Index> index;
  TempIndex() {
    char name[] = "/tmp/repl_send_test_XXXXXX";
    path = ::mkdtemp(name);
    auto opened = Index::open(path + "/index", test_seed);
    EXPECT_TRUE(opened) << (opened ? "" : opened.error().message);
    if (opened) index = std::move(*opened);
  }
  ~TempIndex() {
    index.reset();
    std::filesystem::remove_all(path);
  }
  Index* operator->() const { return index.get(); }
};

inline std::vector<Digest> blocks_of(std::string_view bytes) {
  ContentHasher hasher;
  hasher.update(bytes);
  static_cast<void>(hasher.finish());
  return hasher.blocks();
}

class ModelReceiver {
 public:
  TempIndex index;
  std::map<Digest, std::string> contents;
  Reign reign{{1, 1}};
  std::function<bool(const Key&)> refuse;  // asked once per Put
  std::deque<Message> replies;
  CutNumber at;
  size_t cuts = 0, pieces = 0, asks = 0, lists = 0, adoptions = 0, puts = 0, removes = 0,
         disowned = 0;
  size_t moved_dirs = 0;
  size_t stages_begun = 0;
  std::map<Key, uint64_t> objects;  // the file that each key leads to, where a cut said it
  uint64_t staged_bytes = 0;        // StageData
  bool loose = false;
  // A record whose directory is not known is refused, as the real one does; else a failed test.
  bool refuse_orphans = false;
  uint64_t ends = 0;  // of this connection
  bool ordered = true;
  // After each whole cut: the end, and whether nothing of it is owed.
  std::function<void(const CutEnd&, bool whole)> on_end = [](const CutEnd&, bool) {};
  bool ack = true;

  void take(const Message& message) {
    std::visit([this](const auto& m) { on(m); }, message);
  }
  // What was not whole is lost.
  void disconnect() {
    open_ = false;
    records_.clear();
    stages_.clear();
    replies.clear();
    refused_ = 0;
  }

 private:
  struct Stage {
    std::string bytes, base;
    bool ended = false;
    Digest digest;
  };
  std::map<StageId, Stage> stages_;
  std::vector<Record> records_;
  uint64_t last_object_ = 0;
  CutBegin begin_;
  bool open_ = false;
  uint64_t refused_ = 0;  // of this connection

  template <typename T>
  void on(const T&) {
    ADD_FAILURE() << "a message that a sender does not send";
  }
  KeyInfo info(const Key& key) {
    KeyInfo out;
    const auto entry = index->get(key);
    if (!entry) return out;
    out.type = entry->attr.type;
    out.hash = *index->content_hash(key);
    out.identity = *index->identity_hash(key);
    out.content = entry->attr.content;
    out.size = entry->attr.size;
    out.dir = entry->attr.dir;
    out.link = entry->attr.link;
    return out;
  }
  void on(const AskKeys& m) {
    ++asks;
    KeysAnswer answer{.keys = m.keys};
    for (const Key& key : m.keys) answer.infos.push_back(info(key));
    replies.push_back(answer);
  }
  void on(const ListDirectories& m) {
    lists += m.dirs.size();
    for (const DirId dir : m.dirs) {
      DirectoryListing listing{.dir = dir, .last = false};
      if (!index->summary(dir)) {
        listing.known = false;
      } else {
        std::vector<std::string> names;
        index->for_children(dir, [&](std::string_view name, const Entry&) {
          names.emplace_back(name);
          return true;
        });
        for (const std::string& name : names) {
          listing.children.push_back(info(Key{dir, name}));
          listing.children.back().name = name;
          if (listing.children.size() == 3) {  // in parts
            replies.push_back(listing);
            listing.children.clear();
          }
        }
      }
      listing.last = true;
      replies.push_back(listing);
    }
  }
  void on(const AdoptIds& m) {
    EXPECT_FALSE(open_);
    for (const auto& item : m.items) {
      ++adoptions;
      const auto entry = index->get(item.key);
      ASSERT_TRUE(entry) << "adoption of what is not there: " << item.key.name;
      if (item.dir.is_set()) {
        ASSERT_EQ(entry->attr.type, FileType::directory);
        ASSERT_FALSE(index->place_of(item.dir)) << "adopted an id that is in use";
        index->adopt_dir_id(entry->attr.dir, item.dir);
      } else {
        index->set_link(item.key, item.link, entry->attr.link_names);
      }
    }
  }
  void on(const CutBegin& m) {
    EXPECT_FALSE(open_);
    EXPECT_GE(m.cut, at);
    begin_ = m;
    open_ = true;
  }
  void on(const Records& m) {
    ASSERT_TRUE(open_);
    EXPECT_FALSE(m.records.empty());
    records_.insert(records_.end(), m.records.begin(), m.records.end());
  }
  void on(const StageBegin& m) {
    ++stages_begun;
    Stage stage;
    if (m.base_digest.is_set()) {
      ASSERT_TRUE(contents.contains(m.base_digest));
      stage.base = contents[m.base_digest];
    }
    stage.bytes = stages_[m.stage].bytes.substr(0, m.resume_at);
    stages_[m.stage] = std::move(stage);
  }
  void on(const StageData& m) {
    ASSERT_EQ(stages_[m.stage].bytes.size(), m.offset);
    stages_[m.stage].bytes += m.bytes;
    staged_bytes += m.bytes.size();
  }
  void on(const StageHole& m) {
    ASSERT_EQ(stages_[m.stage].bytes.size(), m.offset);
    stages_[m.stage].bytes.append(m.length, '\0');
  }
  void on(const StageCopy& m) {
    Stage& stage = stages_[m.stage];
    ASSERT_EQ(stage.bytes.size(), m.offset);
    ASSERT_LE(m.base_offset + m.length, stage.base.size());
    stage.bytes.append(stage.base, m.base_offset, m.length);
  }
  void on(const StageEnd& m) {
    Stage& stage = stages_[m.stage];
    ASSERT_EQ(stage.bytes.size(), m.size);
    ASSERT_EQ(digest_of_blocks(blocks_of(stage.bytes)), m.digest);
    stage.ended = true;
    stage.digest = m.digest;
  }
  void on(const StageAbort& m) { stages_.erase(m.stage); }
  void on(const SignatureRequest& m) {
    Signature reply{.key = m.key, .content = m.content, .kind = m.kind};
    const auto held = contents.find(m.content);
    if (held == contents.end()) {
      reply.content = Digest{};
    } else if (m.kind == SignatureKind::rolling) {
      const std::string& bytes = held->second;
      reply.bytes = *delta::make_signature(
          bytes.size(), [&](uint64_t offset, char* to, size_t size) -> Result<size_t> {
            return bytes.copy(to, size, offset);
          });
    } else {
      ByteWriter out(reply.bytes);
      for (const Digest& block : blocks_of(held->second)) out.bits(block);
    }
    replies.push_back(reply);
  }

  void refused(const Key& key, const char* why) {
    ++refused_;
    replies.push_back(Refused{.cut = begin_.cut, .key = key, .reason = why});
  }
  // Nothing: the key stays as it is.
  std::optional<Attributes> resolve(const Put& put, const std::map<Key, Attributes>& done) {
    Attributes attr = put.attr;
    if (attr.type != FileType::regular) return attr;
    if (const auto* data = std::get_if<ContentInline>(&put.content)) {
      EXPECT_EQ(digest_of_blocks(blocks_of(data->bytes)), attr.content);
      contents[attr.content] = data->bytes;
    } else if (const auto* staged = std::get_if<ContentStaged>(&put.content)) {
      EXPECT_TRUE(stages_[staged->stage].ended);
      attr.content = stages_[staged->stage].digest;
      attr.size = stages_[staged->stage].bytes.size();
      contents[attr.content] = stages_[staged->stage].bytes;
    } else if (const auto* copy = std::get_if<ContentCopy>(&put.content)) {
      const auto from = index->get(copy->from);
      if (!from || from->attr.content != attr.content) return std::nullopt;
    } else if (const auto* link = std::get_if<ContentLink>(&put.content)) {
      const auto to = done.find(link->to);
      EXPECT_TRUE(refuse_orphans || to != done.end()) << "a link to a name that was not put before";
      if (to == done.end()) return std::nullopt;
      return to->second;
    } else {
      const auto there = index->get(put.key);
      if (!there || there->attr.content != attr.content) return std::nullopt;
    }
    return attr;
  }
  void on(const CutEnd& m) {
    ASSERT_TRUE(open_);
    open_ = false;
    ordered = m.ordered;
    ++pieces;
    apply();
    if (!m.last) return;
    ++cuts;
    at = m.cut;
    loose = m.loose;
    on_end(m, m.settled >= refused_);
    if (!loose) std::erase_if(stages_, [](const auto& stage) { return stage.second.ended; });
    const auto root = index->summary(root_dir);
    ++ends;
    for (const AckLevel level : {AckLevel::applied, AckLevel::durable}) {
      if (!ack) break;
      replies.push_back(Ack{.reign = reign,
                            .cut = m.cut,
                            .level = level,
                            .content = index->root_content(),
                            .content_known = root && root->unknown == 0,
                            .ends = ends,
                            .identity = index->root_identity()});
    }
  }
  // Which file a key leads to: its own still, another name's, or a new one. As Applier does.
  uint64_t object_of(const Put& put, const std::map<Key, uint64_t>& placed) {
    if (const auto* link = std::get_if<ContentLink>(&put.content)) return placed.at(link->to);
    const auto there = index->get(put.key);
    const bool stays = std::holds_alternative<ContentNone>(put.content) && there &&
                       there->attr.type == put.attr.type;
    const bool leaves = stays && there->attr.link.is_set() && there->attr.link != put.attr.link &&
                        index->keys_of_link(there->attr.link).size() > 1;
    const uint64_t own = stays && !leaves ? objects[put.key] : 0;
    return own != 0 ? own : ++last_object_;
  }
  void apply() {
    std::map<Key, Attributes> resolved;
    std::map<Key, uint64_t> placed;
    std::vector<std::pair<Key, Attributes>> dirs_and_files;
    std::set<Key> seen;
    for (const Record& record : records_) {
      const auto* put = std::get_if<Put>(&record);
      if (!put) continue;
      ++puts;
      EXPECT_TRUE(seen.insert(put->key).second) << "twice in one cut: " << put->key.name;
      if (refuse && refuse(put->key)) {
        refused(put->key, "asked to");
        continue;
      }
      const auto attr = resolve(*put, resolved);
      if (!attr) {
        refused(put->key, "content is not there");
        continue;
      }
      resolved[put->key] = *attr;
      placed[put->key] = object_of(*put, placed);
      dirs_and_files.emplace_back(put->key, *attr);
    }
    size_t parked = 0;
    for (const auto& [key, attr] : dirs_and_files) {
      if (attr.type != FileType::directory || key.is_root()) continue;
      const auto place = index->place_of(attr.dir);
      if (!place || (place->parent == key.dir && place->name == key.name)) continue;
      ++moved_dirs;
      auto entry = index->get(Key{place->parent, place->name});
      index->put(Key{root_dir, "\x01parked" + std::to_string(parked++)}, *entry);
    }
    for (const Record& record : records_) {
      const auto* remove = std::get_if<Remove>(&record);
      if (!remove) continue;
      ++removes;
      disowned += remove->disown ? 1 : 0;
      if (index->contains(remove->key)) index->remove(remove->key, begin_.cut);
    }
    for (const auto& [key, attr] : dirs_and_files) {
      if (refuse_orphans && !key.is_root() && key.dir != root_dir && !index->place_of(key.dir)) {
        refused(key, "its directory is not known");
        continue;
      }
      EXPECT_TRUE(key.is_root() || key.dir == root_dir || index->place_of(key.dir))
          << "a child before its directory: " << key.name;
      index->put(key, Entry{.attr = attr, .cut = begin_.cut});
      objects[key] = placed[key];
    }
    records_.clear();
  }
};

}  // namespace repl::send

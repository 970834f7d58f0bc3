#include "engine/apply/holds.h"

#include "engine/base/bytes.h"
#include "engine/index/entry_codec.h"

namespace repl::apply {

namespace {

constexpr std::string_view prefix = "hold/";

std::string meta_name(const Key& key) { return std::string(prefix) + key_bytes(key); }

}  // namespace

Holds::Holds(Index& index) : index_(index) {
  index_.for_meta(prefix, [this](std::string_view name, std::string_view value) {
    const std::optional<Key> key = decode_key(name.substr(prefix.size()));
    ByteReader in(value);
    Hold hold;
    hold.reason = in.string();
    hold.wants_removal = in.u8() != 0;
    const std::optional<Entry> wanted = decode_entry(in.string());
    if (!key || !in.ok()) return;
    hold.key = *key;
    if (wanted) hold.wanted = wanted->attr;
    if (hold.wanted.dir.is_set()) dirs_.insert(hold.wanted.dir);
    holds_[hold.key] = std::move(hold);
  });
}

void Holds::set(Hold hold) {
  clear(hold.key);
  std::string value;
  ByteWriter out(value);
  out.string(hold.reason);
  out.u8(hold.wants_removal ? 1 : 0);
  Entry wanted;
  wanted.attr = hold.wanted;
  out.string(encode_entry(wanted));
  index_.put_meta(meta_name(hold.key), value);
  if (hold.wanted.dir.is_set()) dirs_.insert(hold.wanted.dir);
  const Key key = hold.key;
  holds_[key] = std::move(hold);
}

void Holds::clear(const Key& key) {
  const auto it = holds_.find(key);
  if (it == holds_.end()) return;
  dirs_.erase(it->second.wanted.dir);
  holds_.erase(it);
  approved_.erase(key);
  index_.remove_meta(meta_name(key));
}

void Holds::renumber(const std::function<DirId(DirId)>& now) {
  std::vector<Hold> moved;
  for (const auto& [key, hold] : holds_) {
    if (now(key.dir) != key.dir) moved.push_back(hold);
  }
  std::vector<bool> approved;
  for (const Hold& hold : moved) {
    approved.push_back(is_approved(hold.key));
    clear(hold.key);
  }
  for (size_t i = 0; i < moved.size(); ++i) {
    moved[i].key.dir = now(moved[i].key.dir);
    const Key key = moved[i].key;
    set(std::move(moved[i]));
    if (approved[i]) approved_.insert(key);
  }
}

bool Holds::approve(const Key& key) { return holds_.contains(key) && approved_.insert(key).second; }

}  // namespace repl::apply

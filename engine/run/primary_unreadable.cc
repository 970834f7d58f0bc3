// primary_unreadable.cc: what a Primary cannot read: tried again, named in the status, and owed to
// the peers once a cut went without it.
#include <utility>

#include "engine/base/limits.h"
#include "engine/index/entry_codec.h"
#include "engine/run/primary.h"

namespace repl::run {

namespace {

constexpr Duration retry_delay = std::chrono::seconds(5);
constexpr std::string_view owed_meta = "owed/";  // and the key's bytes: a cut went without it

std::string owed_name(const Key& key) { return std::string(owed_meta) + key_bytes(key); }

}  // namespace

// What cannot be read stays dirty: it is tried again, and named in the status.
void Primary::report_unreadable(MonotonicTime now) {
  for (const change::Unreadable& item : builder_.unreadable()) {
    const auto [at, fresh] =
        unreadable_.try_emplace(item.key, Unread{.reason = item.error.message});
    if (fresh)
      parts_.log.warn("{}: {}: {}; tried again", parts_.options.name, parts_.describe(item.key),
                      item.error.message);
    if (!retry_at_) retry_at_ = now + retry_delay;
  }
}

void Primary::note_troubles(const std::vector<RecordScan::Trouble>& troubles) {
  for (const RecordScan::Trouble& trouble : troubles)
    unreadable_[trouble.key].reason = trouble.reason;
  if (!unreadable_.empty()) retry_at_ = parts_.clock.now() + retry_delay;
}

// A cut goes without it and will be acknowledged, so the log of changes may forget it: the index
// remembers that it is owed, until a cut has it, also after a restart. What is not where it was is
// found by its event, and then sent.
void Primary::left_out(const Key& key, const Error& why) {
  if (why.code == ErrorCode::not_found || why.code == ErrorCode::changed)
    return on_hint(key, hint_modified | hint_unsent);
  Unread& unread = unreadable_[key];
  unread.reason = why.message;
  unread.unsent = true;
  if (!retry_at_) retry_at_ = parts_.clock.now() + retry_delay;
  if (owed_.insert(key).second) parts_.index->put_meta(owed_name(key), "1");
  parts_.log.warn("{}: {}: {}; tried again", parts_.options.name, parts_.describe(key),
                  why.message);
}

void Primary::recall_owed() {
  parts_.index->for_meta(owed_meta, [this](std::string_view name, std::string_view) {
    const std::optional<Key> key = decode_key(name.substr(owed_meta.size()));
    if (key) owed_.insert(*key);
  });
  for (const Key& key : owed_) on_hint(key, hint_modified | hint_unsent);
}

void Primary::sent_with(const CutBatch& batch) {
  if (owed_.empty()) return;
  for (const CutItem& item : batch.items) {
    if (owed_.erase(item.key) > 0) parts_.index->remove_meta(owed_name(item.key));
  }
  // What went with the directory above it.
  std::erase_if(owed_, [this](const Key& key) {
    if (parts_.index->contains(key)) return false;
    parts_.index->remove_meta(owed_name(key));
    return true;
  });
}

std::optional<Error> Primary::content_error(const Key& key) const {
  const Result<int> dir = parts_.dirs->open(key.dir);
  if (!dir) return std::nullopt;  // it moved, or went: its event says so
  const Result<Fd> fd = io::open_read(*dir, key.name);
  if (fd || fd.error().code == ErrorCode::not_found) return std::nullopt;
  return fd.error();
}

void Primary::retry_unreadable(MonotonicTime now) {
  retry_at_.reset();
  parts_.dirs->next_generation();
  retried_.clear();
  for (auto& [key, unread] : std::exchange(unreadable_, {})) {
    retried_.insert(key);
    // Without a content to send, another cut would be in vain.
    if (const auto still = unread.unsent ? content_error(key) : std::nullopt) {
      unreadable_[key] = Unread{.reason = still->message, .unsent = true};
      retry_at_ = now + retry_delay;
      continue;
    }
    parts_.changes.mark(key, unread.unsent ? hint_modified | hint_unsent : hint_modified, now);
  }
}

void Primary::forget_owed() {
  for (const Key& key : std::exchange(owed_, {})) parts_.index->remove_meta(owed_name(key));
}

}  // namespace repl::run

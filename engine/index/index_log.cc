// The log of changes. Live entries stand in Table::log under their cut; tombstones in
// Table::tombstone_log under theirs, and in Table::tombstones by key.
#include <algorithm>

#include "engine/index/index_impl.h"

namespace repl {

namespace {

struct LogRecord {
  CutNumber cut;
  Key key;
};

std::optional<LogRecord> decode_log_key(std::string_view bytes) {
  if (bytes.size() < 8) return std::nullopt;
  const auto cut = decode_number(bytes.substr(0, 8));
  auto key = decode_key(bytes.substr(8));
  if (!cut || !key) return std::nullopt;
  return LogRecord{.cut = CutNumber{*cut}, .key = std::move(*key)};
}

}  // namespace

void Index::Impl::add_tombstone(const Key& key, CutNumber cut) {
  // At or below the start of the log nobody can ask for it.
  if (cut <= log_start || !is_live_dir(key.dir)) return;
  drop_tombstone(key);
  store->put(Table::tombstones, key_bytes(key), number_bytes(cut.value));
  store->put(Table::tombstone_log, number_key_bytes(cut.value, key), {});
  latest_cut = std::max(latest_cut, cut);
  ++counts.tombstones;
}

void Index::Impl::drop_tombstone(const Key& key) {
  if (counts.tombstones == 0) return;
  const auto bytes = store->get(Table::tombstones, key_bytes(key));
  if (!bytes) return;
  store->erase(Table::tombstones, key_bytes(key));
  if (const auto cut = decode_number(*bytes)) {
    store->erase(Table::tombstone_log, number_key_bytes(*cut, key));
    --counts.tombstones;
  } else {
    store->env().set_fault("tombstone");
  }
}

void Index::Impl::drop_tombstones_in(DirId dir) {
  if (counts.tombstones == 0) return;
  const std::string prefix = number_bytes(dir.value);
  for (auto at = store->range(Table::tombstones, prefix); at.valid(); at.next()) {
    if (const auto key = decode_key(at.key())) drop_tombstone(*key);
  }
}

void Index::Impl::move_tombstones(DirId from, DirId to) {
  if (counts.tombstones == 0) return;
  const std::string prefix = number_bytes(from.value);
  for (auto at = store->range(Table::tombstones, prefix); at.valid(); at.next()) {
    const auto key = decode_key(at.key());
    const auto cut = decode_number(at.value());
    if (!key || !cut) continue;
    drop_tombstone(*key);
    add_tombstone(Key{.dir = to, .name = key->name}, CutNumber{*cut});
  }
}

void Index::Impl::drop_tombstones_until(CutNumber cut, CutNumber& last_dropped) {
  // All at or below log_start are gone already: not to look at their remains again keeps this
  // linear.
  const std::string from = number_bytes(log_start.value + 1);
  for (auto at = store->range(Table::tombstone_log, {}, from); at.valid(); at.next()) {
    const auto record = decode_log_key(at.key());
    if (!record) {
      store->env().set_fault("log of changes");
      continue;
    }
    if (record->cut > cut) break;
    drop_tombstone(record->key);
    last_dropped = record->cut;
  }
}

void Index::Impl::bound_tombstones() {
  while (counts.tombstones > options.tombstones_max) {
    const auto at = store->range(Table::tombstone_log, {}, number_bytes(log_start.value + 1));
    const auto oldest = at.valid() ? decode_log_key(at.key()) : std::nullopt;
    if (!oldest) return;
    drop_tombstones_until(oldest->cut, log_start);
  }
}

void Index::trim_log(CutNumber cut) {
  if (impl_->counts.tombstones == 0 || cut <= impl_->log_start) return;
  CutNumber last_dropped = impl_->log_start;
  impl_->drop_tombstones_until(cut, last_dropped);
  impl_->log_start = last_dropped;
}

void Index::raise_log_start(CutNumber cut) {
  if (cut <= impl_->log_start) return;
  CutNumber last_dropped;
  impl_->drop_tombstones_until(cut, last_dropped);
  impl_->log_start = cut;
  impl_->write_header();
}

CutNumber Index::log_start() const { return impl_->log_start; }

bool Index::changes_since(CutNumber since, const std::function<bool(const Change&)>& each) const {
  if (since < impl_->log_start) return false;
  if (since.value == UINT64_MAX) return true;
  const std::string from = number_bytes(since.value + 1);
  auto live = impl_->store->range(Table::log, {}, from);
  auto removed = impl_->store->range(Table::tombstone_log, {}, from);
  while (live.valid() || removed.valid()) {
    const bool take_removed = !live.valid() || (removed.valid() && removed.key() < live.key());
    auto& at = take_removed ? removed : live;
    auto record = decode_log_key(at.key());
    at.next();
    if (!record) {
      impl_->store->env().set_fault("log of changes");
      continue;
    }
    if (!each(Change{.key = std::move(record->key), .cut = record->cut, .removed = take_removed})) {
      break;
    }
  }
  return true;
}

}  // namespace repl

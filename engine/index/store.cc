#include "engine/index/store.h"

#include <algorithm>
#include <utility>

#include "engine/base/check.h"

namespace repl {

namespace {

constexpr size_t chunk_pairs_max = 256;

}  // namespace

Result<std::unique_ptr<Store>> Store::open(const std::string& directory, size_t map_bytes) {
  auto env = LmdbEnv::open(directory, map_bytes);
  if (!env) return fail(env.error());
  return std::unique_ptr<Store>(new Store(std::move(*env)));
}

std::optional<std::string> Store::get(Table table, std::string_view key) const {
  for (const Overlay* overlay : {static_cast<const Overlay*>(active_.get()), frozen_.get()}) {
    if (overlay == nullptr) continue;
    const Overlay::Map& map = overlay->map(table);
    if (const auto it = map.find(key); it != map.end()) return it->second;
    if (overlay->cleared(table)) return std::nullopt;
  }
  return env_->get(env_key(table, key));
}

std::shared_ptr<const Overlay> Store::freeze() {
  REPL_CHECK(!frozen_);
  frozen_ = std::exchange(active_, std::make_unique<Overlay>());
  return frozen_;
}

Status Store::commit(const Overlay& overlay) {
  std::shared_ptr<const Overlay> garbage;
  {
    const std::lock_guard lock(retired_mutex_);
    garbage.swap(retired_);
  }
  return env_->commit(overlay);
}

void Store::committed() {
  env_->refresh();
  const std::lock_guard lock(retired_mutex_);
  retired_ = std::move(frozen_);
  frozen_.reset();
}

Store::Cursor::Cursor(const Store& store, Table table, std::string_view prefix,
                      std::string_view from)
    : store_(store), table_(table), prefix_(prefix), resume_(env_key(table, from)) {
  add(*store.active_, from);
  if (!drained_ && store.frozen_) add(*store.frozen_, from);
  settle();
}

void Store::Cursor::add(const Overlay& overlay, std::string_view from) {
  const Overlay::Map& map = overlay.map(table_);
  layers_[layer_count_++] = {.at = map.lower_bound(from), .end = map.end()};
  // What lies below a cleared table does not count.
  drained_ = overlay.cleared(table_);
}

void Store::Cursor::fill() {
  if (chunk_at_ < chunk_.size() || drained_) return;
  chunk_.clear();
  chunk_at_ = 0;
  store_.env_->read_range(resume_, env_key(table_, prefix_), chunk_size_, chunk_);
  if (chunk_.size() < chunk_size_) {
    drained_ = true;
  } else {
    resume_ = chunk_.back().first;
    resume_.push_back('\0');
    chunk_size_ = chunk_pairs_max;
  }
  for (KeyValue& pair : chunk_) pair.first.erase(0, 1);
}

const std::string* Store::Cursor::smallest() const {
  const std::string* found = chunk_at_ < chunk_.size() ? &chunk_[chunk_at_].first : nullptr;
  for (size_t i = 0; i < layer_count_; ++i) {
    const Layer& layer = layers_[i];
    if (layer.at == layer.end || !layer.at->first.starts_with(prefix_)) continue;
    if (found == nullptr || layer.at->first < *found) found = &layer.at->first;
  }
  return found;
}

void Store::Cursor::settle() {
  for (;;) {
    fill();
    const std::string* least = smallest();
    valid_ = least != nullptr;
    if (!valid_) return;
    key_ = *least;
    // The newest layer that has the key decides; all of them go on.
    const Overlay::Value* newest = nullptr;
    for (size_t i = 0; i < layer_count_; ++i) {
      Layer& layer = layers_[i];
      if (layer.at == layer.end || layer.at->first != key_) continue;
      if (newest == nullptr) newest = &layer.at->second;
      ++layer.at;
    }
    const bool below = chunk_at_ < chunk_.size() && chunk_[chunk_at_].first == key_;
    if (below) ++chunk_at_;
    if (newest == nullptr) {
      value_ = std::move(chunk_[chunk_at_ - 1].second);
      return;
    }
    if (*newest) {
      value_ = **newest;
      return;
    }
  }
}

}  // namespace repl

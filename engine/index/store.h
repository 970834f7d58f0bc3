// store.h: a small ordered key-value store: LMDB behind two overlays.
//
// Changes go to the active overlay. freeze() makes it the frozen one, which commit() writes;
// committed() drops it. Reads look at the active overlay, then at the frozen one, then at LMDB.
//
// Thread: one owner for everything but commit(), which may run on another thread meanwhile.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/error.h"
#include "engine/index/lmdb_env.h"
#include "engine/index/overlay.h"

namespace repl {

class Store {
 public:
  [[nodiscard]] static Result<std::unique_ptr<Store>> open(const std::string& directory,
                                                           size_t map_bytes);

  [[nodiscard]] std::optional<std::string> get(Table table, std::string_view key) const;
  [[nodiscard]] bool contains(Table table, std::string_view key) const {
    return get(table, key).has_value();
  }
  void put(Table table, std::string key, std::string value) {
    active_->set(table, std::move(key), std::move(value));
  }
  void erase(Table table, std::string key) { active_->set(table, std::move(key), std::nullopt); }
  void clear(Table table) { active_->clear(table); }

  // The pairs of a table from `from` on whose keys begin with `prefix`, in key order.
  // Keys that it has passed, or the one it stands on, may be changed meanwhile; freeze and
  // committed end it.
  class Cursor {
   public:
    Cursor(const Store& store, Table table, std::string_view prefix, std::string_view from);
    [[nodiscard]] bool valid() const { return valid_; }
    [[nodiscard]] const std::string& key() const { return key_; }
    [[nodiscard]] const std::string& value() const { return value_; }
    void next() { settle(); }

   private:
    struct Layer {
      Overlay::Map::const_iterator at;
      Overlay::Map::const_iterator end;
    };
    void add(const Overlay& overlay, std::string_view from);
    void settle();  // on the next key that is there
    void fill();
    [[nodiscard]] const std::string* smallest() const;

    const Store& store_;
    const Table table_;
    const std::string prefix_;  // without the table's byte, as key_
    Layer layers_[2];
    size_t layer_count_ = 0;
    std::string resume_;  // LMDB key to read on from
    std::vector<KeyValue> chunk_;
    size_t chunk_at_ = 0;
    size_t chunk_size_ = 16;
    bool drained_ = false;  // LMDB has no more
    bool valid_ = false;
    std::string key_;
    std::string value_;
  };
  [[nodiscard]] Cursor range(Table table, std::string_view prefix) const {
    return {*this, table, prefix, prefix};
  }
  [[nodiscard]] Cursor range(Table table, std::string_view prefix, std::string_view from) const {
    return {*this, table, prefix, from};
  }

  [[nodiscard]] size_t pending() const { return active_->keys() + (frozen_ ? frozen_->keys() : 0); }
  [[nodiscard]] bool active_empty() const { return active_->empty(); }
  [[nodiscard]] const std::shared_ptr<const Overlay>& frozen() const { return frozen_; }
  std::shared_ptr<const Overlay> freeze();
  [[nodiscard]] Status commit(const Overlay& overlay);
  void committed();

  [[nodiscard]] LmdbEnv& env() const { return *env_; }

 private:
  explicit Store(std::unique_ptr<LmdbEnv> env) : env_(std::move(env)) {}
  std::unique_ptr<LmdbEnv> env_;
  std::unique_ptr<Overlay> active_ = std::make_unique<Overlay>();
  std::shared_ptr<const Overlay> frozen_;
  std::mutex retired_mutex_;
  std::shared_ptr<const Overlay> retired_;  // freed by the next commit, off the owner's thread
};

}  // namespace repl

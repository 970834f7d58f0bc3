// config_reader.h: one table of the TOML file, read key by key, so that every fault is reported at
// its line and every key that nobody asked for is an error with the nearest known one.
//
// Internal to the configuration (config_parse.cc); pulls in toml++.
//
// Thread: one owner.
#pragma once

#define TOML_EXCEPTIONS 0
#include <toml++/toml.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/error.h"

namespace repl::cli {

// Where faults of one file are collected; the first is reported.
class Faults {
 public:
  explicit Faults(std::string file) : file_(std::move(file)) {}
  void add(const toml::source_region& where, std::string message);
  [[nodiscard]] bool any() const { return !messages_.empty(); }
  // All of them, in the order of the file, one a line.
  [[nodiscard]] Error error() const;

 private:
  std::string file_;
  std::vector<std::pair<uint32_t, std::string>> messages_;
};

class TableReader {
 public:
  // `where` as the person wrote it: "[tree.idm]".
  TableReader(const toml::table& table, std::string where, Faults& faults)
      : table_(table), where_(std::move(where)), faults_(faults) {}

  // Each marks the key as known; nothing if it is missing or of the wrong type (a fault).
  std::optional<std::string> text(std::string_view key);
  std::optional<uint64_t> number(std::string_view key, uint64_t min, uint64_t max);
  // A list of texts; one text is a list of one.
  std::optional<std::vector<std::string>> texts(std::string_view key);
  const toml::table* table(std::string_view key);
  // A text, or a number of bytes.
  std::optional<uint64_t> bandwidth(std::string_view key);
  // One of `choices`: its position.
  std::optional<size_t> choice(std::string_view key, const std::vector<std::string>& choices);

  // Sub-tables whose names are the person's ([node.NAME]).
  void each_table(const std::function<void(const std::string& name, const toml::table&)>& each);

  [[nodiscard]] bool has(std::string_view key) const { return table_.contains(key); }
  // At the key if it is there, else at the table.
  void fault(std::string_view key, std::string message);
  // Call last: keys that were not asked for.
  void unknown_keys();

 private:
  const toml::node* find(std::string_view key);
  void wrong_type(std::string_view key, const toml::node& node, std::string_view wanted);

  const toml::table& table_;
  std::string where_;
  Faults& faults_;
  std::vector<std::string> known_;
};

}  // namespace repl::cli

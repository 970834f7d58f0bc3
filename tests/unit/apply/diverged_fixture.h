// diverged_fixture.h: a tree and a staging area on one filesystem, and the diverged store between
// them.
#pragma once

#include <sys/stat.h>
#include <sys/xattr.h>

#include <filesystem>
#include <memory>
#include <string>

#include <gtest/gtest.h>

#include "engine/apply/diverged_files.h"
#include "engine/apply/diverged_restore.h"
#include "engine/apply/diverged_store.h"
#include "engine/apply/diverged_view.h"
#include "tests/support/apply_tree.h"

namespace repl::apply::diverged::testing {

namespace fs = std::filesystem;
using apply::testing::Volume;

class DivergedTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(volume.ok());
    fs::create_directories(root);
    fs::create_directories(area_path);
    tree = std::move(*io::open_root(root));
    area = std::move(*io::open_root(area_path));
  }

  [[nodiscard]] static About about() {
    return {.tree = "idm",
            .node = "mgmt1",
            .from_peer = "mgmt2",
            .reason = "mgmt2 was promoted meanwhile",
            .common_reign = Reign{{1, 2}},
            .common_cut = CutNumber{7},
            .unix_seconds = 1'800'000'000};
  }
  [[nodiscard]] std::unique_ptr<Store> begin() const {
    auto store = Store::begin(area.get(), about());
    EXPECT_TRUE(store) << store.error().message;
    return store ? std::move(*store) : nullptr;
  }
  void write(const std::string& name, const std::string& bytes) const {
    std::ofstream(root + "/" + name, std::ios::binary | std::ios::trunc) << bytes;
  }
  [[nodiscard]] static std::string read(const std::string& path) {
    std::ifstream in(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }
  [[nodiscard]] std::string manifest_path(const Store& store) const {
    return area_path + "/diverged/" + store.id() + "/manifest";
  }
  [[nodiscard]] std::string object_path(const std::string& id, uint64_t number) const {
    return area_path + "/diverged/" + id + "/objects/" + object_name(number);
  }
  static Subject subject(const std::string& path, Change change = Change::changed) {
    return {.change = change, .key = {root_dir, path}, .path = path};
  }
  void keep(Store& store, const std::string& name, Change change = Change::changed) const {
    const auto stat = store.keep(subject(name, change), tree.get(), name);
    ASSERT_TRUE(stat) << stat.error().message;
  }
  // What a catch-up does to a file of the tree.
  void replace(const std::string& name, const std::string& bytes) const {
    fs::remove_all(root + "/" + name);
    write(name, bytes);
  }
  static Settled settle(Store& store, Shown shown = Shown::replaced) {
    const auto settled = store.settle([&](const Item&) -> Result<Shown> { return shown; });
    EXPECT_TRUE(settled) << settled.error().message;
    return settled ? *settled : Settled{};
  }
  [[nodiscard]] View view() const {
    const auto stores = list_stores(area.get());
    EXPECT_TRUE(stores) << stores.error().message;
    EXPECT_EQ(stores->size(), 1u);
    return stores && !stores->empty() ? stores->front() : View{};
  }

  Volume volume{"tmpfs", 64};
  std::string root = volume.mount() + "/tree";
  std::string area_path = volume.mount() + "/staging";
  Fd tree, area;
};

}  // namespace repl::apply::diverged::testing

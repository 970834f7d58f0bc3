// apply_tree.h: a tree on a real filesystem with everything the receiving half needs, and a walk to
// judge it by.
#pragma once

#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <string>

#include <fmt/core.h>
#include <gtest/gtest.h>

#include "engine/apply/applier.h"
#include "engine/apply/recovery.h"
#include "engine/base/limits.h"
#include "engine/model/hash.h"

namespace repl::apply::testing {

namespace fs = std::filesystem;

// A directory, or a loop-mounted image of a filesystem ("tmpfs", "ext4", "xfs", "btrfs"), gone at
// the end.
class Volume {
 public:
  explicit Volume(const std::string& kind, int megabytes) {
    char pattern[] = "/tmp/repl-apply-XXXXXX";
    path_ = ::mkdtemp(pattern);
    mount_ = path_ + "/mnt";
    fs::create_directory(mount_);
    if (kind == "tmpfs") {
      mounted_ = ::mount("tmpfs", mount_.c_str(), "tmpfs", 0,
                         fmt::format("size={}m", megabytes).c_str()) == 0;
      return;
    }
    const std::string image = path_ + "/image";
    std::ofstream(image).close();
    fs::resize_file(image, static_cast<uintmax_t>(megabytes) << 20);
    const std::string force = kind == "ext4" ? "-F -q" : kind == "xfs" ? "-f -q" : "-f -q";
    const std::string make = fmt::format("mkfs.{} {} {} >/dev/null 2>&1 && mount -o loop {} {}",
                                         kind, force, image, image, mount_);
    mounted_ = std::system(make.c_str()) == 0;
  }
  ~Volume() {
    if (mounted_) ::umount2(mount_.c_str(), MNT_DETACH);
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  Volume(const Volume&) = delete;
  Volume& operator=(const Volume&) = delete;
  [[nodiscard]] bool ok() const { return mounted_; }
  [[nodiscard]] const std::string& mount() const { return mount_; }
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  std::string path_;
  std::string mount_;
  bool mounted_ = false;
};

// One line per object: everything that must be equal.
inline std::map<std::string, std::string> walk(const std::string& root) {
  std::map<std::string, std::string> found;
  const auto describe = [&](const fs::path& path) {
    struct stat st{};
    ::lstat(path.c_str(), &st);
    std::string line = fmt::format("{:o} {}:{} {}.{:09}", st.st_mode, st.st_uid, st.st_gid,
                                   st.st_mtim.tv_sec, st.st_mtim.tv_nsec);
    if (S_ISREG(st.st_mode)) {
      std::ifstream in(path, std::ios::binary);
      line += " " + std::string(std::istreambuf_iterator<char>(in), {}) +
              fmt::format(" n{}", st.st_nlink);
    }
    if (S_ISLNK(st.st_mode)) line += " -> " + fs::read_symlink(path).string();
    if (S_ISCHR(st.st_mode)) line += fmt::format(" dev {}", st.st_rdev);
    return line;
  };
  found["."] = describe(root);
  for (const auto& entry : fs::recursive_directory_iterator(root)) {
    found[fs::relative(entry.path(), root).string()] = describe(entry.path());
  }
  return found;
}

class Tree {
 public:
  explicit Tree(const Volume& volume, OnDrift on_drift = OnDrift::hold,
                const std::string& state = "")
      : root_(volume.mount() + "/tree"),
        area_(volume.mount() + "/staging"),
        on_drift_(on_drift),
        state_(state.empty() ? volume.path() + "/state" : state) {
    fs::create_directories(root_);
    fs::create_directories(area_);
    open();
  }
  void open() {
    applier.reset();
    staging.reset();
    index.reset();
    index = std::move(*Index::open(state_, 1));
    staging = std::move(*Staging::open(std::move(*io::open_root(area_))));
    const Fd root = std::move(*io::open_root(root_));
    auto done = recover(root.get(), *staging, *index, log_);
    EXPECT_TRUE(done.has_value()) << done.error().message;
    if (done) recovered = *done;
    applier = std::move(*Applier::make(std::move(*io::open_root(root_)), *staging, *index, policy,
                                       on_drift_, log_));
  }
  void begin() {
    ++cut;
    EXPECT_TRUE(applier->begin(CutBegin{.cut = CutNumber{cut}}));
    records_ = 0;
  }
  void put(Put record) {
    const Status done = applier->put(std::move(record));
    EXPECT_TRUE(done) << done.error().message;
    ++records_;
  }
  void remove(DirId dir, const std::string& name) {
    const Status done = applier->remove(Remove{.key = {dir, name}});
    EXPECT_TRUE(done) << done.error().message;
    ++records_;
  }
  PublishResult end() {
    auto result = try_end();
    EXPECT_TRUE(result) << result.error().message;
    if (!result) return {};
    sync();
    return *result;
  }
  Result<PublishResult> try_end() {
    return applier->publish(CutEnd{.cut = CutNumber{cut}, .records = records_}, false,
                            [](const Position&) {});
  }
  void sync() {
    while (auto work = applier->take_sync_work()) {
      const Status status = SyncWork::run(*work, *index);
      ASSERT_TRUE(status) << status.error().message;
      applier->on_synced(std::move(*work), status);
    }
    EXPECT_EQ(index->check(), std::vector<std::string>());
  }
  // After a cut: every entry is what is on disk, by inode and ctime.
  void expect_index_is_disk() const {
    for (const auto& [path, line] : walk(root_)) {
      const Key key = path == "."
                          ? root_key
                          : index->key_of_path(path).value_or(Key{.dir = DirId{}, .name = "?"});
      if (path == ".") continue;
      const auto entry = index->get(key);
      ASSERT_TRUE(entry) << path;
      struct stat st{};
      ASSERT_EQ(::lstat((root_ + "/" + path).c_str(), &st), 0);
      EXPECT_EQ(entry->local.inode, st.st_ino) << path;
      EXPECT_EQ(entry->local.ctime.nanoseconds, st.st_ctim.tv_nsec) << path;
      EXPECT_EQ(entry->attr.mtime.seconds, st.st_mtim.tv_sec) << path;
      EXPECT_EQ(entry->attr.mtime.nanoseconds, st.st_mtim.tv_nsec) << path;
      if (!S_ISLNK(st.st_mode)) {
        EXPECT_EQ(entry->attr.mode, st.st_mode & 07777) << path;
      }
    }
  }
  [[nodiscard]] const std::string& root() const { return root_; }
  [[nodiscard]] std::string read(const std::string& path) const {
    std::ifstream in(root_ + "/" + path, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }

  Policy policy;
  std::unique_ptr<Index> index;
  std::unique_ptr<Staging> staging;
  std::unique_ptr<Applier> applier;
  Recovery recovered;
  uint64_t cut = 0;

 private:
  std::string root_;
  std::string area_;
  OnDrift on_drift_;
  std::string state_;
  NullLog log_;
  uint64_t records_ = 0;
};

// Tests on each of several filesystems.
class OnVolume : public ::testing::TestWithParam<std::string> {
 protected:
  // A fresh one. Ends the test where it cannot be had; CI can mount everything: there it is a
  // failure.
  void mount(int megabytes) {
    tree_.reset();
    volume_ = std::make_unique<Volume>(GetParam(), megabytes);
    ASSERT_TRUE(volume_->ok() || std::getenv("CI") == nullptr) << "cannot mount " << GetParam();
    if (!volume_->ok()) GTEST_SKIP() << "cannot mount " << GetParam();
    tree_ = std::make_unique<Tree>(*volume_);
  }
  std::unique_ptr<Volume> volume_;
  std::unique_ptr<Tree> tree_;
};

// The next bytes of a content that arrives in pieces.
inline Status stage_data(ContentBuilder& contents, const StageId& id, uint64_t offset,
                         std::string_view bytes) {
  Status done;
  while (done && !bytes.empty()) {
    const std::string piece(bytes.substr(0, limits::data_chunk_bytes_max));
    done = contents.data({.stage = id, .offset = offset, .bytes = piece});
    offset += piece.size();
    bytes.remove_prefix(piece.size());
  }
  return done;
}

inline Digest digest_of(std::string_view bytes) {
  ContentHasher hasher;
  hasher.update(bytes);
  return hasher.finish();
}

inline Status stage_whole(ContentBuilder& contents, const StageId& id, const std::string& bytes) {
  if (Status begun = contents.begin({.stage = id}); !begun) return begun;
  if (Status there = stage_data(contents, id, 0, bytes); !there) return there;
  return contents.end({.stage = id, .size = bytes.size(), .digest = digest_of(bytes)});
}

inline Attributes file_attr(uint64_t size, uint16_t mode = 0644) {
  return Attributes{
      .type = FileType::regular, .mode = mode, .mtime = {1'000'000, 123'456'789}, .size = size};
}
inline Put file(DirId dir, const std::string& name, const std::string& bytes,
                uint16_t mode = 0644) {
  Attributes attr = file_attr(bytes.size(), mode);
  attr.content = digest_of(bytes);
  return Put{.key = {dir, name}, .attr = attr, .content = ContentInline{bytes}};
}
inline Put dir(DirId parent, const std::string& name, uint64_t id, uint16_t mode = 0755) {
  return Put{
      .key = {parent, name},
      .attr = {
          .type = FileType::directory, .mode = mode, .mtime = {2'000'000, 1}, .dir = DirId{id}}};
}
inline Put symlink(DirId parent, const std::string& name, const std::string& target) {
  return Put{
      .key = {parent, name},
      .attr = {.type = FileType::symlink, .mode = 0777, .mtime = {3'000'000, 7}, .target = target}};
}
inline Put with(Put put, Content content) {
  put.content = std::move(content);
  return put;
}

}  // namespace repl::apply::testing

// Contents that arrive as differences from what is here: what they cost, and that they are right.
#include <fcntl.h>
#include <sys/resource.h>

#include <iterator>
#include <random>

#include "tests/support/apply_tree.h"

namespace repl::apply::testing {
namespace {

constexpr size_t block = limits::block_bytes;
constexpr size_t mib = 1 << 20;
const Key file_key{root_dir, "f"};

std::string noise(size_t size, unsigned seed) {
  std::mt19937_64 random(seed);
  std::string bytes(size, '\0');
  for (size_t at = 0; at + 8 <= size; at += 8) {
    const uint64_t value = random();
    std::memcpy(bytes.data() + at, &value, 8);
  }
  return bytes;
}

// What this process read(2) and copied so far; reflinks are free.
uint64_t bytes_read() {
  std::ifstream in("/proc/self/io");
  std::string name;
  uint64_t value = 0;
  in >> name >> value;
  return value;
}

class Delta : public OnVolume {
 protected:
  void SetUp() override { mount(GetParam() == "xfs" ? 400 : 256); }
  [[nodiscard]] static bool reflinks() { return GetParam() == "xfs" || GetParam() == "btrfs"; }
  [[nodiscard]] ContentBuilder& contents() { return tree_->applier->contents(); }
  [[nodiscard]] size_t second_copies() const { return tree_->applier->second_copies().size(); }
  StageId next_id() { return StageId{Bits128{7, ++ids_}}; }

  void data(const StageId& id, uint64_t offset, std::string_view bytes) {
    const Status done = stage_data(contents(), id, offset, bytes);
    ASSERT_TRUE(done) << done.error().message;
  }
  void copy(const StageId& id, uint64_t offset, uint64_t base_offset, uint64_t length) {
    const Status done = contents().copy(
        {.stage = id, .offset = offset, .base_offset = base_offset, .length = length});
    ASSERT_TRUE(done) << done.error().message;
  }
  // As the sender does: equal blocks at the same place stay, what is equal of a block that was
  // short too.
  void send(const StageId& id, const std::string& base, const std::string& bytes) {
    ASSERT_TRUE(contents().begin({.stage = id, .base = file_key, .base_digest = digest_of(base)}));
    for (size_t at = 0; at < bytes.size();) {
      size_t end = at;
      while (end < bytes.size() && kept(base, bytes, end) > 0) end += kept(base, bytes, end);
      if (end > at) copy(id, at, at, end - at);
      at = end;
      while (end < bytes.size() && kept(base, bytes, end) == 0)
        end = std::min((end / block + 1) * block, bytes.size());
      data(id, at, std::string_view(bytes).substr(at, end - at));
      at = end;
    }
    const Status done =
        contents().end({.stage = id, .size = bytes.size(), .digest = digest_of(bytes)});
    ASSERT_TRUE(done) << done.error().message;
  }
  static size_t kept(const std::string& base, const std::string& bytes, size_t at) {
    if (at % block != 0 || at >= base.size()) return 0;
    const size_t length = std::min(block, base.size() - at);
    return bytes.compare(at, length, base, at, length) == 0 ? length : 0;
  }
  void whole(const std::string& bytes) {
    const StageId id = next_id();
    const Status staged = stage_whole(contents(), id, bytes);
    ASSERT_TRUE(staged) << staged.error().message;
    tree_->begin();
    tree_->put(with(file(root_dir, "f", bytes), ContentStaged{id}));
    EXPECT_EQ(tree_->end().refused.size(), 0u);
  }
  PublishResult edit(const std::string& base, const std::string& bytes, uint16_t mode = 0644) {
    const StageId id = next_id();
    send(id, base, bytes);
    tree_->begin();
    Put put = file(root_dir, "f", bytes, mode);
    put.attr.mtime.seconds += static_cast<int64_t>(++edits_);
    tree_->put(with(put, ContentStaged{id}));
    return tree_->end();
  }
  void expect(const std::string& bytes) {
    EXPECT_TRUE(tree_->read("f") == bytes);
    const auto entry = tree_->index->get(file_key);
    ASSERT_TRUE(entry);
    EXPECT_EQ(entry->attr.content, digest_of(bytes));
    const auto table = tree_->index->block_table(entry->attr.content);
    ASSERT_TRUE(table);
    EXPECT_EQ(digest_of_blocks(*table), entry->attr.content);
    tree_->expect_index_is_disk();
  }
  [[nodiscard]] uint64_t inode() const {
    struct stat st{};
    EXPECT_EQ(::stat((tree_->root() + "/f").c_str(), &st), 0);
    return st.st_ino;
  }

  uint64_t ids_ = 0;
  uint64_t edits_ = 0;
};
INSTANTIATE_TEST_SUITE_P(Filesystems, Delta, ::testing::Values("tmpfs", "ext4", "xfs", "btrfs"));
// Where there are no reflinks: second copies, and appends in place.
class InPlaceDelta : public Delta {};
INSTANTIATE_TEST_SUITE_P(Filesystems, InPlaceDelta, ::testing::Values("tmpfs", "ext4"));

TEST_P(Delta, AnEditReadsWhatChanged) {
  std::string bytes = noise(24 * mib + 12345, 1);
  whole(bytes);
  for (unsigned n = 0; n < 4; ++n) {
    const std::string base = bytes;
    bytes.replace((5 + 3 * n) * mib, 2 * block, noise(2 * block, 10 + n));
    bytes.replace(bytes.size() - 5, 5, "ends" + std::to_string(n));
    const uint64_t before = bytes_read();
    const StageId id = next_id();
    send(id, base, bytes);
    tree_->begin();
    tree_->put(with(file(root_dir, "f", bytes, 04700), ContentStaged{id}));
    EXPECT_EQ(tree_->end().refused.size(), 0u);
    const uint64_t cost = bytes_read() - before;
    // Without reflinks the first edit copies the file, once.
    const uint64_t copies = !reflinks() && n == 0 ? bytes.size() : 0;
    EXPECT_LE(cost, copies + 16 * block) << "edit " << n;
    expect(bytes);
    EXPECT_EQ(second_copies(), reflinks() ? 0u : 1u);
  }
}

TEST_P(Delta, ShiftedRangesHolesAndOtherSizes) {
  std::string base = noise(12 * mib + 777, 2);
  base.replace(3 * mib, mib, std::string(mib, '\0'));
  whole(base);
  std::mt19937 random(5);
  for (int round = 0; round < 8; ++round) {
    const StageId id = next_id();
    ASSERT_TRUE(contents().begin({.stage = id, .base = file_key, .base_digest = digest_of(base)}));
    std::string bytes;
    for (int op = 0; op < 14; ++op) {
      const size_t length = 1 + random() % (random() % 2 == 0 ? 3 * mib / 2 : 5000);
      switch (random() % 4) {
        case 0: {
          const std::string part = noise(length, random());
          data(id, bytes.size(), part);
          bytes += part;
          break;
        }
        case 1: {
          ASSERT_TRUE(contents().hole({.stage = id, .offset = bytes.size(), .length = length}));
          bytes += std::string(length, '\0');
          break;
        }
        case 2: {  // what stays
          if (bytes.size() >= base.size()) break;
          const size_t stays = std::min(length, base.size() - bytes.size());
          copy(id, bytes.size(), bytes.size(), stays);
          bytes += base.substr(bytes.size(), stays);
          break;
        }
        default: {
          size_t from = random() % base.size();
          if (random() % 2 == 0) from = from / block * block + bytes.size() % block;
          if (from >= base.size()) break;
          const size_t moves = std::min(length, base.size() - from);
          copy(id, bytes.size(), from, moves);
          bytes += base.substr(from, moves);
          break;
        }
      }
    }
    const Status done =
        contents().end({.stage = id, .size = bytes.size(), .digest = digest_of(bytes)});
    ASSERT_TRUE(done) << done.error().message;
    tree_->begin();
    Put put = file(root_dir, "f", bytes);
    put.attr.mtime.seconds += round;
    tree_->put(with(put, ContentStaged{id}));
    const PublishResult result = tree_->end();
    ASSERT_EQ(result.refused.size(), 0u) << result.refused[0].reason;
    expect(bytes);
    if (HasFailure()) return;
    base = std::move(bytes);
  }
}

TEST_P(Delta, AHoleIsPunchedIntoWhatStays) {
  std::string bytes = noise(16 * mib, 3);
  whole(bytes);
  for (int n = 0; n < 3; ++n) {
    const std::string base = bytes;
    const size_t at = static_cast<size_t>(2 + 4 * n) * mib;
    bytes.replace(at, 2 * mib, std::string(2 * mib, '\0'));
    const StageId id = next_id();
    ASSERT_TRUE(contents().begin({.stage = id, .base = file_key, .base_digest = digest_of(base)}));
    copy(id, 0, 0, at);
    ASSERT_TRUE(contents().hole({.stage = id, .offset = at, .length = 2 * mib}));
    copy(id, at + 2 * mib, at + 2 * mib, bytes.size() - at - 2 * mib);
    ASSERT_TRUE(contents().end({.stage = id, .size = bytes.size(), .digest = digest_of(bytes)}));
    tree_->begin();
    tree_->put(with(file(root_dir, "f", bytes), ContentStaged{id}));
    EXPECT_EQ(tree_->end().refused.size(), 0u);
    expect(bytes);
    struct stat st{};
    ASSERT_EQ(::stat((tree_->root() + "/f").c_str(), &st), 0);
    EXPECT_LE(static_cast<size_t>(st.st_blocks) * 512,
              16 * mib - static_cast<size_t>(n + 1) * 2 * mib + mib / 2);
  }
}

// A terabyte that hardly holds anything is not written, nor read.
TEST_P(Delta, HolesOfTheBaseAreNotFilled) {
  constexpr uint64_t size = 64ULL << 30;
  const std::string island = noise(mib, 4);
  ContentHasher hasher;
  hasher.update(island);
  hasher.update_zeros(size - 2 * mib);
  hasher.update(island);
  const Digest first = hasher.finish();
  StageId id = next_id();
  ASSERT_TRUE(contents().begin({.stage = id}));
  data(id, 0, island);
  ASSERT_TRUE(contents().hole({.stage = id, .offset = mib, .length = size - 2 * mib}));
  data(id, size - mib, island);
  ASSERT_TRUE(contents().end({.stage = id, .size = size, .digest = first}));
  Put put{.key = file_key, .attr = file_attr(size), .content = ContentStaged{id}};
  tree_->begin();
  tree_->put(put);
  ASSERT_EQ(tree_->end().refused.size(), 0u);

  ContentHasher edited;
  edited.update(island);
  edited.update_zeros(size / 2 - mib);
  edited.update(island);
  edited.update_zeros(size / 2 - 2 * mib);
  edited.update(island);
  const Digest second = edited.finish();
  id = next_id();
  const uint64_t before = bytes_read();
  ASSERT_TRUE(contents().begin({.stage = id, .base = file_key, .base_digest = first}));
  copy(id, 0, 0, size / 2);
  data(id, size / 2, island);
  copy(id, size / 2 + mib, size / 2 + mib, size / 2 - mib);
  ASSERT_TRUE(contents().end({.stage = id, .size = size, .digest = second}));
  put.content = ContentStaged{id};
  put.attr.mtime.seconds += 1;
  tree_->begin();
  tree_->put(put);
  ASSERT_EQ(tree_->end().refused.size(), 0u);
  EXPECT_LE(bytes_read() - before, 4 * mib);
  struct stat st{};
  ASSERT_EQ(::stat((tree_->root() + "/f").c_str(), &st), 0);
  EXPECT_LE(static_cast<size_t>(st.st_blocks) * 512, 4 * mib);
  EXPECT_EQ(tree_->index->get(file_key)->attr.content, second);
}

TEST_P(Delta, WithoutATableTheKeptRangesAreRead) {
  std::string bytes = noise(9 * mib, 5);
  whole(bytes);
  const std::string base = bytes;
  bytes.replace(4 * mib, block, noise(block, 6));
  // As after the index was damaged: the entry is there, the table is not.
  const Entry before = *tree_->index->get(file_key);
  tree_->index->clear();
  ASSERT_TRUE(tree_->index->flush());
  tree_->open();
  ASSERT_TRUE(tree_->index->put(file_key, before));
  ASSERT_FALSE(tree_->index->block_table(digest_of(base)));
  EXPECT_EQ(edit(base, bytes).refused.size(), 0u);
  expect(bytes);
}

TEST_P(Delta, ABaseThatIsWrittenToIsNotTrusted) {
  std::string bytes = noise(9 * mib, 7);
  whole(bytes);
  const std::string base = bytes;
  bytes.replace(4 * mib, block, noise(block, 8));
  const StageId id = next_id();
  ASSERT_TRUE(contents().begin({.stage = id, .base = file_key, .base_digest = digest_of(base)}));
  copy(id, 0, 0, 2 * mib);
  const int fd = ::open((tree_->root() + "/f").c_str(), O_WRONLY | O_CLOEXEC);
  ASSERT_EQ(::pwrite(fd, "drift", 5, 3 * mib), 5);
  ::close(fd);
  copy(id, 2 * mib, 2 * mib, 2 * mib);
  data(id, 4 * mib, std::string_view(bytes).substr(4 * mib, block));
  copy(id, 4 * mib + block, 4 * mib + block, 5 * mib - block);
  ASSERT_TRUE(contents().end({.stage = id, .size = bytes.size(), .digest = digest_of(bytes)}));
  const BuiltContent* built = contents().find(id);
  ASSERT_TRUE(built);
  // What was reflinked before may be right; what was copied is not.
  if (built->state == StageState::ended) {
    EXPECT_TRUE(reflinks());
    EXPECT_EQ(built->digest, digest_of(bytes));
  } else {
    EXPECT_EQ(built->state, StageState::refused);
  }
}

// --- second copies, where there are no reflinks ---

TEST_P(InPlaceDelta, ASecondCopyIsUsedOnlyIfItIsUntouchedAndNobodyHasItOpen) {
  std::string bytes = noise(10 * mib, 9);
  whole(bytes);
  const auto next = [&](unsigned seed) {
    std::string edited = bytes;
    edited.replace(seed % 9 * mib, block, noise(block, seed));
    const uint64_t before = bytes_read();
    EXPECT_EQ(edit(bytes, edited).refused.size(), 0u);
    const bool copied = bytes_read() - before > bytes.size() / 2;
    bytes = edited;
    expect(bytes);
    EXPECT_EQ(second_copies(), 1u);
    return copied;
  };
  EXPECT_TRUE(next(1)) << "there is none yet";
  EXPECT_FALSE(next(2));
  EXPECT_FALSE(next(3));
  // Somebody reads the version that is displaced next, and goes on reading it.
  const std::string read_on = bytes;
  const Fd reader(::open((tree_->root() + "/f").c_str(), O_RDONLY | O_CLOEXEC));
  EXPECT_FALSE(next(4));
  EXPECT_TRUE(next(5));
  std::string seen(read_on.size(), '\0');
  ASSERT_EQ(::pread(reader.get(), seen.data(), seen.size(), 0), static_cast<ssize_t>(seen.size()));
  EXPECT_TRUE(seen == read_on) << "a displaced version changed under its reader";
  EXPECT_FALSE(next(6));
  // Somebody had it open for writing, and writes to what was displaced.
  {
    const Fd writer(::open((tree_->root() + "/f").c_str(), O_WRONLY | O_CLOEXEC));
    EXPECT_FALSE(next(7));
    ASSERT_EQ(::pwrite(writer.get(), "x", 1, 5), 1);
  }
  EXPECT_TRUE(next(8));
  EXPECT_FALSE(next(9));
}

TEST_P(InPlaceDelta, ASecondCopyFollowsItsFile) {
  std::string bytes = noise(10 * mib, 10);
  whole(bytes);
  std::string edited = bytes;
  edited.replace(mib, block, noise(block, 11));
  EXPECT_EQ(edit(bytes, edited).refused.size(), 0u);
  ASSERT_EQ(second_copies(), 1u);
  // Shorter, then longer than it ever was.
  for (const size_t size : {9 * mib + 5, 13 * mib + 9}) {
    bytes = edited;
    edited = size < bytes.size() ? bytes.substr(0, size) : bytes + noise(size - bytes.size(), 12);
    edited.replace(0, 4, "head");
    edited.replace(4, 1, 1, static_cast<char>(size));
    const uint64_t before = bytes_read();
    EXPECT_EQ(edit(bytes, edited).refused.size(), 0u);
    EXPECT_LE(bytes_read() - before, 4 * mib);
    expect(edited);
  }
  // Whole: what it was a copy of is gone.
  whole(noise(10 * mib, 13));
  EXPECT_EQ(second_copies(), 0u);
  EXPECT_TRUE(fs::is_empty(volume_->mount() + "/staging/new/0"));
  bytes = tree_->read("f");
  edited = bytes;
  edited.replace(mib, block, noise(block, 14));
  EXPECT_EQ(edit(bytes, edited).refused.size(), 0u);
  ASSERT_EQ(second_copies(), 1u);
  tree_->begin();
  tree_->remove(root_dir, "f");
  EXPECT_EQ(tree_->end().refused.size(), 0u);
  EXPECT_EQ(second_copies(), 0u);
}

// What it does not see itself: an append in place, and edits while its cut waits for the sync.
TEST_P(InPlaceDelta, ASecondCopyLearnsWhatOthersChanged) {
  std::string bytes = noise(10 * mib, 50);
  whole(bytes);
  unsigned seed = 51;
  const auto edited = [&] {
    std::string next = bytes;
    next.replace((seed - 50) % 9 * mib, block, noise(block, seed));
    ++seed;
    return next;
  };
  std::string next = edited();
  EXPECT_EQ(edit(bytes, next).refused.size(), 0u);
  bytes = next + noise(3 * block, 60);
  EXPECT_EQ(edit(next, bytes).refused.size(), 0u);
  ASSERT_EQ(second_copies(), 1u);
  next = edited();
  const uint64_t before = bytes_read();
  EXPECT_EQ(edit(bytes, next).refused.size(), 0u);
  EXPECT_LE(bytes_read() - before, 2 * mib) << "it was used";
  expect(next);
  for (int n = 0; n < 3; ++n) {
    bytes = next;
    next = edited();
    const StageId id = next_id();
    send(id, bytes, next);
    tree_->begin();
    tree_->put(with(file(root_dir, "f", next), ContentStaged{id}));
    ASSERT_TRUE(tree_->try_end());
  }
  EXPECT_EQ(second_copies(), limits::second_copies_of_one_max);
  tree_->sync();
  expect(next);
  for (int n = 0; n < 3; ++n) {
    bytes = next;
    next = edited();
    EXPECT_EQ(edit(bytes, next).refused.size(), 0u);
    expect(next);
  }
}

TEST_P(Delta, HardLinkedFilesHaveNoSecondCopy) {
  std::string bytes = noise(10 * mib, 15);
  whole(bytes);
  ASSERT_EQ(::link((tree_->root() + "/f").c_str(), (volume_->mount() + "/elsewhere").c_str()), 0);
  std::string edited = bytes;
  edited.replace(mib, block, noise(block, 16));
  tree_->open();
  struct stat st{};
  ASSERT_EQ(::stat((tree_->root() + "/f").c_str(), &st), 0);
  LocalStat local = tree_->index->get(file_key)->local;
  local.ctime = {st.st_ctim.tv_sec, static_cast<uint32_t>(st.st_ctim.tv_nsec)};
  tree_->index->put_local(file_key, local);
  EXPECT_EQ(edit(bytes, edited).refused.size(), 0u);
  EXPECT_EQ(second_copies(), 0u);
  std::ifstream in(volume_->mount() + "/elsewhere", std::ios::binary);
  EXPECT_TRUE(std::string(std::istreambuf_iterator<char>(in), {}) == bytes);
}

TEST_P(InPlaceDelta, SecondCopiesGoWhenTheDiskIsFull) {
  mount(96);
  std::string bytes = noise(14 * mib, 17);
  whole(bytes);
  std::string edited = bytes;
  edited.replace(mib, block, noise(block, 18));
  EXPECT_EQ(edit(bytes, edited).refused.size(), 0u);
  ASSERT_EQ(second_copies(), 1u);
  // More than is free with it, less than without it.
  const auto space = fs::space(volume_->mount());
  const size_t size = (space.available + 6 * mib) / mib * mib;
  const std::string large = noise(size, 19);
  const StageId id = next_id();
  ASSERT_TRUE(contents().begin({.stage = id}));
  data(id, 0, large);
  ASSERT_FALSE(HasFailure());
  EXPECT_EQ(second_copies(), 0u);
  ASSERT_TRUE(contents().end({.stage = id, .size = size, .digest = digest_of(large)}));
  tree_->begin();
  tree_->put(with(file(root_dir, "large", large), ContentStaged{id}));
  EXPECT_EQ(tree_->end().refused.size(), 0u);
  EXPECT_TRUE(tree_->read("large") == large);
  expect(edited);
}

// A share of what is free, not all of it.
TEST_P(InPlaceDelta, SecondCopiesLeaveRoom) {
  mount(80);
  std::string bytes = noise(20 * mib, 20);
  whole(bytes);
  std::string edited = bytes;
  edited.replace(mib, block, noise(block, 21));
  EXPECT_EQ(edit(bytes, edited).refused.size(), 0u);
  EXPECT_EQ(second_copies(), 0u);
  expect(edited);
}

// --- appends, in place where there are no reflinks ---

TEST_P(Delta, AppendsGoIntoTheFile) {
  std::string bytes = noise(5 * mib + 321, 22);
  whole(bytes);
  const uint64_t file = inode();
  for (unsigned n = 0; n < 4; ++n) {
    const std::string base = bytes;
    bytes += noise(40'000 * n + 8, 23 + n);
    const uint64_t before = bytes_read();
    EXPECT_EQ(edit(base, bytes, n % 2 == 0 ? 0640 : 0644).refused.size(), 0u);
    EXPECT_LE(bytes_read() - before, 8 * block);
    expect(bytes);
    if (!reflinks()) {
      EXPECT_EQ(inode(), file);
    }
  }
  for (int n = 0; n < 4; ++n)
    EXPECT_TRUE(fs::is_empty(fmt::format("{}/staging/stage/{}", volume_->mount(), n)));
}

// A peer that was away gets what its logs grew by in one cut.
TEST_P(Delta, ManyAppendsTakeFewDescriptors) {
  constexpr size_t files = limits::held_fds_max + 200;
  const std::string base(mib, '\0');
  const std::string bytes = base + "more";
  std::vector<StageId> ids;
  const auto put_all = [&](const std::string& content) {
    tree_->begin();
    for (size_t n = 0; n < files; ++n)
      tree_->put(with(file(root_dir, std::to_string(n), content), ContentStaged{ids[n]}));
    ids.clear();
    EXPECT_EQ(tree_->end().refused.size(), 0u);
  };
  for (size_t n = 0; n < files; ++n) {
    ids.push_back(next_id());
    ASSERT_TRUE(contents().begin({.stage = ids[n]}));
    ASSERT_TRUE(contents().hole({.stage = ids[n], .offset = 0, .length = mib}));
    ASSERT_TRUE(contents().end({.stage = ids[n], .size = mib, .digest = digest_of(base)}));
  }
  put_all(base);
  for (size_t n = 0; n < files; ++n) {
    ids.push_back(next_id());
    ASSERT_TRUE(contents().begin(
        {.stage = ids[n], .base = {root_dir, std::to_string(n)}, .base_digest = digest_of(base)}));
    copy(ids[n], 0, 0, mib);
    data(ids[n], mib, "more");
    ASSERT_TRUE(
        contents().end({.stage = ids[n], .size = bytes.size(), .digest = digest_of(bytes)}));
  }
  rlimit allowed{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &allowed), 0);
  const auto open = std::distance(fs::directory_iterator("/proc/self/fd"), {});
  rlimit few = allowed;
  few.rlim_cur = static_cast<rlim_t>(open) + limits::held_fds_max + 50;
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &few), 0);
  put_all(bytes);
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &allowed), 0);
  EXPECT_TRUE(tree_->read(std::to_string(files - 1)) == bytes);
}

TEST_P(Delta, AnAppendToWhatSomebodyElseNamesOrReadsElsewhere) {
  std::string bytes = noise(3 * mib, 30);
  whole(bytes);
  const std::string base = bytes;
  bytes += noise(100'000, 31);
  // It has another name, outside of the tree: that one keeps what it was.
  ASSERT_EQ(::link((tree_->root() + "/f").c_str(), (volume_->mount() + "/elsewhere").c_str()), 0);
  struct stat st{};
  ASSERT_EQ(::stat((tree_->root() + "/f").c_str(), &st), 0);
  LocalStat local = tree_->index->get(file_key)->local;
  local.ctime = {st.st_ctim.tv_sec, static_cast<uint32_t>(st.st_ctim.tv_nsec)};
  tree_->index->put_local(file_key, local);
  const PublishResult result = edit(base, bytes);
  if (reflinks()) {
    EXPECT_EQ(result.refused.size(), 0u);
  } else {
    ASSERT_EQ(result.refused.size(), 1u);
    EXPECT_FALSE(result.refused[0].hold);
    EXPECT_TRUE(tree_->read("f") == base);
  }
  EXPECT_EQ(fs::file_size(volume_->mount() + "/elsewhere"), base.size());
}

TEST_P(Delta, AnAppendThatIsToBeAnotherFile) {
  const std::string base = noise(3 * mib + 5, 32);
  whole(base);
  const std::string bytes = base + noise(100'000, 33);
  const StageId id = next_id();
  send(id, base, bytes);
  tree_->begin();
  tree_->put(with(file(root_dir, "g", bytes), ContentStaged{id}));
  EXPECT_EQ(tree_->end().refused.size(), 0u);
  EXPECT_TRUE(tree_->read("g") == bytes);
  EXPECT_TRUE(tree_->read("f") == base);
  tree_->expect_index_is_disk();
}

TEST_P(Delta, AnAppendToWhatWasChangedHereIsHeld) {
  const std::string base = noise(3 * mib + 5, 34);
  whole(base);
  const std::string bytes = base + noise(100'000, 35);
  const StageId id = next_id();
  send(id, base, bytes);
  std::ofstream(tree_->root() + "/f", std::ios::binary | std::ios::app) << "drift";
  tree_->begin();
  tree_->put(with(file(root_dir, "f", bytes), ContentStaged{id}));
  const PublishResult result = tree_->end();
  ASSERT_EQ(result.refused.size(), 1u);
  EXPECT_TRUE(result.refused[0].hold);
  EXPECT_TRUE(tree_->read("f") == base + "drift");
}

TEST_P(InPlaceDelta, AnAppendToWhatIsExecutedComesWhole) {
  std::string base = noise(2 * mib, 38);
  {
    std::ifstream sleep("/bin/sleep", std::ios::binary);
    const std::string program{std::istreambuf_iterator<char>(sleep), {}};
    base.replace(0, program.size(), program);
  }
  whole(base);
  ASSERT_EQ(::chmod((tree_->root() + "/f").c_str(), 0755), 0);
  struct stat st{};
  ASSERT_EQ(::stat((tree_->root() + "/f").c_str(), &st), 0);
  Entry entry = *tree_->index->get(file_key);
  entry.attr.mode = 0755;
  entry.local.ctime = {st.st_ctim.tv_sec, static_cast<uint32_t>(st.st_ctim.tv_nsec)};
  ASSERT_TRUE(tree_->index->put(file_key, entry));
  int ready[2] = {};
  ASSERT_EQ(::pipe2(ready, O_CLOEXEC), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    ::execl((tree_->root() + "/f").c_str(), "f", "100", nullptr);
    ::_exit(1);
  }
  ::close(ready[1]);
  char none = 0;
  ASSERT_EQ(::read(ready[0], &none, 1), 0) << "it runs";
  ::close(ready[0]);
  const PublishResult result = edit(base, base + "more");
  ASSERT_EQ(result.refused.size(), 1u);
  EXPECT_FALSE(result.refused[0].hold) << result.refused[0].reason;
  EXPECT_TRUE(tree_->read("f") == base);
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
}

TEST_P(InPlaceDelta, AnAppendThatDoesNotFitIsTakenBack) {
  mount(64);
  const std::string base = noise(3 * mib + 5, 36);
  whole(base);
  const std::string bytes = base + noise(4 * mib, 37);
  const StageId id = next_id();
  send(id, base, bytes);
  // All that is left.
  {
    std::ofstream rest(volume_->mount() + "/rest", std::ios::binary);
    while (rest.write(base.data(), 65536)) {
    }
  }
  const auto before = walk(tree_->root());
  tree_->begin();
  tree_->put(with(file(root_dir, "f", bytes), ContentStaged{id}));
  const auto result = tree_->try_end();
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, ErrorCode::no_space);
  EXPECT_EQ(result.error().remedy, Remedy::retry);
  EXPECT_TRUE(walk(tree_->root()) == before);
  expect(base);
  fs::remove(volume_->mount() + "/rest");
  tree_->sync();
  EXPECT_EQ(edit(base, bytes).refused.size(), 0u);
  expect(bytes);
}

// --- interrupted ---

TEST_P(Delta, AnInterruptedDifferenceIsResumedOrBeginsAgain) {
  const std::string base = noise(9 * mib, 40);
  whole(base);
  std::string bytes = base;
  bytes.replace(2 * mib, block, noise(block, 41));
  const StageId id = next_id();
  ASSERT_TRUE(contents().begin({.stage = id, .base = file_key, .base_digest = digest_of(base)}));
  copy(id, 0, 0, 2 * mib);
  data(id, 2 * mib, std::string_view(bytes).substr(2 * mib, block));
  tree_->applier->end_session();
  const auto progress = tree_->staging->progress();
  ASSERT_TRUE(progress);
  ASSERT_EQ(progress->size(), 1u);
  EXPECT_EQ((*progress)[0].bytes, 2 * mib + block) << "not what the base has beyond";
  ASSERT_TRUE(contents().begin({.stage = id, .resume_at = 2 * mib + block}));
  data(id, 2 * mib + block, std::string_view(bytes).substr(2 * mib + block));
  ASSERT_TRUE(contents().end({.stage = id, .size = bytes.size(), .digest = digest_of(bytes)}));
  tree_->begin();
  tree_->put(with(file(root_dir, "f", bytes), ContentStaged{id}));
  EXPECT_EQ(tree_->end().refused.size(), 0u);
  expect(bytes);
  // A tail is not the beginning of anything.
  const StageId tail = next_id();
  ASSERT_TRUE(contents().begin({.stage = tail, .base = file_key, .base_digest = digest_of(bytes)}));
  copy(tail, 0, 0, bytes.size());
  data(tail, bytes.size(), "tail");
  tree_->applier->end_session();
  const auto after = tree_->staging->progress();
  ASSERT_TRUE(after);
  for (const StageProgress& stage : *after) EXPECT_EQ(stage.bytes, bytes.size() + 4);
  EXPECT_EQ(after->size(), reflinks() ? 1u : 0u);
}

TEST_P(Delta, AKilledDifferenceIsNotTakenForWhatWasReceived) {
  const std::string base = noise(9 * mib, 42);
  whole(base);
  const pid_t child = ::fork();
  if (child == 0) {
    if (!contents().begin({.stage = next_id(), .base = file_key, .base_digest = digest_of(base)}) ||
        !contents().copy({.stage = StageId{Bits128{7, ids_}}, .length = mib})) {
      ::_exit(1);
    }
    ::kill(::getpid(), SIGKILL);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  ASSERT_TRUE(WIFSIGNALED(status));
  tree_->open();
  const auto progress = tree_->staging->progress();
  ASSERT_TRUE(progress);
  for (const StageProgress& stage : *progress) EXPECT_EQ(stage.bytes, mib);
  EXPECT_EQ(progress->size(), reflinks() ? 0u : 1u);
  expect(base);
}

}  // namespace
}  // namespace repl::apply::testing

// What disks, crashes and other processes do to an index.
#include <fcntl.h>
#include <lmdb.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <atomic>
#include <fstream>
#include <random>
#include <thread>

#include "engine/base/bytes.h"
#include "engine/index/entry_codec.h"
#include "engine/index/overlay.h"
#include "tests/unit/index/index_fixture.h"

namespace repl {
namespace {

using testing::HasSubstr;

class IndexDiskTest : public IndexTest {
 protected:
  // Puts one raw record into the closed index.
  void write_raw(Table table, const std::string& key, const std::string& value) {
    MDB_env* env = nullptr;
    ASSERT_EQ(mdb_env_create(&env), 0);
    ASSERT_EQ(mdb_env_open(env, directory().c_str(), 0, 0600), 0);
    MDB_txn* txn = nullptr;
    MDB_dbi dbi = 0;
    ASSERT_EQ(mdb_txn_begin(env, nullptr, 0, &txn), 0);
    ASSERT_EQ(mdb_dbi_open(txn, nullptr, 0, &dbi), 0);
    std::string bytes = static_cast<char>(table) + key;
    MDB_val k{.mv_size = bytes.size(), .mv_data = bytes.data()};
    MDB_val v{.mv_size = value.size(), .mv_data = const_cast<char*>(value.data())};
    ASSERT_EQ(mdb_put(txn, dbi, &k, &v, 0), 0);
    ASSERT_EQ(mdb_txn_commit(txn), 0);
    mdb_env_close(env);
  }
  [[nodiscard]] std::string open_error(uint64_t seed = test_seed) {
    const auto opened = Index::open(directory(), seed);
    return opened ? "" : opened.error().message;
  }
  [[nodiscard]] std::string data_file() const { return directory() + "/data.mdb"; }
};

TEST_F(IndexDiskTest, OneProcessAtATime) {
  EXPECT_THAT(open_error(), HasSubstr("already in use by pid " + std::to_string(getpid())));
  struct stat st{};
  ASSERT_EQ(::stat(directory().c_str(), &st), 0);
  EXPECT_EQ(st.st_mode & 07777, 0700u);
}

TEST_F(IndexDiskTest, OtherTreesIndexIsRefused) {
  ASSERT_TRUE(index_->put(at(1, "a"), file_entry(1)));
  flush();
  index_.reset();
  EXPECT_THAT(open_error(test_seed + 1), HasSubstr("another tree"));
}

TEST_F(IndexDiskTest, NewerFormatIsRefused) {
  index_.reset();
  std::string header;
  ByteWriter out(header);
  out.u64(0x315844494C504552);
  out.u32(2);
  out.string("whatever comes then");
  write_raw(Table::header, {}, header);
  EXPECT_THAT(open_error(), HasSubstr("format 2"));
}

TEST_F(IndexDiskTest, DamagedHeaderNamesFileAndRemedy) {
  index_.reset();
  for (const char* header : {"", "x", "REPLIDX1\1"}) {
    write_raw(Table::header, {}, header);
    EXPECT_THAT(open_error(), HasSubstr(data_file()));
    EXPECT_THAT(open_error(), HasSubstr("delete the directory"));
  }
}

TEST_F(IndexDiskTest, DamagedFileIsAnError) {
  ASSERT_TRUE(index_->put(at(1, "a"), file_entry(1)));
  flush();
  index_.reset();
  {
    std::fstream file(data_file(), std::ios::in | std::ios::out | std::ios::binary);
    file.write(std::string(8192, 'x').data(), 8192);
  }
  EXPECT_THAT(open_error(), HasSubstr("damaged"));
}

TEST_F(IndexDiskTest, DamagedRecordStopsCommits) {
  ASSERT_TRUE(index_->put(at(1, "a"), file_entry(1)));
  flush();
  index_.reset();
  write_raw(Table::entries, key_bytes(root_dir, "a"), "\1\1");
  open();
  EXPECT_TRUE(index_->health().has_value());
  EXPECT_FALSE(index_->get(at(1, "a")).has_value());
  ASSERT_FALSE(index_->health().has_value());
  EXPECT_THAT(index_->health().error().message, HasSubstr(data_file()));
  ASSERT_TRUE(index_->put(at(1, "b"), file_entry(1)));
  EXPECT_FALSE(index_->flush().has_value());
  EXPECT_THAT(index_->check(), testing::Not(testing::IsEmpty()));
}

// A signature can be made again: one that this version does not know, or that is damaged, is none.
TEST_F(IndexDiskTest, UnknownAndDamagedSignaturesAreAbsent) {
  const Entry entry = file_entry(1, 3'000'000, 9);
  ASSERT_TRUE(index_->put(at(1, "a"), entry));
  std::string good("\1", 1);
  ByteWriter(good).bits(hash_bytes("sums"));
  good += "sums";
  std::string newer = good, flipped = good;
  newer[0] = 2;
  flipped.back() ^= 1;
  const std::pair<std::string, bool> rows[] = {
      {good, true}, {newer, false}, {flipped, false}, {good.substr(0, 9), false}, {"", false}};
  for (const auto& [value, present] : rows) {
    flush();
    index_.reset();
    write_raw(Table::signatures, digest_bytes(entry.attr.content), value);
    open();
    EXPECT_EQ(index_->signature(entry.attr.content).has_value(), present) << value.size();
    EXPECT_TRUE(index_->health());
    index_->put_signature(entry.attr.content, "again");
    EXPECT_EQ(index_->signature(entry.attr.content), "again");
  }
  flush();
  expect_sound();
}

TEST_F(IndexDiskTest, CircleOfDirectoriesIsNotWalkedForever) {
  ASSERT_TRUE(index_->put(at(1, "a"), dir_entry(1, 2)));
  ASSERT_TRUE(index_->put(at(2, "b"), dir_entry(1, 3)));
  ASSERT_TRUE(index_->put(at(3, "f"), file_entry(1)));
  flush();
  index_.reset();
  std::string record;
  ByteWriter out(record);
  out.u8(1);
  out.u64(3);
  out.string("a");
  for (int i = 0; i < 8; ++i) out.u64(0);
  out.varint(1);
  out.varint(0);
  write_raw(Table::dirs, number_bytes(2), record);
  open();
  EXPECT_FALSE(index_->path_of(at(3, "f")).has_value());
  EXPECT_FALSE(index_->can_move(DirId{3}, DirId{2}));
  EXPECT_THAT(index_->check(), testing::Not(testing::IsEmpty()));
}

TEST_F(IndexDiskTest, CheckFindsWhatDoesNotBelong) {
  ASSERT_TRUE(index_->put(at(1, "a"), file_entry(1, 70'000, 5, 9)));
  flush();
  const std::pair<Table, std::string> strays[] = {
      {Table::inodes, number_key_bytes(10, at(1, "a"))},
      {Table::links, number_key_bytes(10, at(1, "a"))},
      {Table::log, number_key_bytes(10, at(1, "a"))},
      {Table::contents, digest_key_bytes(Digest{Bits128{.high = 0, .low = 2}}, at(1, "a"))},
      {Table::blocks, digest_bytes(Digest{Bits128{.high = 8, .low = 2}})},
      {Table::tombstones, key_bytes(root_dir, "x")},
      {Table::tombstone_log, number_key_bytes(3, at(1, "x"))},
      {Table::dirs, number_bytes(44)},
      {Table::handles, "handle"}};
  for (const auto& [table, key] : strays) {
    index_.reset();
    std::filesystem::remove_all(directory());
    open();
    ASSERT_TRUE(index_->put(at(1, "a"), file_entry(1, 70'000, 5, 9)));
    flush();
    expect_sound();
    index_.reset();
    write_raw(table, key, "");
    open();
    EXPECT_THAT(index_->check(), testing::Not(testing::IsEmpty())) << static_cast<int>(table);
  }
}

TEST_F(IndexDiskTest, AnyBytesDecodeOrDoNot) {
  std::mt19937_64 random(7);
  Entry entry = dir_entry(3, 9, "handle");
  entry.attr.owner = "o";
  entry.attr.xattrs = "xx";
  const std::string good = encode_entry(entry);
  ASSERT_TRUE(decode_entry(good).has_value());
  for (size_t size = 0; size < good.size(); ++size) {
    EXPECT_FALSE(decode_entry(std::string_view(good).substr(0, size)).has_value());
  }
  EXPECT_FALSE(decode_entry(good + "x").has_value());
  for (int i = 0; i < 100'000; ++i) {
    std::string bytes = good;
    for (uint64_t n = random() % 4 + 1; n > 0; --n) {
      bytes[random() % bytes.size()] = static_cast<char>(random());
    }
    const auto decoded = decode_entry(bytes);
    EXPECT_LE(decoded ? encode_entry(*decoded).size() : 0, 200u);
  }
}

TEST_F(IndexDiskTest, MapGrowsWhileTheOwnerReads) {
  open(IndexOptions{.map_bytes = 64 * 4096});
  for (int i = 0; i < 20'000; ++i) {
    ASSERT_TRUE(index_->put(at(1, "f" + std::to_string(i)), file_entry(1, 3, 7, 1 + i)));
  }
  flush();
  EXPECT_TRUE(index_->contains(at(1, "f19999")));
  expect_sound();
  open(IndexOptions{.map_bytes = 64 * 4096});
  expect_sound();
}

TEST_F(IndexDiskTest, CommitRunsBesideTheOwner) {
  open(IndexOptions{.map_bytes = 64 * 4096});
  uint64_t next = 0;
  for (int round = 0; round < 12; ++round) {
    for (int i = 0; i < 400; ++i, ++next) {
      ASSERT_TRUE(index_->put(at(1, "f" + std::to_string(next)), file_entry(1 + next)));
    }
    const auto batch = index_->freeze();
    ASSERT_NE(batch, nullptr);
    std::atomic<bool> done = false;
    Status status;
    std::thread committer([&] {
      status = index_->commit(batch);
      done = true;
    });
    for (uint64_t i = 0; !done || i < 200; ++i) {
      const std::string name = "f" + std::to_string(i % next);
      EXPECT_TRUE(index_->contains(at(1, name)));
      ASSERT_TRUE(index_->put(at(1, name), file_entry(1 + i % next, 4)));
      EXPECT_LE(index_->children_after(root_dir, name, i % 64 == 0 ? 3 : 0).size(), 3u);
      EXPECT_EQ(index_->freeze(), nullptr);
    }
    committer.join();
    ASSERT_TRUE(status.has_value()) << status.error().message;
    index_->committed(batch);
    EXPECT_EQ(index_->summary(root_dir)->children, next);
  }
  flush();
  expect_sound();
}

TEST_F(IndexDiskTest, KilledProcessLeavesWholeBatches) {
  index_.reset();
  for (int round = 0; round < 8; ++round) {
    std::filesystem::remove_all(directory());
    int told[2];
    ASSERT_EQ(pipe(told), 0);
    const pid_t child = fork();
    if (child == 0) {
      auto opened = Index::open(directory(), test_seed, {.map_bytes = 64 * 4096});
      if (!opened) _exit(1);
      Index& index = **opened;
      index.put(at(1, "d"), dir_entry(1, 2));
      for (uint64_t cut = 1;; ++cut) {
        for (uint64_t i = 0; i < 50; ++i) {
          index.put(at(2, std::to_string(cut) + "-" + std::to_string(i)), file_entry(cut));
        }
        if (cut % 3 == 0) index.remove(at(2, std::to_string(cut - 1) + "-7"), CutNumber{cut});
        index.put_meta("cut", std::to_string(cut));
        if (!index.flush()) _exit(1);
        if (write(told[1], &cut, sizeof cut) != sizeof cut) _exit(1);
      }
    }
    close(told[1]);
    uint64_t durable = 0;
    for (int i = 0; i < 3 + round; ++i) {
      ASSERT_EQ(read(told[0], &durable, sizeof durable), ssize_t{sizeof durable});
    }
    usleep(static_cast<useconds_t>(round * 700));
    ASSERT_EQ(kill(child, SIGKILL), 0);
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    uint64_t later = 0;
    while (read(told[0], &later, sizeof later) == ssize_t{sizeof later}) durable = later;
    close(told[0]);
    open();
    const uint64_t cut = std::stoull(index_->meta("cut").value_or("0"));
    EXPECT_GE(cut, durable);
    EXPECT_LE(cut, durable + 1);
    EXPECT_EQ(index_->summary(DirId{2})->children, cut * 50 - cut / 3);
    EXPECT_FALSE(index_->contains(at(2, std::to_string(cut + 1) + "-0")));
    expect_sound();
    index_.reset();
  }
}

class FullDiskTest : public testing::Test {
 protected:
  void SetUp() override {
    const std::string image = temp_.path() + "/image";
    mount_ = temp_.path() + "/mount";
    std::filesystem::create_directory(mount_);
    std::ofstream(image).close();
    std::filesystem::resize_file(image, 16 << 20);
    const std::string make =
        "mkfs.ext4 -q -F " + image + " && mount -o loop " + image + " " + mount_;
    ASSERT_EQ(std::system(make.c_str()), 0);
  }
  void TearDown() override {
    index_.reset();
    if (!mount_.empty()) ::umount2(mount_.c_str(), MNT_DETACH);
  }
  TempDir temp_;
  std::string mount_;
  std::unique_ptr<Index> index_;
};

TEST_F(FullDiskTest, BatchWaitsForSpaceAndNothingIsLost) {
  auto opened = Index::open(mount_ + "/index", test_seed);
  ASSERT_TRUE(opened.has_value()) << opened.error().message;
  index_ = std::move(*opened);
  ASSERT_TRUE(index_->put(at(1, "first"), file_entry(1)));
  ASSERT_TRUE(index_->flush().has_value());
  {
    std::ofstream ballast(mount_ + "/ballast", std::ios::binary);
    const std::string piece(64 * 1024, 'x');
    while (ballast.write(piece.data(), static_cast<std::streamsize>(piece.size())).flush()) {
    }
  }
  for (int i = 0; i < 20'000; ++i) {
    ASSERT_TRUE(index_->put(at(1, "f" + std::to_string(i)), file_entry(2, 3, 7, 1 + i)));
  }
  for (int i = 0; i < 3; ++i) {
    const Status full = index_->flush();
    ASSERT_FALSE(full.has_value());
    EXPECT_EQ(full.error().code, ErrorCode::no_space) << full.error().message;
    EXPECT_TRUE(index_->commit_in_flight());
    EXPECT_TRUE(index_->contains(at(1, "f7")));
  }
  ASSERT_TRUE(std::filesystem::remove(mount_ + "/ballast"));
  ASSERT_TRUE(index_->put(at(1, "last"), file_entry(3)));
  const Status done = index_->flush();
  ASSERT_TRUE(done.has_value()) << done.error().message;
  EXPECT_THAT(index_->check(), testing::IsEmpty());
  index_.reset();
  opened = Index::open(mount_ + "/index", test_seed);
  ASSERT_TRUE(opened.has_value()) << opened.error().message;
  EXPECT_EQ((*opened)->counts().entries, 20'002u);
  EXPECT_THAT((*opened)->check(), testing::IsEmpty());
}

}  // namespace
}  // namespace repl

#include "engine/run/signature_keeper.h"

#include <gtest/gtest.h>

#include <random>

#include "engine/base/limits.h"
#include "tests/unit/send/model_receiver.h"
#include "tests/unit/send/scripted_source.h"

namespace repl::run {
namespace {

using namespace std::chrono_literals;
constexpr uint64_t block = limits::block_bytes;
const Key key{.dir = root_dir, .name = "large"};

std::string random_bytes(uint64_t seed, size_t size) {
  std::mt19937_64 rng(seed);
  std::string out(size, '\0');
  for (char& c : out) c = static_cast<char>(rng());
  return out;
}

std::string signature_of(const std::string& bytes) {
  return *delta::make_signature(bytes.size(),
                                [&](uint64_t offset, char* to, size_t size) -> Result<size_t> {
                                  return bytes.copy(to, size, offset);
                                });
}

struct Kept : testing::Test {
  send::TempIndex index;
  send::ScriptedSource source;
  NullLog log;
  SignatureKeeper keeper{*index.index, source, log};
  std::shared_ptr<send::ScriptedFile> file = std::make_shared<send::ScriptedFile>();
  MonotonicTime now{};
  int64_t clock = 1;

  Kept() { source.files[key] = file; }
  // As the index has it once it was sent.
  Digest write(std::string bytes, bool known = true) {
    file->bytes = std::move(bytes);
    file->inode = 7;
    file->ctime = ++clock;
    file->reads = 0;
    const io::Stat stat = file->stat();
    Entry entry{.attr = stat.attr, .local = stat.local, .cut = CutNumber{1}};
    const auto blocks = send::blocks_of(file->bytes);
    if (known) entry.attr.content = digest_of_blocks(blocks);
    index->put(key, entry);
    if (known) index->put_block_table(entry.attr.content, blocks);
    return entry.attr.content;
  }
  size_t settle() {
    size_t steps = 0;
    static_cast<void>(keeper.step(now, true));
    now += std::chrono::milliseconds(limits::signature_idle_ms);
    while (keeper.step(now, true)) {
      if (++steps > 10'000) break;
    }
    return steps;
  }
};

TEST_F(Kept, AnEditedFileGetsOneWhenTheTreeIsIdle) {
  const std::string bytes = random_bytes(1, (4 << 20) + 1234);
  const Digest content = write(bytes);
  EXPECT_FALSE(keeper.wanted());
  EXPECT_FALSE(keeper.step(now, true));
  EXPECT_FALSE(keeper.deadline());
  keeper.edited(key, bytes.size(), {});
  EXPECT_FALSE(keeper.step(now, false));
  EXPECT_FALSE(keeper.deadline()) << "nothing to wait for while it is not idle";
  EXPECT_FALSE(keeper.step(now, true));
  const MonotonicTime due = now + std::chrono::milliseconds(limits::signature_idle_ms);
  EXPECT_EQ(keeper.deadline(), due);
  now = due - 1ms;
  EXPECT_FALSE(keeper.step(now, true));
  EXPECT_FALSE(keeper.step(now, false)) << "idleness begins anew";
  now = due;
  EXPECT_FALSE(keeper.step(now, true));
  EXPECT_EQ(file->reads, 0u);
  now += std::chrono::milliseconds(limits::signature_idle_ms);
  for (size_t before = 0; keeper.step(now, true); before = file->reads) {
    EXPECT_LE(file->reads - before, limits::signature_step_bytes / block);
  }
  EXPECT_TRUE(index->signature(content) == signature_of(bytes));
  EXPECT_FALSE(keeper.wanted());
}

// Nothing asks it while nothing waits: an idleness that ended unseen does not count.
TEST_F(Kept, AnEditEndsTheRest) {
  std::string bytes = random_bytes(1, 2 << 20);
  write(bytes);
  keeper.edited(key, bytes.size(), {});
  settle();
  ASSERT_FALSE(keeper.wanted());
  now += 1h;
  bytes[0] ^= 1;
  const Digest content = write(bytes);
  keeper.edited(key, bytes.size(), {});
  EXPECT_FALSE(keeper.step(now, true));
  EXPECT_EQ(keeper.deadline(), now + std::chrono::milliseconds(limits::signature_idle_ms));
  settle();
  EXPECT_TRUE(index->signature(content));
}

TEST_F(Kept, OnlyChangedBlocksAreReadAgain) {
  std::string bytes = random_bytes(1, (4 << 20) + 1234);
  const Digest before = write(bytes);
  index->put_signature(before, signature_of(bytes));
  bytes[5 * block] ^= 1;
  bytes += "tail";
  const Digest after = write(bytes);
  keeper.edited(key, bytes.size(), before);
  settle();
  EXPECT_EQ(file->reads, 2u) << "the edited block, and the last one";
  EXPECT_TRUE(index->signature(after) == signature_of(bytes));
}

// Edited again before there was time: the sums come from the last signature there was.
TEST_F(Kept, SeveralEditsAreOne) {
  std::string bytes = random_bytes(1, 4 << 20);
  const Digest first = write(bytes);
  index->put_signature(first, signature_of(bytes));
  bytes[5 * block] ^= 1;
  const Digest second = write(bytes);
  keeper.edited(key, bytes.size(), first);
  bytes[9 * block] ^= 1;
  const Digest third = write(bytes);
  keeper.edited(key, bytes.size(), second);
  settle();
  EXPECT_EQ(file->reads, 3u) << "two blocks, and the last one";
  EXPECT_TRUE(index->signature(third) == signature_of(bytes));
}

TEST_F(Kept, WhatIsThereIsNotMadeAgain) {
  const std::string bytes = random_bytes(1, 2 << 20);
  const Digest content = write(bytes);
  index->put_signature(content, "there");
  keeper.edited(key, bytes.size(), {});
  settle();
  EXPECT_EQ(index->signature(content), "there");
  EXPECT_EQ(file->reads, 0u);
}

TEST_F(Kept, SmallAndHugeFilesGetNone) {
  keeper.edited(key, limits::signature_content_bytes_min - 1, {});
  keeper.edited(key, limits::rolling_bytes_max + 1, {});
  EXPECT_FALSE(keeper.wanted());
}

TEST_F(Kept, HowManyWaitIsBounded) {
  for (size_t i = 0; i < limits::signature_keys_max + 10; ++i) {
    keeper.edited({.dir = root_dir, .name = std::to_string(i)}, 2 << 20, {});
  }
  EXPECT_LE(settle(), limits::signature_keys_max);
}

// A signature of other bytes than the digest's would make wrong differences for ever.
TEST_F(Kept, BytesThatAreNotTheContentGetNone) {
  const std::string bytes = random_bytes(1, 4 << 20);
  const Digest content = write(bytes);
  file->bytes[3 << 20] ^= 1;  // under the same stat
  keeper.edited(key, bytes.size(), {});
  settle();
  EXPECT_FALSE(index->signature(content));
  EXPECT_FALSE(keeper.wanted());
}

TEST_F(Kept, AFileThatChangedGetsNone) {
  const std::string bytes = random_bytes(1, 4 << 20);
  const Digest content = write(bytes);
  file->ctime = ++clock;
  keeper.edited(key, bytes.size(), {});
  settle();
  EXPECT_FALSE(index->signature(content));
  EXPECT_EQ(file->reads, 0u);
}

TEST_F(Kept, AContentThatNobodyKnowsGetsNone) {
  write(random_bytes(1, 2 << 20), false);
  keeper.edited(key, 2 << 20, {});
  settle();
  EXPECT_FALSE(keeper.wanted());
  EXPECT_EQ(file->reads, 0u);
}

TEST_F(Kept, AFileThatGoesMeanwhileIsLeft) {
  const std::string bytes = random_bytes(1, 4 << 20);
  const Digest content = write(bytes);
  keeper.edited(key, bytes.size(), {});
  static_cast<void>(keeper.step(now, true));
  now += std::chrono::milliseconds(limits::signature_idle_ms);
  ASSERT_TRUE(keeper.step(now, true));
  ASSERT_TRUE(keeper.step(now, true));
  EXPECT_GT(file->reads, 0u);
  index->remove(key, CutNumber{2});
  while (keeper.step(now, true)) {
  }
  EXPECT_FALSE(index->signature(content));
}

}  // namespace
}  // namespace repl::run

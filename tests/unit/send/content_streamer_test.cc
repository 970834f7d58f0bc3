#include "engine/send/content_streamer.h"

#include <gtest/gtest.h>

#include <random>

#include "engine/base/limits.h"
#include "tests/unit/send/scripted_source.h"

namespace repl::send {
namespace {

constexpr uint64_t block = limits::block_bytes;
using Step = ContentStreamer::Step;
const Key key{DirId{1}, "f"};

std::string random_bytes(uint64_t seed, size_t size) {
  std::mt19937_64 rng(seed);
  std::string out(size, '\0');
  for (char& c : out) c = static_cast<char>(rng());
  return out;
}
std::vector<Digest> table_of(const std::string& bytes) {
  ContentHasher hasher;
  hasher.update(bytes);
  static_cast<void>(hasher.finish());
  return hasher.blocks();
}
Digest digest_of(const std::string& bytes) {
  ContentHasher hasher;
  hasher.update(bytes);
  return hasher.finish();
}

// What a receiver would build, with its rules: front to back, no gaps.
struct Built {
  std::string bytes;
  std::string base;
  uint64_t literal = 0, holes = 0;
  size_t data_messages = 0, copy_messages = 0;
  std::optional<StageEnd> end;
  bool aborted = false;
  void take(const Message& message) {
    if (const auto* d = std::get_if<StageData>(&message)) {
      ASSERT_EQ(d->offset, bytes.size());
      ASSERT_LE(d->bytes.size(), limits::data_chunk_bytes_max);
      bytes += d->bytes;
      literal += d->bytes.size();
      ++data_messages;
    } else if (const auto* h = std::get_if<StageHole>(&message)) {
      ASSERT_EQ(h->offset, bytes.size());
      bytes.append(h->length, '\0');
      holes += h->length;
    } else if (const auto* c = std::get_if<StageCopy>(&message)) {
      ASSERT_EQ(c->offset, bytes.size());
      ASSERT_LE(c->base_offset + c->length, base.size());
      bytes.append(base, c->base_offset, c->length);
      ++copy_messages;
    } else if (const auto* e = std::get_if<StageEnd>(&message)) {
      end = *e;
    } else if (std::holds_alternative<StageAbort>(message)) {
      aborted = true;
    }
  }
};

struct Streamed {
  ScriptedSource source;
  std::shared_ptr<ScriptedFile> file = std::make_shared<ScriptedFile>();
  Built built;
  StreamResult result;
  Step last = Step::more;
  size_t steps = 0;
  explicit Streamed(std::string bytes) {
    file->bytes = std::move(bytes);
    file->inode = 7;
    source.files[key] = file;
  }
  void go(StreamPlan plan = {}, size_t budget = 1 << 20) {
    plan.key = key;
    ContentStreamer streamer(std::move(plan), *source.open(key), source);
    while (last == Step::more && steps < 100'000) {
      ++steps;
      size_t bytes = 0;
      last = streamer.step(budget, [&](Message m) {
        if (const auto* d = std::get_if<StageData>(&m)) bytes += d->bytes.size();
        built.take(m);
      });
      EXPECT_LE(bytes, budget + 2 * limits::data_chunk_bytes_max);
    }
    if (last == Step::done) result = streamer.result();
  }
  void expect_exact(const std::string& want) {
    ASSERT_EQ(last, Step::done);
    EXPECT_TRUE(built.bytes == want);
    ASSERT_TRUE(built.end);
    EXPECT_EQ(built.end->size, want.size());
    EXPECT_EQ(built.end->digest, digest_of(want));
    EXPECT_EQ(result.digest, built.end->digest);
    EXPECT_EQ(result.blocks, table_of(want));
  }
};

TEST(ContentStreamer, Whole) {
  for (const size_t size : {size_t{0}, size_t{1}, block, 5 * block + 17, size_t{3} << 20}) {
    const std::string bytes = random_bytes(size + 1, size);
    Streamed run(bytes);
    run.go({}, 256 * 1024);
    run.expect_exact(bytes);
    EXPECT_FALSE(run.result.unstable);
  }
}

TEST(ContentStreamer, HolesStayHoles) {
  std::string bytes = random_bytes(1, 40 * block);
  std::fill(bytes.begin() + 3 * block + 4096, bytes.begin() + 30 * block + 8192, '\0');
  std::fill(bytes.begin() + 39 * block, bytes.end(), '\0');
  Streamed run(bytes);
  run.file->holes = {{3 * block + 4096, 30 * block + 8192}, {39 * block, 40 * block}};
  run.go();
  run.expect_exact(bytes);
  EXPECT_EQ(run.built.holes, 27 * block + 4096 + block);
}

TEST(ContentStreamer, ResumesWithoutSendingAgain) {
  const std::string bytes = random_bytes(2, 3'000'000);
  for (const uint64_t at : {uint64_t{1}, uint64_t{1'234'567}, uint64_t{3'000'000}}) {
    Streamed run(bytes);
    run.built.bytes = bytes.substr(0, at);
    run.go(StreamPlan{.resume_at = at});
    run.expect_exact(bytes);
    EXPECT_EQ(run.built.literal, bytes.size() - at);
  }
  Streamed beyond(bytes);  // more staged than there is: from the start
  beyond.go(StreamPlan{.resume_at = 3'000'001});
  beyond.expect_exact(bytes);
}

TEST(ContentStreamer, ResumeInsideAHole) {
  std::string bytes = random_bytes(2, 10 * block);
  std::fill(bytes.begin() + 2 * block, bytes.begin() + 8 * block, '\0');
  Streamed run(bytes);
  run.file->holes = {{2 * block, 8 * block}};
  run.built.bytes = bytes.substr(0, 5 * block + 3);
  run.go(StreamPlan{.resume_at = 5 * block + 3});
  run.expect_exact(bytes);
}

TEST(ContentStreamer, AlignedSendsOnlyChangedBlocks) {
  const std::string base = random_bytes(3, 50 * block + 100);
  std::string target = base;
  target[10 * block + 5] ^= 1;
  target[11 * block] ^= 1;
  target += random_bytes(4, block);
  Streamed run(target);
  run.built.base = base;
  run.go(StreamPlan{.how = StreamPlan::How::aligned,
                    .base_digest = digest_of(base),
                    .base_size = base.size(),
                    .base_table = table_of(base)});
  run.expect_exact(target);
  EXPECT_EQ(run.built.literal, 3 * block + 100);  // two edited, and from the short last block on
  EXPECT_EQ(run.built.copy_messages, 2u);
  EXPECT_EQ(run.result.copied_bytes, 48 * block);
}

TEST(ContentStreamer, AlignedRandomEditsAndHoles) {
  for (uint64_t seed = 1; seed <= 40; ++seed) {
    std::mt19937_64 rng(seed);
    const std::string base = random_bytes(seed, rng() % (12 * block));
    std::string target = base;
    target.resize(rng() % (14 * block), 'n');
    Streamed run("");
    if (target.size() > 4 * 4096) {
      const size_t from = rng() % (target.size() / 4096) * 4096;
      const size_t to = std::min<size_t>(target.size(), from + rng() % (6 * block) / 4096 * 4096);
      std::fill(target.begin() + from, target.begin() + to, '\0');
      if (to > from) run.file->holes = {{from, to}};
    }
    run.file->bytes = target;
    run.built.base = base;
    run.go(StreamPlan{.how = StreamPlan::How::aligned,
                      .base_size = base.size(),
                      .base_table = table_of(base)},
           3 * block);
    run.expect_exact(target);
    ASSERT_FALSE(::testing::Test::HasFailure()) << "seed " << seed;
  }
}

delta::ReadAt reader(const std::string& s) {
  return [&s](uint64_t offset, char* buffer, size_t size) -> Result<size_t> {
    const size_t n = std::min<size_t>(size, s.size() - offset);
    std::memcpy(buffer, s.data() + offset, n);
    return n;
  };
}

TEST(ContentStreamer, RollingFindsShiftedBlocks) {
  const std::string base = random_bytes(5, 4 << 20);
  const std::string target = random_bytes(6, 1000) + base.substr(0, 2 << 20) + random_bytes(7, 99) +
                             base.substr(2 << 20) + std::string(1 << 20, '\0');
  Streamed run(target);
  run.built.base = base;
  run.go(StreamPlan{.how = StreamPlan::How::rolling,
                    .base_size = base.size(),
                    .signature = *delta::make_signature(base.size(), reader(base))});
  run.expect_exact(target);
  EXPECT_LT(run.built.literal, 64u * 1024);
  EXPECT_GT(run.built.holes, 900u * 1024);
}

TEST(ContentStreamer, BadSignatureIsSentWhole) {
  const std::string target = random_bytes(6, 1 << 20);
  Streamed run(target);
  run.go(StreamPlan{.how = StreamPlan::How::rolling, .base_size = 5, .signature = "nonsense"});
  run.expect_exact(target);
}

TEST(ContentStreamer, SearchThatGivesUpIsFinishedAsIs) {
  const std::string zeros(8192, '\0');
  std::string signature = *delta::make_signature(zeros.size(), reader(zeros));
  for (size_t at = 12 + 4; at < signature.size(); at += 20) signature[at] ^= 1;
  std::string target(4 << 20, '\0');
  target += random_bytes(9, 1 << 20);
  Streamed run(target);
  run.built.base = zeros;
  run.go(StreamPlan{.how = StreamPlan::How::rolling, .base_size = 8192, .signature = signature});
  run.expect_exact(target);
}

TEST(ContentStreamer, GrowingIsReadUpToTheSizeFirstSeen) {
  const std::string bytes = random_bytes(8, 3 << 20);
  Streamed run(bytes);
  run.file->on_read = [](ScriptedFile& f) {
    f.bytes += "more";
    ++f.ctime;
  };
  run.go();
  run.expect_exact(bytes);
  EXPECT_TRUE(run.result.unstable);
}

TEST(ContentStreamer, ShrinkingEndsWhereItEnds) {
  const std::string bytes = random_bytes(8, 3 << 20);
  Streamed run(bytes);
  run.file->on_read = [](ScriptedFile& f) {
    if (f.reads == 2) f.bytes.resize(1'500'000);
  };
  run.go();
  run.expect_exact(bytes.substr(0, 1'500'000));
  EXPECT_TRUE(run.result.unstable);
}

TEST(ContentStreamer, AnotherInodeUnderTheKeyIsUnstable) {
  Streamed run(random_bytes(8, 1 << 20));
  run.file->on_read = [&run](ScriptedFile&) {
    auto other = std::make_shared<ScriptedFile>();
    other->inode = 8;
    run.source.files[key] = other;
  };
  run.go();
  ASSERT_EQ(run.last, Step::done);
  EXPECT_TRUE(run.result.unstable);
}

TEST(ContentStreamer, UnreadableIsAborted) {
  Streamed run(random_bytes(8, 3 << 20));
  run.file->on_read = [](ScriptedFile& f) {
    if (f.reads == 2) f.read_error = make_error(ErrorCode::io, "bad sector");
  };
  run.go();
  EXPECT_EQ(run.last, Step::aborted);
  EXPECT_TRUE(run.built.aborted);
  EXPECT_FALSE(run.built.end);
}

TEST(ContentStreamer, StageIdSurvivesARename) {
  ScriptedFile file{.bytes = "x", .inode = 3};
  const StageId before = stage_id_of(file.stat());
  ++file.ctime;
  EXPECT_EQ(stage_id_of(file.stat()), before);
  file.attr.mtime.seconds = 9;
  EXPECT_NE(stage_id_of(file.stat()), before);
}

}  // namespace
}  // namespace repl::send

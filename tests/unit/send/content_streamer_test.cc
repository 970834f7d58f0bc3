#include "engine/send/content_streamer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "engine/base/limits.h"
#include "tests/unit/send/scripted_source.h"

namespace repl::send {
namespace {

constexpr uint64_t block = limits::block_bytes;
using Step = ContentStreamer::Step;
const Key key{DirId{1}, "f"};

std::string seeded_bytes(uint64_t seed, size_t size) {
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
  size_t data_messages = 0, copy_messages = 0, hole_messages = 0;
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
      ++hole_messages;
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
  int64_t mtime = 0;  // of the state that was sent
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
    if (last == Step::done) mtime = streamer.state().attr.mtime.seconds;
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
    const std::string bytes = seeded_bytes(size + 1, size);
    Streamed run(bytes);
    run.go({}, 256 * 1024);
    run.expect_exact(bytes);
    EXPECT_FALSE(run.result.changed);
  }
}

TEST(ContentStreamer, HolesStayHoles) {
  std::string bytes = seeded_bytes(1, 40 * block);
  std::fill(bytes.begin() + 3 * block + 4096, bytes.begin() + 30 * block + 8192, '\0');
  std::fill(bytes.begin() + 39 * block, bytes.end(), '\0');
  Streamed run(bytes);
  run.file->holes = {{3 * block + 4096, 30 * block + 8192}, {39 * block, 40 * block}};
  run.go();
  run.expect_exact(bytes);
  EXPECT_EQ(run.built.holes, 27 * block + 4096 + block);
}

TEST(ContentStreamer, ResumesWithoutSendingAgain) {
  const std::string bytes = seeded_bytes(2, 3'000'000);
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
  std::string bytes = seeded_bytes(2, 10 * block);
  std::fill(bytes.begin() + 2 * block, bytes.begin() + 8 * block, '\0');
  Streamed run(bytes);
  run.file->holes = {{2 * block, 8 * block}};
  run.built.bytes = bytes.substr(0, 5 * block + 3);
  run.go(StreamPlan{.resume_at = 5 * block + 3});
  run.expect_exact(bytes);
}

TEST(ContentStreamer, AlignedSendsOnlyChangedBlocks) {
  const std::string base = seeded_bytes(3, 50 * block + 100);
  std::string target = base;
  target[10 * block + 5] ^= 1;
  target[11 * block] ^= 1;
  target += seeded_bytes(4, block);
  Streamed run(target);
  run.built.base = base;
  run.go(StreamPlan{.how = StreamPlan::How::delta,
                    .base_digest = digest_of(base),
                    .base_size = base.size(),
                    .base_table = table_of(base)});
  run.expect_exact(target);
  EXPECT_EQ(run.built.literal, 3 * block);  // two edited, and what is behind the base's end
  EXPECT_EQ(run.built.copy_messages, 2u);
  EXPECT_EQ(run.result.copied_bytes, 48 * block + 100);
}

TEST(ContentStreamer, AlignedRandomEditsAndHoles) {
  for (uint64_t seed = 1; seed <= 40; ++seed) {
    std::mt19937_64 rng(seed);
    const std::string base = seeded_bytes(seed, rng() % (12 * block));
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
    run.go(
        StreamPlan{
            .how = StreamPlan::How::delta, .base_size = base.size(), .base_table = table_of(base)},
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
  const std::string base = seeded_bytes(5, 4 << 20);
  const std::string target = seeded_bytes(6, 1000) + base.substr(0, 2 << 20) + seeded_bytes(7, 99) +
                             base.substr(2 << 20) + std::string(1 << 20, '\0');
  Streamed run(target);
  run.built.base = base;
  run.go(StreamPlan{.how = StreamPlan::How::delta,
                    .base_size = base.size(),
                    .signature = *delta::make_signature(base.size(), reader(base))});
  run.expect_exact(target);
  EXPECT_LT(run.built.literal, 64u * 1024);
  EXPECT_GT(run.built.holes, 900u * 1024);
}

struct Edit {
  const char* what;
  std::string target;
  uint64_t literal_max;
};
// Each edit breaks the two rolling blocks around it, and the last one of its run.
constexpr uint64_t around = 3 * 4096;

std::vector<Edit> edits_of(const std::string& base) {
  const std::string kib = seeded_bytes(77, 1024);
  const size_t middle = base.size() / 2 + 777, late = base.size() - 200'000;
  std::vector<Edit> edits{
      {"front", kib + base, 1024 + around},
      {"middle", std::string(base).insert(middle, kib), 1024 + around},
      {"end", base + kib, 1024},
      {"near the end", std::string(base).insert(late, kib), 1024 + around},
      {"cut at the front", base.substr(1000), around},
      {"cut in the middle", std::string(base).erase(middle, 1000), around},
      {"cut at the end", base.substr(0, base.size() - 1000), 65536},
      {"in and out", std::string(base).insert(100, kib).erase(middle, 1024), 1024 + 2 * around},
  };
  std::string several = base;
  for (const size_t at : {300'000u, 900'000u, 2'000'000u}) several.insert(at, kib);
  edits.push_back({"several at once", several.erase(1'500'000, 3000), 3 * 1024 + 4 * around});
  std::string bytes = base;
  for (size_t at = 5000; at < bytes.size(); at += 500'000) bytes[at] ^= 1;
  edits.push_back({"single bytes in place", bytes, (base.size() / 500'000 + 1) * 4096});
  return edits;
}

TEST(ContentStreamer, DeltaCostsTheEdit) {
  const std::string base = seeded_bytes(5, (3 << 20) + 12'345);
  for (const Edit& edit : edits_of(base)) {
    SCOPED_TRACE(edit.what);
    Streamed run(edit.target);
    run.built.base = base;
    run.go(StreamPlan{.how = StreamPlan::How::delta,
                      .base_size = base.size(),
                      .base_table = table_of(base),
                      .signature = *delta::make_signature(base.size(), reader(base))});
    run.expect_exact(edit.target);
    EXPECT_LE(run.built.literal, edit.literal_max);
    EXPECT_EQ(run.result.copied_bytes + run.built.literal, edit.target.size());
  }
}

// The whole of the base stays, its short last block too.
TEST(ContentStreamer, AppendIsOneRangeAndTheTail) {
  const std::string base = seeded_bytes(5, (1 << 20) + 123);
  const std::string target = base + seeded_bytes(6, 200'000);
  Streamed run(target);
  run.built.base = base;
  run.go(StreamPlan{
      .how = StreamPlan::How::delta, .base_size = base.size(), .base_table = table_of(base)});
  run.expect_exact(target);
  EXPECT_EQ(run.built.literal, 200'000u);
  EXPECT_EQ(run.built.copy_messages, 1u);
  EXPECT_EQ(run.result.copied_bytes, base.size());
}

// Holes: those of the base are kept ranges, new ones are holes, filled ones are data.
TEST(ContentStreamer, HolesInADelta) {
  std::string base = seeded_bytes(5, 60 * block);
  std::fill(base.begin() + 10 * block, base.begin() + 40 * block, '\0');
  std::string target = base;
  const std::string filled = seeded_bytes(7, 2 * block);
  target.replace(20 * block, filled.size(), filled);
  std::fill(target.begin() + 50 * block, target.begin() + 55 * block, '\0');
  for (const bool with_signature : {false, true}) {
    Streamed run(target);
    run.file->holes = {
        {10 * block, 20 * block}, {22 * block, 40 * block}, {50 * block, 55 * block}};
    run.built.base = base;
    StreamPlan plan{
        .how = StreamPlan::How::delta, .base_size = base.size(), .base_table = table_of(base)};
    if (with_signature) plan.signature = *delta::make_signature(base.size(), reader(base));
    run.go(std::move(plan));
    run.expect_exact(target);
    EXPECT_EQ(run.built.literal, 2 * block);
    EXPECT_EQ(run.built.holes, 5 * block);
    EXPECT_EQ(run.built.copy_messages, 3u);
  }
}

// A hole is neither read nor told block by block.
TEST(ContentStreamer, AHugeHoleCostsNothing) {
  const std::string island = seeded_bytes(5, block);
  for (const bool delta : {false, true}) {
    Streamed run(island + std::string(300 << 20, '\0') + island);
    run.file->holes = {{block, block + (300 << 20)}};
    run.built.base = island;
    StreamPlan plan;
    if (delta)
      plan = {.how = StreamPlan::How::delta, .base_size = block, .base_table = {table_of(island)}};
    run.go(std::move(plan));
    ASSERT_EQ(run.last, Step::done);
    EXPECT_EQ(run.file->reads, 2u);
    EXPECT_EQ(run.built.hole_messages, 1u);
  }
}

// What librsync says because of a signature that lies is checked before it is told.
TEST(ContentStreamer, CopiesBeyondTheBaseAreNotTold) {
  const std::string base = seeded_bytes(5, 1 << 20);
  const std::string target = "x" + base + seeded_bytes(6, 5000);
  Streamed run(target);
  run.built.base = base.substr(0, 500'000);
  run.go(StreamPlan{.how = StreamPlan::How::delta,
                    .base_size = 500'000,
                    .signature = *delta::make_signature(base.size(), reader(base))});
  run.expect_exact(target);
}

TEST(ContentStreamer, DeltaRandomEdits) {
  for (uint64_t seed = 1; seed <= 60; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937_64 rng(seed);
    const std::string base = seeded_bytes(seed, rng() % (20 * block));
    std::string target = base;
    for (size_t i = rng() % 5; i > 0; --i) {
      const size_t at = rng() % (target.size() + 1), n = rng() % 3000;
      if (rng() % 3 == 0)
        target.insert(at, seeded_bytes(rng(), n));
      else if (rng() % 2 == 0)
        target.erase(at, n);
      else
        target.replace(at, std::min(n, target.size() - at), seeded_bytes(rng(), n));
    }
    Streamed run("");
    if (rng() % 2 == 0 && target.size() > 8192) {
      const size_t from = rng() % (target.size() / 4096) * 4096;
      const size_t to = std::min<size_t>(target.size(), from + rng() % (6 * block) / 4096 * 4096);
      std::fill(target.begin() + from, target.begin() + to, '\0');
      if (to > from) run.file->holes = {{from, to}};
    }
    run.file->bytes = target;
    run.built.base = base;
    StreamPlan plan{.how = StreamPlan::How::delta, .base_size = base.size()};
    if (rng() % 4 != 0) plan.base_table = table_of(base);
    if (rng() % 4 != 0) plan.signature = *delta::make_signature(base.size(), reader(base));
    run.go(std::move(plan), (1 + rng() % 4) * block);
    run.expect_exact(target);
    ASSERT_FALSE(::testing::Test::HasFailure());
  }
}

TEST(ContentStreamer, BadSignatureIsSentWhole) {
  const std::string target = seeded_bytes(6, 1 << 20);
  Streamed run(target);
  run.go(StreamPlan{.how = StreamPlan::How::delta, .base_size = 5, .signature = "nonsense"});
  run.expect_exact(target);
}

TEST(ContentStreamer, SearchThatGivesUpIsFinishedAsIs) {
  const std::string zeros(8192, '\0');
  std::string signature = *delta::make_signature(zeros.size(), reader(zeros));
  for (size_t at = 12 + 4; at < signature.size(); at += 20) signature[at] ^= 1;
  std::string target(4 << 20, '\0');
  target += seeded_bytes(9, 1 << 20);
  Streamed run(target);
  run.built.base = zeros;
  run.go(StreamPlan{.how = StreamPlan::How::delta, .base_size = 8192, .signature = signature});
  run.expect_exact(target);
}

// After the search gave up, what the base has at the same place is still not sent.
TEST(ContentStreamer, AfterGivingUpTheAlignedBlocksAreStillKept) {
  const std::string base = std::string(8 * block, '\0') + seeded_bytes(3, 20 * block);
  std::string signature = *delta::make_signature(base.size(), reader(base));
  // The sums of the zeros lie: each byte of the changed zeros costs a strong sum.
  for (size_t at = 12; at < 12 + 8 * 16 * 20; at += 20) {
    for (size_t i = 4; i < 20; ++i) signature[at + i] = static_cast<char>(at * 31 + i * 7);
  }
  const std::string target = base.substr(0, 8 * block) + std::string(200 * block, '\0');
  const std::string with_tail =
      seeded_bytes(4, 9 * block).replace(block, 7 * block, 7 * block, '\0') +
      base.substr(9 * block);
  for (const std::string& want : {target, with_tail}) {
    Streamed run(want);
    run.built.base = base;
    run.go(StreamPlan{.how = StreamPlan::How::delta,
                      .base_size = base.size(),
                      .base_table = table_of(base),
                      .signature = signature});
    run.expect_exact(want);
    EXPECT_GE(run.result.copied_bytes, 8 * block);
  }
}

// --- files that change while they are read ---

// `change` happens before the second of three reads.
Streamed during(const std::function<void(ScriptedFile&)>& change, StreamPlan plan = {}) {
  Streamed run(seeded_bytes(8, 3 << 20));
  run.file->on_read = [change](ScriptedFile& f) {
    if (f.reads == 2) change(f);
  };
  run.go(std::move(plan));
  return run;
}
const std::string three_mib = seeded_bytes(8, 3 << 20);

void expect_torn(const Streamed& run) {
  EXPECT_EQ(run.last, Step::torn);
  EXPECT_TRUE(run.built.aborted);
  EXPECT_FALSE(run.built.end);
}

TEST(ContentStreamer, ATornReadIsTakenBack) {
  expect_torn(during([](ScriptedFile& f) {
    f.bytes[0] ^= 1;
    ++f.ctime;
  }));
}

TEST(ContentStreamer, ATornReadIsPublishedIfThePlanSaysSo) {
  Streamed run = during(
      [](ScriptedFile& f) {
        f.bytes[0] ^= 1;
        ++f.ctime;
      },
      StreamPlan{.as_read = true});
  run.expect_exact(three_mib);
  EXPECT_TRUE(run.result.torn);
  EXPECT_TRUE(run.result.changed);
}

TEST(ContentStreamer, GrowingIsReadUpToTheSizeFirstSeen) {
  Streamed run(three_mib);
  run.file->on_read = [](ScriptedFile& f) {
    f.bytes += "more";
    ++f.ctime;
    ++f.attr.mtime.seconds;
  };
  run.go();
  run.expect_exact(three_mib);
  EXPECT_TRUE(run.result.changed);
  EXPECT_FALSE(run.result.torn);
  EXPECT_EQ(run.mtime, 0) << "that of the size that was sent";
}

// A log that is appended all the time costs one reading, and its tail another.
TEST(ContentStreamer, WhatGrewBeyondItsBaseIsReadOnce) {
  const std::string base = three_mib.substr(0, three_mib.size() - 100'000);
  const StreamPlan plan{
      .how = StreamPlan::How::delta, .base_size = base.size(), .base_table = table_of(base)};
  const auto run_with = [&](const std::function<void(ScriptedFile&)>& change) {
    Streamed run(three_mib);
    run.built.base = base;
    run.file->on_read = [change](ScriptedFile& f) {
      f.bytes += "more";
      ++f.ctime;
      change(f);
    };
    run.go(plan);
    return run;
  };
  Streamed run = run_with([](ScriptedFile&) {});
  run.expect_exact(three_mib);
  EXPECT_TRUE(run.result.changed);
  EXPECT_EQ(run.file->reads, 1 + 3u);
  EXPECT_LE(run.result.literal_bytes, 100'000u);

  // Of another moment than the front: both are read again, and do not hold.
  expect_torn(run_with([](ScriptedFile& f) {
    if (f.reads == 3) f.bytes[0] ^= 1, f.bytes[three_mib.size() - 10] ^= 1;
  }));
  // The front is not the base's, so it is read again.
  Streamed edited = run_with([](ScriptedFile& f) {
    if (f.reads == 1) f.bytes[5] ^= 1;
  });
  ASSERT_EQ(edited.last, Step::done);
  EXPECT_EQ(edited.file->reads, 1 + 2 * 3u);
}

TEST(ContentStreamer, GrowingAndChangedInFrontIsTorn) {
  expect_torn(during([](ScriptedFile& f) {
    f.bytes[0] ^= 1;
    f.bytes += "more";
    ++f.ctime;
  }));
}

// What is still to be read may change: then all of it is the newer state.
TEST(ContentStreamer, WhatChangedBeforeItWasReadIsNotTorn) {
  Streamed run = during([](ScriptedFile& f) {
    f.bytes.back() ^= 1;
    ++f.ctime;
    f.attr.mtime.seconds = 5;
  });
  std::string newer = three_mib;
  newer.back() ^= 1;
  run.expect_exact(newer);
  EXPECT_TRUE(run.result.changed);
  EXPECT_EQ(run.mtime, 5) << "the file had it when it held this";
}

TEST(ContentStreamer, TheSameBytesWrittenAgainAreNotTorn) {
  Streamed run = during([](ScriptedFile& f) { ++f.ctime; });
  run.expect_exact(three_mib);
  EXPECT_TRUE(run.result.changed);
  EXPECT_EQ(run.file->reads, 6u);
}

// Else a writer that puts back what it overwrote would be taken for one that wrote nothing.
TEST(ContentStreamer, WhatIsWrittenInBothReadingsIsTorn) {
  Streamed run(three_mib);
  run.file->on_read = [](ScriptedFile& f) {
    if (f.reads == 2 || f.reads == 5) ++f.ctime;
  };
  run.go();
  expect_torn(run);
}

TEST(ContentStreamer, AHoleThatIsFilledIsTorn) {
  for (const bool filled : {true, false}) {
    Streamed run(three_mib);
    std::fill_n(run.file->bytes.begin(), 2 << 20, '\0');
    run.file->holes = {{0, 2 << 20}};
    const std::string was = run.file->bytes;
    run.file->on_read = [filled](ScriptedFile& f) {
      if (f.reads > 1) return;
      ++f.ctime;
      if (filled) f.bytes[(1 << 20) + 5] = 'x', f.holes.clear();
    };
    run.go();
    if (filled)
      expect_torn(run);
    else
      run.expect_exact(was);
    EXPECT_EQ(run.file->reads, filled ? 3u : 2u);
  }
}

// A write in the granule of ctime in which the file was written before it was opened.
TEST(ContentStreamer, WhatIsYoungerThanItsCtimeTellsIsReadTwice) {
  Streamed still(three_mib);
  still.file->age_ns = 0;
  still.go();
  still.expect_exact(three_mib);
  EXPECT_FALSE(still.result.changed);
  EXPECT_EQ(still.file->reads, 6u);

  Streamed torn(three_mib);
  torn.file->age_ns = 0;
  torn.file->on_read = [](ScriptedFile& f) {
    if (f.reads == 2) f.bytes[0] ^= 1;
  };
  torn.go();
  expect_torn(torn);
}

TEST(ContentStreamer, WhatIsReadLaterIsNotReadTwice) {
  Streamed run(three_mib);
  run.file->age_ns = 0;
  run.file->on_read = [](ScriptedFile& f) { f.age_ns = racy_window_ns; };
  run.go();
  run.expect_exact(three_mib);
  EXPECT_EQ(run.file->reads, 4u) << "the first of three, once more";
}

TEST(ContentStreamer, WhatShrinksIsTorn) {
  const auto cut = [](ScriptedFile& f) { f.bytes.resize(1'500'000); };
  expect_torn(during(cut));
  Streamed run = during(cut, StreamPlan{.as_read = true});
  run.expect_exact(three_mib.substr(0, 1'500'000));
  EXPECT_TRUE(run.result.torn);
}

TEST(ContentStreamer, AnotherInodeUnderTheKeyIsToBeReadAgain) {
  Streamed run(seeded_bytes(8, 1 << 20));
  run.file->on_read = [&run](ScriptedFile&) {
    auto other = std::make_shared<ScriptedFile>();
    other->inode = 8;
    run.source.files[key] = other;
  };
  run.go();
  ASSERT_EQ(run.last, Step::done);
  EXPECT_TRUE(run.result.changed);
  EXPECT_FALSE(run.result.torn);
}

// Any writer at all: what is published was the file, or its front, at one moment.
TEST(ContentStreamer, WhatIsPublishedWasThereAtOneMoment) {
  size_t done = 0;
  for (uint64_t seed = 1; seed <= 2000; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937_64 rng(seed);
    const std::string base = seeded_bytes(seed, 8 * block + rng() % 2 * 1000);
    std::vector<std::string> states{base};
    if (rng() % 2 == 0) states[0] += seeded_bytes(seed + 1, 1 + rng() % (2 * block));
    Streamed run(states[0]);
    run.file->age_ns = rng() % 2 == 0 ? 0 : racy_window_ns;
    run.built.base = base;
    const size_t writes = rng() % 4;
    run.file->on_read = [&](ScriptedFile& f) {
      if (states.size() > writes || rng() % 3 != 0) return;
      const auto number = static_cast<char>(states.size());
      switch (rng() % 5) {
        case 0:
        case 1:
          f.bytes += std::string(1 + rng() % block, number);
          break;
        case 2:
          f.bytes.resize(f.bytes.size() / 2 + 1);
          break;
        case 3:
          break;  // touched
        default:
          f.bytes[rng() % f.bytes.size()] += number;
      }
      // One that is young leaves no trace in the times.
      if (f.age_ns > 0 || rng() % 2 == 0) ++f.ctime;
      states.push_back(f.bytes);
    };
    StreamPlan plan;
    if (rng() % 2 == 0)
      plan = {
          .how = StreamPlan::How::delta, .base_size = base.size(), .base_table = table_of(base)};
    run.go(std::move(plan), (1 + rng() % 3) * block);
    if (run.last == Step::torn) continue;
    ASSERT_EQ(run.last, Step::done);
    ++done;
    const std::string& got = run.built.bytes;
    EXPECT_EQ(run.built.end->digest, digest_of(got));
    const bool was = std::ranges::find(states, got) != states.end();
    const bool front =
        std::ranges::any_of(states, [&](const auto& s) { return s.starts_with(got); });
    EXPECT_TRUE(was || front);
    EXPECT_TRUE(run.result.changed || got == run.file->bytes);
    ASSERT_FALSE(::testing::Test::HasFailure());
  }
  EXPECT_GT(done, 500u);
  EXPECT_LT(done, 1900u) << "some were torn";
}

TEST(ContentStreamer, UnreadableIsAborted) {
  Streamed run(seeded_bytes(8, 3 << 20));
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

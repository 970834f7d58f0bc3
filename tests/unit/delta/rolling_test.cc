#include "engine/delta/rolling.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <random>

#include "engine/base/limits.h"
#include "engine/delta/command_parser.h"

namespace repl::delta {
namespace {

ReadAt reader(const std::string& content) {
  return [&content](uint64_t offset, char* buffer, size_t size) -> Result<size_t> {
    const size_t n =
        std::min<size_t>(size, content.size() - std::min<size_t>(offset, content.size()));
    std::memcpy(buffer, content.data() + offset, n);
    return n;
  };
}

struct Rebuilt {
  std::string content;
  uint64_t literal = 0;
  size_t copies = 0;
};

// Applies commands to `base`; a copy out of bounds is a failure of the test.
DeltaSink builder(const std::string& base, Rebuilt& out) {
  return DeltaSink{.copy = [&](const CopyCommand& c) -> Status {
                     if (c.base_offset > base.size() || c.length > base.size() - c.base_offset) {
                       return fail(ErrorCode::invalid, "copy past the base");
                     }
                     out.content.append(base, c.base_offset, c.length);
                     ++out.copies;
                     return {};
                   },
                   .literal = [&](const LiteralCommand& l) -> Status {
                     EXPECT_LE(l.bytes.size(), limits::data_chunk_bytes_max);
                     out.content.append(l.bytes);
                     out.literal += l.bytes.size();
                     return {};
                   }};
}

std::string random_bytes(std::mt19937_64& rng, size_t size) {
  std::string out(size, '\0');
  for (char& c : out) c = static_cast<char>(rng());
  return out;
}

void edit(std::mt19937_64& rng, std::string& content) {
  const size_t at = content.empty() ? 0 : rng() % content.size();
  const size_t n = rng() % 5000;
  switch (rng() % 4) {
    case 0:
      content.insert(at, random_bytes(rng, n));
      break;
    case 1:
      content.erase(at, n);
      break;
    case 2:
      content.replace(at, n, random_bytes(rng, n));
      break;
    default:
      content.append(content.substr(at, n));
      break;
  }
}

TEST(Rolling, RandomEditsRoundTrip) {
  for (uint64_t seed = 1; seed <= 60; ++seed) {
    std::mt19937_64 rng(seed);
    const std::string base = random_bytes(rng, rng() % 600'000);
    std::string target = base;
    const size_t edits = rng() % 6;
    for (size_t i = 0; i < edits; ++i) edit(rng, target);
    const auto signature = make_signature(base.size(), reader(base));
    ASSERT_TRUE(signature) << "seed " << seed;
    Rebuilt out;
    const Status made = make_delta(*signature, target.size(), reader(target), builder(base, out));
    ASSERT_TRUE(made) << "seed " << seed << ": " << made.error().message;
    ASSERT_TRUE(out.content == target) << "seed " << seed;
    // Each edit may cost its bytes and the two blocks that it breaks.
    EXPECT_LE(out.literal, edits * (5000 + 2 * 4096) + 4096) << "seed " << seed;
  }
}

TEST(Rolling, AdjacentCopiesAreOne) {
  std::mt19937_64 rng(7);
  const std::string base = random_bytes(rng, 3 << 20);
  const auto signature = make_signature(base.size(), reader(base));
  ASSERT_TRUE(signature);
  Rebuilt out;
  ASSERT_TRUE(make_delta(*signature, base.size(), reader(base), builder(base, out)));
  EXPECT_EQ(out.content, base);
  EXPECT_EQ(out.copies, 1u);
}

// Several runs through one search: each is told for itself, the last of each to its end.
TEST(Rolling, RunsAreIndependent) {
  std::mt19937_64 rng(8);
  const std::string base = random_bytes(rng, 1 << 20);
  const std::string signature = *make_signature(base.size(), reader(base));
  Result<RollingSearch> search = RollingSearch::open(signature);
  ASSERT_TRUE(search);
  for (const size_t from : {500'001u, 3u, 700'000u, 3u}) {
    const std::string run = "in" + base.substr(from, 60'000) + "out";
    Rebuilt out;
    const DeltaSink sink = builder(base, out);
    ASSERT_TRUE(search->feed(std::string_view(run).substr(0, 7), sink));
    ASSERT_TRUE(search->feed(std::string_view(run).substr(7), sink));
    ASSERT_TRUE(search->finish(sink));
    EXPECT_EQ(out.content, run);
    EXPECT_LE(out.literal, 5u + 2 * 4096);
  }
  Rebuilt none;
  EXPECT_TRUE(search->finish(builder(base, none)));
  EXPECT_EQ(none.content, "");
}

TEST(Rolling, HostileSignatures) {
  std::mt19937_64 rng(3);
  const std::string base = random_bytes(rng, 100'000);
  const std::string good = *make_signature(base.size(), reader(base));
  const auto opens = [](std::string s) { return RollingSearch::open(s).has_value(); };
  EXPECT_TRUE(opens(good));
  for (size_t n = 0; n < 33; ++n) {
    if (n == 12 || n == 32) continue;
    EXPECT_FALSE(opens(good.substr(0, n))) << n;
  }
  for (const size_t at : {0u, 4u, 5u, 8u, 11u}) {
    std::string bad = good;
    bad[at] = static_cast<char>(bad[at] ^ 0x7F);
    EXPECT_FALSE(opens(bad)) << at;
  }
  std::string zero_block = good;
  std::fill(zero_block.begin() + 4, zero_block.begin() + 8, '\0');
  EXPECT_FALSE(opens(zero_block));
  EXPECT_FALSE(opens(good + std::string(limits::signature_bytes_max, 'x')));
  // One weak sum for blocks that are all different: librsync's table would take quadratic time.
  std::string colliding = good.substr(0, 12);
  for (int i = 0; i < 100'000; ++i) colliding += "AAAA" + random_bytes(rng, 16);
  EXPECT_EQ(RollingSearch::open(colliding).error().code, ErrorCode::limit);
  // Any other damage is a worse delta, never a wrong one.
  for (int i = 0; i < 200; ++i) {
    std::string bent = good;
    bent[12 + rng() % (bent.size() - 12)] = static_cast<char>(rng());
    Rebuilt out;
    const Status made = make_delta(bent, base.size(), reader(base), builder(base, out));
    EXPECT_TRUE(made && out.content.size() == base.size());
  }
}

// Zeros against a signature that claims their weak sum for another block: each byte costs a strong
// sum.
TEST(Rolling, QuadraticContentIsBounded) {
  const std::string base(8192, '\0');
  std::string signature = *make_signature(base.size(), reader(base));
  for (size_t at = 12 + 4; at < signature.size(); at += 20) signature[at] ^= 1;
  const std::string target(16 << 20, '\0');
  Rebuilt out;
  const auto began = std::chrono::steady_clock::now();
  const Status made = make_delta(signature, target.size(), reader(target), builder(base, out));
  const auto took = std::chrono::steady_clock::now() - began;
  ASSERT_FALSE(made);  // 16 MiB times 4 KiB of hashing would take a minute
  EXPECT_EQ(made.error().code, ErrorCode::limit);
  EXPECT_LT(took, std::chrono::seconds(30));
  EXPECT_EQ(out.content, target.substr(0, out.content.size()));
}

TEST(CommandParser, MalformedStreamsAreErrors) {
  const std::string magic("rs\x02\x36", 4);
  const auto parse = [](const std::string& bytes) {
    CommandParser parser;
    std::string base(1 << 20, 'b');
    Rebuilt out;
    // Byte by byte: no state is lost between pieces.
    for (const char c : bytes) {
      if (!parser.feed(std::string_view(&c, 1), builder(base, out))) return std::string("error");
    }
    return parser.ended() ? out.content : std::string("open");
  };
  EXPECT_EQ(parse("rs\x02\x37"), "error");
  EXPECT_EQ(parse(magic + std::string("\x03"
                                      "abc\0",
                                      5)),
            "abc");
  EXPECT_EQ(parse(magic + std::string("\x41\x02"
                                      "ab\0",
                                      5)),
            "ab");
  EXPECT_EQ(parse(magic + std::string("\x45\x07\x03\0", 4)), "bbb");
  EXPECT_EQ(parse(magic + std::string("\x45\x07\x03\x45\x0A\x01\0", 7)), "bbbb");
  EXPECT_EQ(parse(magic + std::string("\x41\0", 2)), "error");
  EXPECT_EQ(parse(magic + std::string("\x45\x07\0", 3)), "error");
  EXPECT_EQ(parse(magic + "\x55"), "error");
  EXPECT_EQ(parse(magic + "\xFF"), "error");
  EXPECT_EQ(parse(magic + std::string("\0x", 2)), "error");
  EXPECT_EQ(parse(magic + "\x54" + std::string(16, '\xFF')), "error");
  EXPECT_EQ(parse(magic + "\x05"
                          "ab"),
            "open");
  std::mt19937_64 rng(11);
  for (int i = 0; i < 2000; ++i) {
    const std::string noise = magic + random_bytes(rng, rng() % 64);
    EXPECT_NE(parse(noise), "never") << "must not crash";
  }
}

}  // namespace
}  // namespace repl::delta

#include "engine/model/hash.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <vector>

#include "engine/base/limits.h"

namespace repl {
namespace {

constexpr size_t block = limits::block_bytes;

// Byte i is (i * 131 + i / 251) mod 256: simple to write again elsewhere.
std::string pattern(size_t size) {
  std::string bytes(size, '\0');
  for (size_t i = 0; i < size; ++i) bytes[i] = static_cast<char>(i * 131 + i / 251);
  return bytes;
}

Digest digest_of(std::string_view bytes) {
  ContentHasher hasher;
  hasher.update(bytes);
  return hasher.finish();
}

Attributes full_attributes() {
  Attributes attr;
  attr.type = FileType::regular;
  attr.mode = 04755;
  attr.uid = 1000;
  attr.gid = 2000;
  attr.mtime = {.seconds = 1'700'000'000, .nanoseconds = 123'456'789};
  attr.size = 42;
  attr.xattrs = "\x01x\x01y";
  attr.content = hash_bytes("content");
  attr.link = LinkId{5};
  attr.link_names = 2;
  return attr;
}

// These are on disks and compared between nodes of different versions: they never change.
TEST(HashFrozen, ContentDigests) {
  EXPECT_EQ(to_hex(digest_of("")), "99aa06d3014798d86001c324468d497f");
  EXPECT_EQ(to_hex(digest_of("a")), "a96faf705af16834e6c632b61e964e1f");
  EXPECT_EQ(to_hex(digest_of(pattern(block - 1))), "502923adebf5a25dc6862c3e00743798");
  EXPECT_EQ(to_hex(digest_of(pattern(block))), "33786d19caeb5bf4a671e27f65736fd5");
  EXPECT_EQ(to_hex(digest_of(pattern(block + 1))), "81661276e8452cf194630f847bbb645c");
  EXPECT_EQ(to_hex(digest_of(pattern(10 * block + 17))), "8d7447618959958955367e30b1c639c1");
  ContentHasher hole;
  hole.update_zeros(1ULL << 30);
  EXPECT_EQ(to_hex(hole.finish()), "71f7829d97bc50757640944f5b9a6667");
}

TEST(HashFrozen, EntryHashes) {
  const uint64_t seed = fingerprint_seed("data");
  EXPECT_EQ(seed, 0xe4b7943fd57d5d1eULL);
  const Attributes attr = full_attributes();
  EXPECT_EQ(to_hex(entry_content_hash(seed, "name", attr, {})), "2386f0a8e9f6993651e1f09a5d7e470f");
  EXPECT_EQ(to_hex(entry_identity_hash(seed, "name", attr, {})),
            "8dbaa956d4dfb2a781afbd20ea513d0e");
  Attributes dir;
  dir.type = FileType::directory;
  dir.mode = 01777;
  dir.owner = "alice";
  dir.group = "staff";
  dir.dir = DirId{77};
  Fingerprint children;
  children.high = 3;
  children.low = 4;
  EXPECT_EQ(to_hex(entry_content_hash(seed, "", dir, children)),
            "815d964a895edb09c7565ae45848eaa3");
  EXPECT_EQ(to_hex(entry_identity_hash(seed, "", dir, children)),
            "5e00d41c9151e4733ffedbfec693f007");
}

TEST(Hash, OneBlockIsTheHashOfItsBytes) {
  for (const size_t size : {size_t{0}, size_t{1}, block - 1, block}) {
    const std::string bytes = pattern(size);
    EXPECT_EQ(digest_of(bytes), hash_bytes(bytes));
  }
  EXPECT_NE(digest_of(pattern(block + 1)), hash_bytes(pattern(block + 1)));
}

TEST(Hash, BlocksAreComplete) {
  for (const auto& [size, blocks] :
       {std::pair<size_t, size_t>{0, 1}, {1, 1}, {block, 1}, {block + 1, 2}, {3 * block, 3}}) {
    ContentHasher hasher;
    hasher.update(pattern(size));
    const Digest digest = hasher.finish();
    ASSERT_EQ(hasher.blocks().size(), blocks) << size;
    EXPECT_EQ(digest_of_blocks(hasher.blocks()), digest);
    EXPECT_EQ(hasher.size(), size);
    const std::string last = pattern(size).substr((blocks - 1) * block);
    EXPECT_EQ(hasher.blocks().back(), hash_bytes(last));
  }
}

TEST(Hash, HowItIsCutDoesNotMatter) {
  std::mt19937 random(7);
  for (int round = 0; round < 50; ++round) {
    // Data and zeros, in turns; fed in pieces of any size, zeros as a hole or as bytes.
    std::string bytes;
    ContentHasher mixed;
    while (bytes.size() < 5 * block) {
      const size_t data = random() % (2 * block);
      const std::string part = pattern(data);
      for (size_t at = 0; at < data;) {
        const size_t take =
            std::min<size_t>(data - at, random() % 3 == 0 ? block : random() % 5000);
        mixed.update(std::string_view(part).substr(at, take));
        at += take;
      }
      const size_t zeros = random() % (3 * block);
      mixed.update_zeros(zeros);
      bytes += part + std::string(zeros, '\0');
    }
    EXPECT_EQ(mixed.size(), bytes.size());
    ASSERT_EQ(mixed.finish(), digest_of(bytes));
  }
}

TEST(Hash, BlocksWhoseHashIsKnownNeedNoBytes) {
  for (const size_t size : {block, block + 1, 3 * block, 5 * block + 77}) {
    const std::string bytes = pattern(size);
    ContentHasher hasher;
    size_t at = 0;
    for (size_t number = 0; at + block <= size; ++number, at += block) {
      ASSERT_TRUE(hasher.at_block_start());
      if (number == 1)
        hasher.update(std::string_view(bytes).substr(at, block));
      else
        hasher.update_block(hash_bytes(std::string_view(bytes).substr(at, block)));
    }
    hasher.update(std::string_view(bytes).substr(at));
    EXPECT_EQ(hasher.at_block_start(), size % block == 0);
    EXPECT_EQ(hasher.size(), size);
    EXPECT_EQ(hasher.finish(), digest_of(bytes));
  }
}

TEST(Hash, AMovedHasherGoesOn) {
  ContentHasher first;
  first.update(pattern(block + 5));
  ContentHasher second(std::move(first));
  second.update("more");
  ContentHasher third;
  third.update("other");
  third = std::move(second);
  third.update("!");
  EXPECT_EQ(third.finish(), digest_of(pattern(block + 5) + "more!"));
}

// Every attribute that is compared changes the content hash; ids change the identity hash alone.
TEST(Hash, EveryAttributeCounts) {
  const Attributes base = full_attributes();
  const Bits128 content = entry_content_hash(1, "n", base, {});
  const Bits128 identity = entry_identity_hash(1, "n", base, {});
  using Change = void (*)(Attributes&);
  const Change changes[] = {
      [](Attributes& a) { a.type = FileType::fifo; },
      [](Attributes& a) { a.mode ^= 1; },
      [](Attributes& a) { ++a.uid; },
      [](Attributes& a) { ++a.gid; },
      [](Attributes& a) { std::swap(a.uid, a.gid); },
      [](Attributes& a) { a.owner = "o"; },
      [](Attributes& a) { a.group = "g"; },
      [](Attributes& a) { ++a.mtime.seconds; },
      [](Attributes& a) { ++a.mtime.nanoseconds; },
      [](Attributes& a) { ++a.size; },
      [](Attributes& a) { ++a.rdev; },
      [](Attributes& a) { a.target = "t"; },
      [](Attributes& a) { a.xattrs.clear(); },
      [](Attributes& a) { ++a.content.low; },
      [](Attributes& a) { ++a.link_names; },
  };
  std::vector<Bits128> seen{content};
  for (const Change change : changes) {
    Attributes attr = base;
    change(attr);
    const Bits128 hash = entry_content_hash(1, "n", attr, {});
    for (const Bits128& other : seen) EXPECT_NE(hash, other);
    seen.push_back(hash);
    EXPECT_EQ(entry_identity_hash(1, "n", attr, {}), identity);
  }
  Attributes ids = base;
  ++ids.link.value;
  EXPECT_EQ(entry_content_hash(1, "n", ids, {}), content);
  EXPECT_NE(entry_identity_hash(1, "n", ids, {}), identity);
  ids = base;
  ++ids.dir.value;
  EXPECT_NE(entry_identity_hash(1, "n", ids, {}), identity);
  Fingerprint children;
  children.low = 1;
  EXPECT_NE(entry_content_hash(1, "n", base, children), content);
  EXPECT_NE(entry_content_hash(2, "n", base, {}), content) << "seeded per tree";
  EXPECT_NE(entry_content_hash(1, "m", base, {}), content);
}

TEST(Hash, SumsAreACommutativeGroup) {
  std::mt19937_64 random(11);
  Fingerprint sum;
  std::vector<Bits128> hashes;
  for (int i = 0; i < 1000; ++i) {
    hashes.push_back({.high = random(), .low = random() | 1ULL << 63});  // carries and borrows
    sum = add(sum, hashes.back());
  }
  std::shuffle(hashes.begin(), hashes.end(), random);
  Fingerprint again;
  for (const Bits128& hash : hashes) again = add(again, hash);
  EXPECT_EQ(again, sum);
  for (const Bits128& hash : hashes) sum = subtract(sum, hash);
  EXPECT_FALSE(sum.is_set());

  const Bits128 one{.high = 0, .low = 1};
  Fingerprint all_ones = subtract({}, one);
  EXPECT_EQ(all_ones.high, ~0ULL);
  EXPECT_EQ(all_ones.low, ~0ULL);
  EXPECT_EQ(add(all_ones, one), Fingerprint{});
}

}  // namespace
}  // namespace repl

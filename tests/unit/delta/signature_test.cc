#include "engine/delta/signature.h"

#include <gtest/gtest.h>

#include <random>

#include "engine/base/limits.h"

namespace repl::delta {
namespace {

constexpr uint64_t block = limits::block_bytes;

std::string random_bytes(uint64_t seed, size_t size) {
  std::mt19937_64 rng(seed);
  std::string out(size, '\0');
  for (char& c : out) c = static_cast<char>(rng());
  return out;
}

Result<std::string> signature_of(const std::string& content) {
  return make_signature(content.size(),
                        [&](uint64_t offset, char* to, size_t size) -> Result<size_t> {
                          return content.copy(to, size, offset);
                        });
}

TEST(Signature, IsSmall) {
  for (uint64_t size = 1 << 20; size <= limits::rolling_bytes_max; size += size / 7) {
    EXPECT_LE(signature_bytes(size), size / 200) << size;
    EXPECT_LE(signature_bytes(size), limits::signature_bytes_max) << size;
    EXPECT_EQ(block % rolling_block_bytes(size), 0u) << size;
  }
  EXPECT_LE(signature_bytes(limits::rolling_bytes_max), limits::signature_bytes_max);
  EXPECT_EQ(make_signature(limits::rolling_bytes_max + 1, nullptr).error().code, ErrorCode::limit);
  for (const size_t size : {0u, 1u, 4096u, 4097u, 1'234'567u}) {
    EXPECT_EQ(signature_of(random_bytes(1, size))->size(), signature_bytes(size));
  }
}

TEST(Signature, ReadErrorsAreErrors) {
  const auto failing = [](uint64_t, char*, size_t) -> Result<size_t> {
    return fail(ErrorCode::io, "bad sector");
  };
  EXPECT_EQ(make_signature(5000, failing).error().code, ErrorCode::io);
}

// Of a content that changed in some blocks only those are summed again.
TEST(Signature, UnchangedBlocksAreKept) {
  const std::string base = random_bytes(1, 9 * block + 5000);
  std::string target = base + random_bytes(2, 3000);
  target[3 * block + 17] ^= 1;
  const std::string old = *signature_of(base);
  SignatureBuilder builder(target.size());
  for (uint64_t i = 0; i * block < target.size(); ++i) {
    const std::string bytes = target.substr(i * block, block);
    if (i == 3 || i == 9)
      ASSERT_TRUE(builder.add(bytes));
    else
      ASSERT_TRUE(builder.keep(old, bytes.size()));
  }
  EXPECT_EQ(builder.offset(), target.size());
  EXPECT_TRUE(builder.take() == *signature_of(target));
}

TEST(Signature, OnlyWhatIsThereIsKept) {
  const std::string base = random_bytes(1, 2 * block);
  const std::string old = *signature_of(base);
  SignatureBuilder builder(3 * block);
  EXPECT_TRUE(builder.keep(old, block));
  EXPECT_TRUE(builder.keep(old, block));
  EXPECT_FALSE(builder.keep(old, block)) << "behind its end";
  EXPECT_EQ(builder.offset(), 2 * block);
  EXPECT_FALSE(builder.keep(old, 2 * block)) << "behind the end of the content";
  SignatureBuilder coarse(limits::rolling_bytes_max);
  EXPECT_FALSE(coarse.keep(old, block)) << "another block length";
  SignatureBuilder large(limits::rolling_bytes_max + 1);
  EXPECT_FALSE(large.keep(old, block));
  EXPECT_FALSE(large.add("x"));
  SignatureBuilder full(3);
  EXPECT_FALSE(full.add("four"));
}

}  // namespace
}  // namespace repl::delta

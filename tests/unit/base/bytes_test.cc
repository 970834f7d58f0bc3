#include "engine/base/bytes.h"

#include <gtest/gtest.h>

#include <random>
#include <vector>

namespace repl {
namespace {

TEST(Bytes, EverythingReadsBack) {
  std::string out;
  ByteWriter writer(out);
  writer.u8(0xFE);
  writer.u16(0xFEDC);
  writer.u32(0xFEDCBA98);
  writer.u64(0xFEDCBA9876543210);
  writer.i64(-5);
  writer.bits({.high = 1, .low = 2});
  for (const uint64_t v : {0ULL, 1ULL, 127ULL, 128ULL, 16383ULL, 16384ULL, ~0ULL}) writer.varint(v);
  writer.string("");
  writer.string(std::string_view("a\0b", 3));
  writer.key64(0x0102030405060708);

  ByteReader reader(out);
  EXPECT_EQ(reader.u8(), 0xFE);
  EXPECT_EQ(reader.u16(), 0xFEDC);
  EXPECT_EQ(reader.u32(), 0xFEDCBA98);
  EXPECT_EQ(reader.u64(), 0xFEDCBA9876543210);
  EXPECT_EQ(reader.i64(), -5);
  EXPECT_EQ(reader.bits(), (Bits128{.high = 1, .low = 2}));
  for (const uint64_t v : {0ULL, 1ULL, 127ULL, 128ULL, 16383ULL, 16384ULL, ~0ULL}) {
    EXPECT_EQ(reader.varint(), v);
  }
  EXPECT_EQ(reader.string(), "");
  EXPECT_EQ(reader.string(), std::string_view("a\0b", 3));
  EXPECT_FALSE(reader.done());
  EXPECT_EQ(reader.key64(), 0x0102030405060708U);
  EXPECT_TRUE(reader.done());
}

TEST(Bytes, TheLayoutIsFrozen) {
  std::string out;
  ByteWriter writer(out);
  writer.u16(0x0102);
  writer.varint(300);
  writer.string("ab");
  writer.key64(1);
  EXPECT_EQ(out, std::string("\x02\x01\xAC\x02\x02"
                             "ab\0\0\0\0\0\0\0\x01",
                             15));
}

TEST(Bytes, KeysSortLikeNumbers) {
  std::string previous;
  for (const uint64_t v : {0ULL, 1ULL, 255ULL, 256ULL, 1ULL << 40, ~0ULL}) {
    std::string key;
    ByteWriter(key).key64(v);
    EXPECT_TRUE(v == 0 || previous < key);
    previous = key;
  }
}

TEST(Bytes, AShortBufferFailsForGood) {
  ByteReader reader("abc");
  EXPECT_EQ(reader.u32(), 0U);
  EXPECT_FALSE(reader.ok());
  EXPECT_EQ(reader.u8(), 0U) << "once failed, nothing more is read";
  EXPECT_EQ(reader.string(), "");
  EXPECT_FALSE(reader.done());
}

TEST(Bytes, AStringLongerThanTheBufferIsRefused) {
  for (const uint64_t claimed : {4ULL, 1ULL << 32, ~0ULL}) {
    std::string out;
    ByteWriter(out).varint(claimed);
    out += "abc";
    ByteReader reader(out);
    EXPECT_EQ(reader.string(), "");
    EXPECT_FALSE(reader.ok());
  }
}

TEST(Bytes, AVarintEndsAndFitsSixtyFourBits) {
  const std::string nine(9, '\xFF');
  const std::string max = nine + "\x01";
  ByteReader fits(max);
  EXPECT_EQ(fits.varint(), ~0ULL);
  EXPECT_TRUE(fits.ok());
  for (const std::string& bad :
       {nine + "\x02", nine + "\x7F", nine + "\x81\x01", std::string(20, '\xFF'), nine}) {
    ByteReader reader(bad);
    EXPECT_EQ(reader.varint(), 0U);
    EXPECT_FALSE(reader.ok());
  }
}

TEST(Bytes, HostileInputNeverReadsOutside) {
  std::mt19937_64 random(20240607);
  for (int round = 0; round < 20'000; ++round) {
    std::string bytes(random() % 40, '\0');
    for (char& byte : bytes) byte = static_cast<char>(random() % 3 == 0 ? 0xFF : random());
    // A buffer of exactly this size on the heap: a sanitizer sees one byte too many.
    const std::vector<char> exact(bytes.begin(), bytes.end());
    ByteReader reader(std::string_view(exact.data(), exact.size()));
    size_t read = 0;
    while (reader.ok() && !reader.done()) {
      switch (random() % 6) {
        case 0:
          reader.u8();
          break;
        case 1:
          reader.u16();
          break;
        case 2:
          reader.u64();
          break;
        case 3:
          reader.varint();
          break;
        case 4:
          reader.bits();
          break;
        default: {
          const std::string_view view = reader.string();
          if (!view.empty()) {
            ASSERT_GE(view.data(), exact.data());
            ASSERT_LE(view.data() + view.size(), exact.data() + exact.size());
          }
        }
      }
      ASSERT_LE(++read, 50U);
      ASSERT_LE(reader.rest().size(), exact.size());
    }
  }
}

}  // namespace
}  // namespace repl

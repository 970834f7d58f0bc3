#include "engine/base/ids.h"

#include <gtest/gtest.h>

#include <string_view>
#include <type_traits>

namespace repl {
namespace {

TEST(Ids, KindsDoNotMix) {
  static_assert(!std::is_convertible_v<DirId, LinkId>);
  static_assert(!std::is_convertible_v<uint64_t, DirId>);
  static_assert(!std::is_convertible_v<Digest, Reign>);
  EXPECT_FALSE(DirId{}.is_set());
  EXPECT_TRUE(root_dir.is_set());
  EXPECT_LT(CutNumber{1}, CutNumber{2});
}

TEST(Ids, HexHasThirtyTwoDigits) {
  EXPECT_EQ(to_hex({}), "00000000000000000000000000000000");
  EXPECT_EQ(to_hex({.high = 0x0123456789abcdef, .low = 0xfedcba9876543210}),
            "0123456789abcdeffedcba9876543210");
  EXPECT_EQ(to_hex({.high = 0, .low = 1}), "00000000000000000000000000000001");
}

TEST(Ids, HexReadsBack) {
  Bits128 bits;
  for (const Bits128 want :
       {Bits128{}, Bits128{.high = 1, .low = 2}, Bits128{.high = ~0ULL, .low = ~0ULL},
        Bits128{.high = 1ULL << 63, .low = 0}}) {
    ASSERT_TRUE(from_hex(to_hex(want), bits));
    EXPECT_EQ(bits, want);
  }
}

TEST(Ids, HexRefusesEverythingElse) {
  const Bits128 before{.high = 7, .low = 8};
  Bits128 bits = before;
  for (const std::string_view bad :
       {"", "0", "0123456789abcdeffedcba987654321", "0123456789abcdeffedcba98765432100",
        "0123456789ABCDEFfedcba9876543210", "0123456789abcdef-edcba9876543210",
        " 123456789abcdeffedcba9876543210", "0x23456789abcdeffedcba9876543210"}) {
    EXPECT_FALSE(from_hex(bad, bits)) << bad;
    EXPECT_EQ(bits, before) << "untouched";
  }
}

}  // namespace
}  // namespace repl

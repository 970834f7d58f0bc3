#include "engine/apply/second_copies.h"

#include "engine/base/limits.h"
#include "tests/support/apply_tree.h"

namespace repl::apply::testing {
namespace {

// What is remembered of one is bounded, however often its file changes without it.
TEST(SecondCopies, OneThatDiffersInTooManyPlacesGoes) {
  const Volume volume("tmpfs", 64);
  ASSERT_TRUE(volume.ok());
  const Tree tree(volume);
  ASSERT_TRUE(tree.index->put({root_dir, "f"}, Entry{.attr = file_attr(1), .local = {.inode = 7}}));
  SecondCopies copies(*tree.staging);
  const Digest first{Bits128{1, 1}};
  const Digest second{Bits128{1, 2}};
  const Digest third{Bits128{1, 3}};
  const auto half = [](const Digest& base, uint64_t begins_at) {
    Difference difference{.key = {root_dir, "f"}, .base = base, .base_inode = 7, .changed = {}};
    for (uint64_t n = 0; n <= limits::second_copy_ranges_max / 2; ++n)
      difference.changed.add(begins_at + 10 * n, 1);
    return difference;
  };
  io::Stat displaced;
  displaced.nlink = 1;
  displaced.blocks = limits::second_copy_bytes_min / 512;
  const Difference before = half(first, 0);
  const auto number = copies.keep(Slot{.dir = tree.staging->new_dir(0), .name = "copy"}, displaced,
                                  {.difference = before, .inode = 7, .content = second});
  ASSERT_TRUE(number);
  const Difference after = half(second, 5);
  copies.advance({.difference = after, .inode = 7, .content = third});
  copies.drop_orphans(*tree.index);
  EXPECT_EQ(copies.size(), 1u) << "its cut is not durable yet";
  copies.ready({*number});
  copies.drop_orphans(*tree.index);
  EXPECT_EQ(copies.size(), 0u);
  EXPECT_EQ(copies.take_dropped().size(), 1u);
}

}  // namespace
}  // namespace repl::apply::testing

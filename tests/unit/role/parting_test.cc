#include "engine/role/parting.h"

#include <gtest/gtest.h>

#include "engine/role/node_state.h"
#include "tests/unit/role/reigns.h"

namespace repl::role {
namespace {

Hello at(const Lineage& lineage, uint64_t cut) {
  Hello hello;
  hello.lineage = lineage;
  hello.position = {
      .epoch = lineage.back().epoch, .reign = lineage.back().reign, .cut = CutNumber{cut}};
  return hello;
}

LineageStep step(uint64_t of, uint64_t epoch, uint64_t began_at) {
  return {.reign = reign(of), .epoch = Epoch{epoch}, .began_at = CutNumber{began_at}};
}

// C was promoted from A's cut 8, and B follows it. A restarted at its cut 8, not knowing of C, and
// is promoted by force: what B has of C is not A's past, though A's next reign began in a restart.
TEST(Parting, APromotionInOurCutsBeyondCounts) {
  const Hello b = at({step(1, 1, 0), step(3, 2, 8)}, 12);
  const Hello a = at({step(1, 1, 0), step(2, 1, 8), step(4, 3, 9)}, 9);
  const auto where = parting(b, a);
  ASSERT_TRUE(where);
  EXPECT_EQ(where->cut, CutNumber{8});
  EXPECT_TRUE(diverged(*where));
}

TEST(Parting, WhatAPrimaryForgotInACrashIsNotDiverged) {
  const Hello s = at({step(1, 1, 0)}, 12);
  const Hello p = at({step(1, 1, 0), step(2, 1, 8)}, 9);
  ASSERT_TRUE(parting(s, p));
  EXPECT_FALSE(diverged(*parting(s, p)));
  const Hello promoted = at({step(1, 1, 0), step(3, 2, 8)}, 9);
  EXPECT_TRUE(diverged(*parting(s, promoted)));
}

}  // namespace
}  // namespace repl::role

#include "engine/delta/strategy.h"

#include <gtest/gtest.h>

#include "engine/base/limits.h"
#include "engine/model/hash.h"

namespace repl::delta {
namespace {

constexpr uint64_t large = 100 << 20;

TEST(Strategy, Table) {
  struct Row {
    const char* what;
    ContentFacts facts;
    Method method;
  };
  const ContentFacts edited{.size = large,
                            .base_available = true,
                            .base_size = large,
                            .table_available = true,
                            .blocks_matching = 90,
                            .blocks_total = 100};
  ContentFacts half = edited, shifted = edited, refused = edited, huge = edited, alien = edited;
  half.blocks_matching = 50;
  shifted.blocks_matching = 49;
  refused.blocks_matching = 49;
  refused.signature_refused = true;
  huge.blocks_matching = 1;
  huge.size = limits::rolling_bytes_max + 1;
  alien.blocks_matching = 0;
  alien.signature_refused = true;
  const Row rows[] = {
      {"equal", {.size = large, .content_equal = true}, Method::metadata_only},
      {"equal and empty", {.size = 0, .content_equal = true}, Method::metadata_only},
      {"known elsewhere", {.size = large, .copy_available = true}, Method::copy},
      {"small, known elsewhere", {.size = 10, .copy_available = true}, Method::copy},
      {"empty is not worth a copy", {.size = 0, .copy_available = true}, Method::inline_whole},
      {"small", {.size = limits::inline_bytes_max}, Method::inline_whole},
      {"small with a base",
       {.size = 9, .base_available = true, .base_size = 8},
       Method::inline_whole},
      {"new and large", {.size = limits::inline_bytes_max + 1}, Method::whole},
      {"empty base", {.size = large, .base_available = true, .base_size = 0}, Method::whole},
      {"edited in place", edited, Method::aligned},
      {"half", half, Method::aligned},
      {"shifted", shifted, Method::rolling},
      {"no table", {.size = large, .base_available = true, .base_size = large}, Method::rolling},
      {"no table, no signature",
       {.size = large, .base_available = true, .base_size = large, .signature_refused = true},
       Method::whole},
      {"shifted, no signature", refused, Method::aligned},
      {"too large for rolling", huge, Method::aligned},
      {"nothing in common, no signature", alien, Method::whole},
  };
  for (const Row& row : rows) EXPECT_EQ(choose(row.facts), row.method) << row.what;
}

std::vector<Digest> blocks(std::string_view letters) {
  std::vector<Digest> out;
  for (const char c : letters) out.push_back(hash_bytes(std::string_view(&c, 1)));
  return out;
}

TEST(Strategy, BlocksMatching) {
  constexpr uint64_t b = limits::block_bytes;
  EXPECT_EQ(blocks_matching(blocks("abcd"), blocks("abcd"), 4 * b, 4 * b), 4u);
  EXPECT_EQ(blocks_matching(blocks("abcd"), blocks("axyd"), 4 * b, 4 * b), 2u);
  EXPECT_EQ(blocks_matching(blocks("ab"), blocks("abcd"), 2 * b, 3 * b + 7), 2u);
  EXPECT_EQ(blocks_matching({}, blocks("ab"), 0, b + 1), 0u);
  // The last block of the base was short: equal digests of other lengths do not count.
  EXPECT_EQ(blocks_matching(blocks("ab"), blocks("ab"), b + 5, b + 6), 1u);
}

}  // namespace
}  // namespace repl::delta

#include "engine/delta/strategy.h"

#include <gtest/gtest.h>

#include "engine/base/limits.h"
#include "engine/delta/signature.h"
#include "engine/model/hash.h"

namespace repl::delta {
namespace {

constexpr uint64_t large = 100 << 20;

ContentFacts with(ContentFacts facts, At at) {
  facts.signature = at;
  return facts;
}
ContentFacts of_size(ContentFacts facts, uint64_t size, uint64_t base_size) {
  facts.size = size;
  facts.base_size = base_size;
  return facts;
}

// The table at the top of strategy.h: what is known, what is asked first, what is chosen then.
TEST(Strategy, Table) {
  struct Row {
    const char* what;
    ContentFacts facts;
    Method method;
    Ask ask = Ask::nothing;
  };
  const auto edited = [](uint64_t matching, uint64_t shifted_bytes) {
    return ContentFacts{
        .size = large,
        .base_available = true,
        .base_size = large,
        .table = At::hand,
        .overlap = {.matching = matching, .total = 65, .shifted_bytes = shifted_bytes}};
  };
  const ContentFacts unasked{.size = large, .base_available = true, .base_size = large};
  ContentFacts no_table = unasked;
  no_table.table = At::nowhere;
  ContentFacts sparse = unasked;
  sparse.data_bytes = limits::inline_bytes_max;
  const uint64_t huge = limits::rolling_bytes_max + 1;
  const uint64_t table_max =  // the largest content of which a table is asked for
      limits::block_table_bytes_max / sizeof(Digest) * limits::block_bytes;
  const uint64_t worth = 8 * signature_bytes(large);
  const Row rows[] = {
      // only metadata changed
      {"only metadata", {.size = large, .content_equal = true}, Method::metadata_only},
      {"equal and empty", {.size = 0, .content_equal = true}, Method::metadata_only},
      // content known on the receiver under another key
      {"known elsewhere", {.size = large, .copy_available = true}, Method::copy},
      {"small, known elsewhere", {.size = 10, .copy_available = true}, Method::copy},
      {"empty is not worth a copy", {.size = 0, .copy_available = true}, Method::inline_whole},
      // small file
      {"small", {.size = limits::inline_bytes_max}, Method::inline_whole},
      {"small with a base",
       {.size = 9, .base_available = true, .base_size = 8},
       Method::inline_whole},
      // grew, old blocks unchanged
      {"grew", of_size(edited(65, 0), large + 1, large), Method::append},
      {"grew, signature at hand", with(of_size(edited(65, 0), large + 1, large), At::hand),
       Method::append},
      {"grew from less than a block",
       of_size({.base_available = true, .table = At::hand, .signature = At::nowhere}, large, 9),
       Method::whole},
      {"grew, but not only", of_size(edited(64, 0), large + 1, large), Method::aligned},
      // large, edited in place
      {"nothing differs in the samples", edited(65, 0), Method::aligned},
      {"scattered edits", edited(33, 0), Method::aligned},
      {"scattered edits, signature at hand", with(edited(33, 0), At::hand), Method::rolling},
      {"shifted a little", edited(60, worth - 1), Method::aligned},
      {"shifted, no signature", with(edited(33, large / 2), At::nowhere), Method::aligned},
      {"too large to search", of_size(edited(33, large), huge, large), Method::aligned},
      {"too large a base to search", with(of_size(edited(33, large), large, huge), At::hand),
       Method::aligned},
      // large, shifted
      {"shifted", edited(33, worth), Method::rolling, Ask::signature},
      {"all shifted", edited(0, large), Method::rolling, Ask::signature},
      {"all shifted, signature at hand", with(edited(0, large), At::hand), Method::rolling},
      {"no table", no_table, Method::rolling, Ask::signature},
      {"no table, signature at hand", with(no_table, At::hand), Method::rolling},
      // all different, or nothing is known of the base
      {"new and large", {.size = limits::inline_bytes_max + 1}, Method::whole},
      {"empty base", {.size = large, .base_available = true, .base_size = 0}, Method::whole},
      {"hardly any data", sparse, Method::whole},
      {"all shifted, no signature", with(edited(0, large), At::nowhere), Method::whole},
      {"neither", with(no_table, At::nowhere), Method::whole},
      {"too large, nothing in common", of_size(edited(0, large), huge, huge), Method::whole},
      // what is asked before anything can be said
      {"table unasked", with(unasked, At::nowhere), Method::whole, Ask::table},
      {"table unasked, signature at hand", with(unasked, At::hand), Method::rolling, Ask::table},
      {"of 256 GiB", of_size(unasked, large, table_max), Method::whole, Ask::table},
      {"of more than 256 GiB", of_size(unasked, large, table_max + limits::block_bytes),
       Method::whole},
  };
  for (const Row& row : rows) {
    EXPECT_EQ(choose(row.facts), row.method) << row.what;
    EXPECT_EQ(ask_first(row.facts), row.ask) << row.what;
  }
}

// A choice made from samples ends where a signature would have paid; there must be one to ask for.
TEST(Strategy, WhatAnAlignedDifferenceMayCost) {
  constexpr uint64_t size = 64 << 20;
  const ContentFacts facts{
      .size = size, .base_available = true, .base_size = size, .table = At::hand};
  const uint64_t worth = 8 * signature_bytes(size);
  EXPECT_EQ(shifted_bytes_max(facts), worth);
  EXPECT_EQ(shifted_bytes_max(of_size(facts, 2 * size, size)), worth);
  EXPECT_EQ(shifted_bytes_max(of_size(facts, 1000, size)), worth);
  ContentFacts edited = facts;
  edited.overlap = {.matching = 48, .total = 64, .shifted_bytes = 1 << 20};
  EXPECT_EQ(shifted_bytes_max(edited), worth + (1 << 20));
  EXPECT_EQ(shifted_bytes_max(with(facts, At::nowhere)), UINT64_MAX);
  EXPECT_EQ(shifted_bytes_max(with(facts, At::hand)), UINT64_MAX);
  EXPECT_EQ(shifted_bytes_max(of_size(facts, size, limits::rolling_bytes_max + 1)), UINT64_MAX);
}

std::vector<Digest> blocks(std::string_view letters) {
  std::vector<Digest> out;
  for (const char c : letters) out.push_back(hash_bytes(std::string_view(&c, 1)));
  return out;
}

TEST(Strategy, OverlapOfTables) {
  constexpr uint64_t b = limits::block_bytes;
  const auto of = [](const char* base, const char* target, uint64_t base_size, uint64_t size) {
    return overlap_of(blocks(base), blocks(target), base_size, size);
  };
  EXPECT_EQ(of("abcd", "abcd", 4 * b, 4 * b).matching, 4u);
  EXPECT_EQ(of("abcd", "axyd", 4 * b, 4 * b).matching, 2u);
  EXPECT_EQ(of("ab", "abcd", 2 * b, 3 * b + 7).matching, 2u);
  EXPECT_EQ(of("ab", "abcd", 2 * b, 3 * b + 7).total, 2u);
  EXPECT_EQ(of("", "ab", 0, b + 1).total, 0u);
  // Short last blocks are at the end of one of them, or of both: they do not count.
  EXPECT_EQ(of("ab", "ab", b + 5, b + 6).total, 1u);
  EXPECT_EQ(of("abcdefgh", "abxxxxgh", 8 * b, 8 * b).shifted_bytes, 4 * b);
  EXPECT_EQ(of("abcdefgh", "axxxexxx", 8 * b, 8 * b).shifted_bytes, 0u);
  std::vector<Digest> punched = blocks("abxxxxgh");
  for (size_t i = 2; i < 6; ++i) punched[i] = hash_bytes(std::string(b, '\0'));
  EXPECT_EQ(overlap_of(blocks("abcdefgh"), punched, 8 * b, 8 * b).shifted_bytes, 0u);
  EXPECT_EQ(of("abcdefgh", "abcdxxxx", 8 * b, 8 * b).shifted_bytes, 4 * b);
}

TEST(Strategy, OverlapOfSamples) {
  constexpr uint64_t b = limits::block_bytes;
  size_t looks = 0;
  const auto sample = [&](uint64_t blocks, const std::function<bool(uint64_t)>& equal) {
    looks = 0;
    return sample_overlap(blocks * b, blocks * b + 9, [&](uint64_t index) {
      EXPECT_LT(index, blocks);
      ++looks;
      return equal(index);
    });
  };
  const auto all = sample(10'000, [](uint64_t) { return true; });
  EXPECT_EQ(all.matching, all.total);
  EXPECT_EQ(all.shifted_bytes, 0u);
  EXPECT_LE(looks, 65u);
  EXPECT_LT(sample(10'000, [](uint64_t i) { return i != 9'999; }).matching, all.total);
  // From the middle on: about half of it.
  const auto half = sample(10'000, [](uint64_t i) { return i < 5'000; });
  EXPECT_EQ(half.shifted_bytes, 5'000 * b);
  EXPECT_LE(looks, 65u + 3 * 64);
  // Every third block, or one edit over two: in place.
  EXPECT_EQ(sample(10'000, [](uint64_t i) { return i % 3 != 0; }).shifted_bytes, 0u);
  EXPECT_EQ(sample(10'000, [](uint64_t i) { return i / 2 % 2 != 0; }).shifted_bytes, 0u);
  EXPECT_EQ(sample(32, [](uint64_t) { return false; }).shifted_bytes, 32 * b);
  EXPECT_EQ(sample(4, [](uint64_t) { return false; }).shifted_bytes, 4 * b);
  EXPECT_EQ(sample(3, [](uint64_t) { return false; }).shifted_bytes, 0u);
  EXPECT_EQ(sample(0, [](uint64_t) { return false; }).total, 0u);
}

}  // namespace
}  // namespace repl::delta

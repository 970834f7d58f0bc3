#include "engine/model/tree_sha256.h"

#include <gtest/gtest.h>

#include <functional>
#include <vector>

#include "engine/model/hash.h"

namespace repl {
namespace {

Attributes file() {
  Attributes attr;
  attr.type = FileType::regular;
  attr.mode = 0640;
  attr.uid = 5;
  attr.gid = 6;
  attr.mtime = {.seconds = 1'700'000'000, .nanoseconds = 7};
  attr.size = 3;
  return attr;
}
Attributes dir() {
  Attributes attr;
  attr.type = FileType::directory;
  attr.mode = 0755;
  attr.dir = DirId{9};
  return attr;
}

struct Item {
  size_t depth;
  std::string name;
  Attributes attr;
  std::string bytes;
};
using Tree = std::vector<Item>;

std::string digest(const Tree& tree) {
  TreeSha256 hasher;
  for (const Item& item : tree) {
    hasher.entry(item.depth, item.name, item.attr);
    if (item.attr.type != FileType::regular) continue;
    for (const char& byte : item.bytes) hasher.bytes({&byte, 1});
    hasher.end_file();
  }
  return hasher.finish();
}
std::string digest_of(const Attributes& attr) {
  return digest({{0, "", dir(), ""}, {1, "f", attr, "abc"}});
}

std::string hex(const std::string& bytes) {
  std::string out;
  for (const char c : bytes) {
    out += "0123456789abcdef"[static_cast<unsigned char>(c) >> 4];
    out += "0123456789abcdef"[static_cast<unsigned char>(c) & 15];
  }
  return out;
}

TEST(Sha256, IsTheStandardsAndBeginsAnew) {
  Sha256 hasher;
  const std::string abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
  const std::string none = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
  EXPECT_EQ(hex(hasher.finish()), none);
  for (int i = 0; i < 2; ++i) {
    hasher.update("a");
    hasher.update("bc");
    EXPECT_EQ(hex(hasher.finish()), abc);
  }
}

// Computed with another implementation (Python's hashlib and struct) from the header's layout.
TEST(TreeSha256, IsFrozen) {
  EXPECT_EQ(digest_of(file()), "f915f06131cb56523a2945169d45e6806dc1a0dd4955a167509278b00050cf86");
}

TEST(TreeSha256, EveryAttributeThatFingerprintsCompareCounts) {
  const std::vector<std::function<void(Attributes&)>> changes = {
      [](Attributes& a) { a.mode = 0641; },
      [](Attributes& a) { a.uid = 7; },
      [](Attributes& a) { a.gid = 7; },
      [](Attributes& a) { a.owner = "o"; },
      [](Attributes& a) { a.group = "g"; },
      [](Attributes& a) { a.size = 4; },
      [](Attributes& a) { ++a.mtime.seconds; },
      [](Attributes& a) { ++a.mtime.nanoseconds; },
      [](Attributes& a) { a.rdev = 1; },
      [](Attributes& a) { a.target = "t"; },
      [](Attributes& a) { a.xattrs = "x"; },
      [](Attributes& a) { a.link_names = 2; },
      [](Attributes& a) { a.type = FileType::fifo; }};
  for (size_t i = 0; i < changes.size(); ++i) {
    Attributes other = file();
    changes[i](other);
    EXPECT_NE(digest_of(other), digest_of(file())) << i;
    EXPECT_NE(entry_content_hash(1, "f", other, {}), entry_content_hash(1, "f", file(), {})) << i;
  }
}

TEST(TreeSha256, WhatEqualityLeavesOutDoesNot) {
  Attributes other = file();
  other.content = hash_bytes("another");
  other.link = LinkId{3};  // of one name: settled later on some nodes
  EXPECT_EQ(digest_of(other), digest_of(file()));
  Attributes by_name = file();
  by_name.owner = "o";
  Attributes mapped = by_name;
  mapped.uid = 77;
  EXPECT_EQ(digest_of(by_name), digest_of(mapped));
  Tree tree{{0, "", dir(), ""}};
  Tree same = tree;
  same[0].attr.dir = DirId{12};
  same[0].attr.transit = true;
  EXPECT_EQ(digest(tree), digest(same));
}

TEST(TreeSha256, BytesNamesAndPlacesCount) {
  const Tree tree{{0, "", dir(), ""}, {1, "d", dir(), ""}, {2, "f", file(), "abc"}};
  Tree other = tree;
  other[2].bytes = "abd";
  EXPECT_NE(digest(other), digest(tree));
  other = tree;
  other[2].name = "g";
  EXPECT_NE(digest(other), digest(tree));
  other = tree;
  other[2].depth = 1;
  EXPECT_NE(digest(other), digest(tree));
  other = tree;
  other.pop_back();
  EXPECT_NE(digest(other), digest(tree));
}

TEST(TreeSha256, WhichNamesAreOneInodeCountsButNotItsId) {
  const auto linked = [](std::initializer_list<uint64_t> ids) {
    Tree tree{{0, "", dir(), ""}};
    char name = 'a';
    for (const uint64_t id : ids) {
      Attributes attr = file();
      attr.link = LinkId{id};
      attr.link_names = 2;
      tree.push_back({1, std::string(1, name++), attr, "abc"});
    }
    return digest(tree);
  };
  EXPECT_EQ(linked({1, 1, 2, 2}), linked({8, 8, 5, 5}));
  EXPECT_NE(linked({1, 1, 2, 2}), linked({1, 2, 1, 2}));
  EXPECT_NE(linked({1, 2, 1, 2}), linked({1, 2, 2, 1}));
}

}  // namespace
}  // namespace repl

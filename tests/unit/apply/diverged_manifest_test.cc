#include "engine/apply/diverged_manifest.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

namespace repl::apply::diverged {
namespace {

std::string manifest_of(const std::vector<std::string>& records) {
  std::string bytes;
  for (const std::string& record : records) append_frame(bytes, record, bytes.size());
  return bytes;
}

About about() {
  return {.tree = "t",
          .node = "n",
          .from_peer = "p",
          .reason = "r\n\xff",
          .common_reign = Reign{{3, 4}},
          .common_cut = CutNumber{5},
          .unix_seconds = -6};
}

Item item(uint64_t number, const std::string& path) {
  Item made{.number = number, .change = Change::made, .path = path, .key = {DirId{9}, "leaf"}};
  made.attr = Attributes{.type = FileType::regular,
                         .mode = 04755,
                         .uid = 1,
                         .gid = 2,
                         .mtime = {-1, 999'999'999},
                         .size = 1ull << 40,
                         .xattrs = "any bytes",
                         .content = Digest{{1, 2}},
                         .link = LinkId{8},
                         .link_names = 3};
  made.local = LocalStat{.ctime = {4, 5}, .inode = 77, .birth = {6, 7}};
  made.has_object = true;
  return made;
}

TEST(DivergedManifest, WhatIsWrittenIsRead) {
  Item gone{.number = 3, .change = Change::deleted, .path = "a/\n\x80", .key = {DirId{1}, "x"}};
  Item root{.number = 4, .change = Change::changed, .path = "", .key = root_key};
  root.attr = Attributes{.type = FileType::directory, .mode = 0700, .dir = root_dir};
  const std::string bytes = manifest_of(
      {encode_about(about()), encode_item(item(2, "d/f")), encode_item(gone), encode_item(root),
       encode_item(item(9, "out")), encode_drop(9), encode_finish()});
  const Manifest read = decode_manifest(bytes);
  EXPECT_EQ(read.about, about());
  EXPECT_EQ(read.items, (std::vector<Item>{item(2, "d/f"), gone, root}));
  EXPECT_EQ(read.dropped, std::vector<uint64_t>{9});
  EXPECT_EQ(read.next_number, 10u);
  EXPECT_TRUE(read.finished);
  EXPECT_FALSE(read.torn_tail);
  EXPECT_EQ(read.damaged_frames, 0u);
  EXPECT_EQ(read.whole_bytes, bytes.size());
}

TEST(DivergedManifest, TheLastRecordOfANumberIsTheOneThatCounts) {
  Item later = item(1, "f");
  later.has_object = false;
  const Manifest read = decode_manifest(
      manifest_of({encode_about(about()), encode_item(item(1, "f")), encode_item(later)}));
  EXPECT_EQ(read.items, std::vector<Item>{later});
}

TEST(DivergedManifest, APathThatLeadsOutsideIsNoRecord) {
  for (const char* path : {"..", "a/../b", "/etc", "a//b", "a/", "./a", "a/."}) {
    const Manifest read = decode_manifest(
        manifest_of({encode_about(about()), encode_item(item(1, path)), encode_finish()}));
    EXPECT_TRUE(read.items.empty()) << path;
    EXPECT_EQ(read.damaged_frames, 1u) << path;
    EXPECT_TRUE(read.finished) << path;
  }
}

// Cut at every byte: what was whole before is there, and nothing else is.
TEST(DivergedManifest, ATornTailLosesOnlyItself) {
  std::string bytes;
  std::vector<size_t> ends;
  append_frame(bytes, encode_about(about()), 0);
  ends.push_back(bytes.size());
  for (uint64_t n = 1; n <= 4; ++n) {
    append_frame(bytes, encode_item(item(n, "f" + std::to_string(n))), bytes.size());
    ends.push_back(bytes.size());
  }
  for (size_t size = 0; size <= bytes.size(); ++size) {
    const Manifest read = decode_manifest(std::string_view(bytes).substr(0, size));
    const auto whole = std::ranges::count_if(ends, [&](size_t end) { return end <= size; });
    ASSERT_EQ(read.about.has_value(), whole > 0) << size;
    ASSERT_EQ(read.items.size(), static_cast<size_t>(std::max<std::ptrdiff_t>(whole - 1, 0)));
    ASSERT_EQ(read.whole_bytes, whole == 0 ? 0 : ends[static_cast<size_t>(whole) - 1]) << size;
    ASSERT_EQ(read.torn_tail, read.whole_bytes != size) << size;
    ASSERT_EQ(read.damaged_frames, 0u) << size;
  }
}

// One byte is another one: at most one record is lost, none is wrong, and it is told.
TEST(DivergedManifest, DamageIsToldAndWhatFollowsIsRead) {
  std::vector<std::string> records{encode_about(about())};
  for (uint64_t n = 1; n <= 4; ++n) records.push_back(encode_item(item(n, "f")));
  records.push_back(encode_finish());
  const std::string bytes = manifest_of(records);
  for (size_t at = 0; at < bytes.size(); ++at) {
    for (const char flip : {'\x01', '\x80', '\xff'}) {
      std::string damaged = bytes;
      damaged[at] = static_cast<char>(damaged[at] ^ flip);
      const Manifest read = decode_manifest(damaged);
      const size_t found = read.items.size() + (read.about ? 1 : 0) + (read.finished ? 1 : 0);
      ASSERT_EQ(found, records.size() - 1) << at;
      ASSERT_TRUE(read.damaged_frames == 1 || read.torn_tail) << at;
      for (const Item& kept : read.items) ASSERT_EQ(kept, item(kept.number, "f")) << at;
    }
  }
}

// A file whose name or xattr is a frame is not taken for one when its own frame is damaged.
TEST(DivergedManifest, AFrameInAnAttributeIsNone) {
  std::string planted;
  append_frame(planted, encode_drop(1), 0);
  Item carrier = item(2, "f");
  carrier.attr->xattrs = planted;
  std::string bytes =
      manifest_of({encode_about(about()), encode_item(item(1, "precious")), encode_item(carrier)});
  bytes[bytes.find(encode_item(carrier))] ^= 1;
  const Manifest read = decode_manifest(bytes);
  ASSERT_EQ(read.items.size(), 1u);
  EXPECT_EQ(read.items[0].path, "precious");
}

}  // namespace
}  // namespace repl::apply::diverged

#include "engine/watch/fanotify_decode.h"

#include <gtest/gtest.h>
#include <sys/fanotify.h>

#include <random>
#include <string>

#include "engine/watch/handle_inode.h"

namespace repl::watch {
namespace {

std::string raw(const void* data, size_t size) { return {static_cast<const char*>(data), size}; }
std::string u32(uint32_t v) { return raw(&v, sizeof v); }
std::string u64(uint64_t v) { return raw(&v, sizeof v); }

std::string handle(uint32_t type, const std::string& bytes) { return u32(type) + bytes; }

std::string record(uint8_t type, const std::string& body) {
  fanotify_event_info_header header{};
  header.info_type = type;
  header.len = static_cast<uint16_t>(sizeof header + body.size());
  return raw(&header, sizeof header) + body;
}

std::string identity(uint8_t type, const std::string& handle_bytes, const std::string& name) {
  std::string body = std::string(8, 'F') + u32(8) + u32(1) + handle_bytes;
  if (type != FAN_EVENT_INFO_TYPE_FID && type != FAN_EVENT_INFO_TYPE_DFID) body += name + '\0';
  while (body.size() % 4 != 0) body += '\0';
  return record(type, body);
}

std::string event(uint64_t mask, const std::string& records) {
  fanotify_event_metadata metadata{};
  metadata.event_len = static_cast<uint32_t>(sizeof metadata + records.size());
  metadata.vers = FANOTIFY_METADATA_VERSION;
  metadata.metadata_len = sizeof metadata;
  metadata.mask = mask;
  metadata.fd = FAN_NOFD;
  return raw(&metadata, sizeof metadata) + records;
}

std::string rename_event() {
  return event(FAN_RENAME, identity(FAN_EVENT_INFO_TYPE_OLD_DFID_NAME, "OLDOLD--", "from") +
                               identity(FAN_EVENT_INFO_TYPE_NEW_DFID_NAME, "NEWNEW--", "to") +
                               identity(FAN_EVENT_INFO_TYPE_FID, "CHILD---", ""));
}

TEST(FanotifyDecode, RenameHasBothEndsAndTheChild) {
  const std::string buffer = rename_event() + event(FAN_Q_OVERFLOW, "");
  FanotifyDecoder decoder(buffer);
  FanotifyEvent seen;
  ASSERT_TRUE(decoder.next(seen));
  EXPECT_EQ(seen.mask, FAN_RENAME);
  EXPECT_EQ(seen.fd, FAN_NOFD);
  EXPECT_FALSE(seen.place);
  ASSERT_TRUE(seen.old_place && seen.new_place);
  EXPECT_EQ(seen.old_place->dir, handle(1, "OLDOLD--"));
  EXPECT_EQ(seen.old_place->name, "from");
  EXPECT_EQ(seen.new_place->dir, handle(1, "NEWNEW--"));
  EXPECT_EQ(seen.new_place->name, "to");
  EXPECT_EQ(seen.child, handle(1, "CHILD---"));
  ASSERT_TRUE(decoder.next(seen));
  EXPECT_EQ(seen.mask, FAN_Q_OVERFLOW);
  EXPECT_FALSE(seen.old_place);
  EXPECT_FALSE(decoder.next(seen));
  EXPECT_FALSE(decoder.malformed());
}

TEST(FanotifyDecode, DotIsTheDirectoryItself) {
  for (const uint8_t type : {FAN_EVENT_INFO_TYPE_DFID, FAN_EVENT_INFO_TYPE_DFID_NAME}) {
    const std::string buffer = event(FAN_ATTRIB, identity(type, "SELF----", "."));
    FanotifyDecoder decoder(buffer);
    FanotifyEvent seen;
    ASSERT_TRUE(decoder.next(seen));
    ASSERT_TRUE(seen.place);
    EXPECT_EQ(seen.place->name, "");
  }
}

TEST(FanotifyDecode, RecordsOfLaterKernelsArePassedOver) {
  const std::string buffer =
      event(FAN_MODIFY,
            record(200, "abcdefgh") + identity(FAN_EVENT_INFO_TYPE_DFID_NAME, "DIRDIR--", "f"));
  FanotifyDecoder decoder(buffer);
  FanotifyEvent seen;
  ASSERT_TRUE(decoder.next(seen));
  ASSERT_TRUE(seen.place);
  EXPECT_EQ(seen.place->name, "f");
}

// A copy of exactly the bytes, so that AddressSanitizer sees any read outside.
size_t decode_all(const std::string& buffer, bool& malformed) {
  const std::vector<char> exact(buffer.begin(), buffer.end());
  FanotifyDecoder decoder({exact.data(), exact.size()});
  FanotifyEvent seen;
  size_t count = 0;
  size_t sum = 0;
  while (decoder.next(seen)) {
    ++count;
    for (const auto& place : {seen.place, seen.old_place, seen.new_place}) {
      if (!place) continue;
      for (const char c : place->dir) sum += static_cast<unsigned char>(c);
      for (const char c : place->name) sum += static_cast<unsigned char>(c);
      sum += inode_in_handle(place->dir);
    }
    sum += inode_in_handle(seen.child);
  }
  malformed = decoder.malformed();
  return sum == SIZE_MAX ? 0 : count;
}

TEST(FanotifyDecode, EveryTruncationIsMalformed) {
  const std::string whole = rename_event();
  for (size_t size = 1; size < whole.size(); ++size) {
    bool malformed = false;
    EXPECT_EQ(decode_all(whole.substr(0, size), malformed), 0u) << size;
    EXPECT_TRUE(malformed) << size;
  }
}

TEST(FanotifyDecode, LyingLengthsAreMalformed) {
  const auto expect_malformed = [](std::string buffer, size_t offset, const std::string& patch) {
    buffer.replace(offset, patch.size(), patch);
    bool malformed = false;
    decode_all(buffer, malformed);
    EXPECT_TRUE(malformed) << offset;
  };
  const std::string whole = rename_event();
  const size_t info = sizeof(fanotify_event_metadata);
  expect_malformed(whole, 0, u32(0));  // event_len
  expect_malformed(whole, 0, u32(0xFFFFFFFF));
  expect_malformed(whole, 4, "\x09");                      // version
  expect_malformed(whole, 6, std::string("\x01\x00", 2));  // metadata_len
  expect_malformed(whole, 6, "\xff\xff");
  expect_malformed(whole, info + 2, std::string("\x00\x00", 2));  // record length
  expect_malformed(whole, info + 2, "\xff\xff");
  expect_malformed(whole, info + 12, u32(0xFFFFFFFF));  // handle_bytes
  expect_malformed(whole, info + 12, u32(0xFFFFFFF8));
  expect_malformed(whole, info + 12, u32(129));
}

TEST(FanotifyDecode, NoiseIsSurvived) {
  std::mt19937 random(7);
  const std::string whole = rename_event() + rename_event();
  for (int round = 0; round < 20000; ++round) {
    std::string buffer = whole;
    for (int flips = 0; flips < 3; ++flips)
      buffer[random() % buffer.size()] = static_cast<char>(random());
    bool malformed = false;
    EXPECT_LE(decode_all(buffer, malformed), 2u);
  }
}

TEST(HandleInode, KnownLayouts) {
  EXPECT_EQ(inode_in_handle(handle(1, u32(77) + u32(5))), 77u);
  EXPECT_EQ(inode_in_handle(handle(1, u32(5) + u32(78) + u32(1))), 78u + (1ull << 32));
  EXPECT_EQ(inode_in_handle(handle(0x81, u64(1ull << 40) + u32(5))), 1ull << 40);
  EXPECT_EQ(inode_in_handle(handle(0x4d, u64(257) + u64(5) + u32(9))), 257u);
}

TEST(HandleInode, WhatIsNotKnownIsNothing) {
  EXPECT_EQ(inode_in_handle(""), 0u);
  EXPECT_EQ(inode_in_handle("abc"), 0u);
  EXPECT_EQ(inode_in_handle(handle(1, "abc")), 0u);
  EXPECT_EQ(inode_in_handle(handle(0x81, u64(1))), 0u);
  EXPECT_EQ(inode_in_handle(handle(0x4d, u64(1))), 0u);
  EXPECT_EQ(inode_in_handle(handle(0xF8, u64(1) + u64(2) + u64(3))), 0u);
}

}  // namespace
}  // namespace repl::watch

#include "transport/codec.h"

#include <gtest/gtest.h>

#include <random>

#include "engine/base/bytes.h"
#include "tests/unit/transport/random_message.h"
#include "transport/codec_limits.h"
#include "transport/wire.pb.h"

namespace repl::transport {
namespace {

std::string join(const Payload& payload) {
  std::string raw;
  for (const std::string& piece : payload.raw) raw += piece;
  return raw;
}

Result<Message> round_trip(Message message) {
  auto payload = encode_message(std::move(message));
  if (!payload) return fail(payload.error());
  return decode_message(payload->kind, payload->body, join(*payload));
}

// Equality by what would be sent again: protobuf's serialisation is deterministic without maps.
std::string image(const Message& message) {
  auto payload = encode_message(message);
  if (!payload) return "unencodable";
  return std::to_string(payload->kind) + payload->body + "|" + join(*payload);
}

TEST(Codec, EveryMessageComesBackAsItWas) {
  std::mt19937_64 rng(7);
  for (size_t kind = 0; kind < std::variant_size_v<Message>; ++kind) {
    for (int round = 0; round < 200; ++round) {
      const Message message = random_message(kind, rng);
      ASSERT_EQ(message.index(), kind);
      auto again = round_trip(message);
      ASSERT_TRUE(again) << kind << " " << again.error().message;
      ASSERT_EQ(again->index(), kind);
      ASSERT_EQ(image(*again), image(message));
    }
  }
}

TEST(Codec, AttributesAndContentsKeepEveryField) {
  Put put;
  put.key = {DirId{9}, "a\nb\x1b\xff"};
  put.attr.type = FileType::regular;
  put.attr.mode = 06755;
  put.attr.uid = UINT32_MAX - 1;
  put.attr.gid = 7;
  put.attr.mtime = {-5, 999'999'999};
  put.attr.size = 3;
  put.attr.link = LinkId{77};
  put.attr.link_names = 3;
  ByteWriter xattrs(put.attr.xattrs);
  xattrs.string("security.capability");
  xattrs.string(std::string_view("\0\1", 2));
  put.content = ContentInline{std::string("a\0b", 3)};
  Put empty = put;
  empty.content = ContentInline{};
  Put on_the_way{{DirId{9}, "d"}, {.type = FileType::directory, .dir = DirId{5}}, {}};
  on_the_way.attr.transit = true;
  auto again = round_trip(Records{{put, empty, Remove{{DirId{3}, "x"}, true}, on_the_way}});
  ASSERT_TRUE(again) << again.error().message;
  const auto& records = std::get<Records>(*again).records;
  ASSERT_EQ(records.size(), 4u);
  EXPECT_EQ(std::get<Put>(records[3]).attr, on_the_way.attr);
  const auto& got = std::get<Put>(records[0]);
  EXPECT_EQ(got.key, put.key);
  EXPECT_EQ(got.attr, put.attr);
  EXPECT_EQ(std::get<ContentInline>(got.content).bytes, std::string("a\0b", 3));
  EXPECT_EQ(std::get<ContentInline>(std::get<Put>(records[1]).content).bytes, "");
  EXPECT_TRUE(std::get<Remove>(records[2]).disown);
}

wire::Records one_put() {
  wire::Records records;
  wire::Put* put = records.add_records()->mutable_put();
  put->mutable_key()->set_dir(1);
  put->mutable_key()->set_name("f");
  put->mutable_attr()->set_type(1);
  put->mutable_attr()->set_mode(0644);
  put->mutable_attr()->set_link_names(1);
  return records;
}

bool accepted(const wire::Records& records, std::string_view raw = {}) {
  auto message = decode_message(wire::KIND_RECORDS, records.SerializeAsString(), raw);
  EXPECT_TRUE(message || message.error().code == ErrorCode::protocol);
  return message.has_value();
}

TEST(Codec, RefusesImpossibleSwitchovers) {
  const auto accepted = [](const wire::Handover& part) {
    return decode_message(wire::KIND_HANDOVER, part.SerializeAsString(), {}).has_value();
  };
  wire::Handover grant;
  grant.set_kind(5);
  grant.mutable_token()->set_low(1);
  grant.mutable_reign()->set_low(2);
  EXPECT_TRUE(accepted(grant));
  using Change = void (*)(wire::Handover&);
  const Change changes[] = {
      [](wire::Handover& h) { h.set_kind(10); },
      [](wire::Handover& h) { h.clear_token(); },
      [](wire::Handover& h) { h.clear_reign(); },
      [](wire::Handover& h) { h.set_reason(std::string(reason_bytes_max + 1, 'r')); },
  };
  for (size_t i = 0; i < std::size(changes); ++i) {
    wire::Handover bad = grant;
    changes[i](bad);
    EXPECT_FALSE(accepted(bad)) << i;
  }
}

TEST(Codec, RefusesIllegalNames) {
  EXPECT_TRUE(accepted(one_put()));
  for (const std::string& name :
       {std::string(), std::string("."), std::string(".."), std::string("a/b"), std::string("/"),
        std::string("a\0b", 3), std::string(256, 'x')}) {
    auto records = one_put();
    records.mutable_records(0)->mutable_put()->mutable_key()->set_name(name);
    EXPECT_FALSE(accepted(records)) << name;
    auto removal = wire::Records();
    removal.add_records()->mutable_remove()->mutable_key()->set_dir(1);
    removal.mutable_records(0)->mutable_remove()->mutable_key()->set_name(name);
    EXPECT_FALSE(accepted(removal)) << name;
  }
  auto removal_of_root = wire::Records();
  removal_of_root.add_records()->mutable_remove()->mutable_key();
  EXPECT_FALSE(accepted(removal_of_root));
}

TEST(Codec, RefusesImpossibleAttributes) {
  using Change = void (*)(wire::Put&);
  const Change changes[] = {
      [](wire::Put& p) { p.mutable_attr()->set_type(0); },
      [](wire::Put& p) { p.mutable_attr()->set_type(8); },
      [](wire::Put& p) { p.mutable_attr()->set_mode(010000); },
      [](wire::Put& p) { p.mutable_attr()->set_mtime_nanoseconds(1'000'000'000); },
      [](wire::Put& p) { p.mutable_attr()->set_size(UINT64_MAX); },
      [](wire::Put& p) { p.mutable_attr()->set_rdev(5); },
      [](wire::Put& p) { p.mutable_attr()->set_target("x"); },
      [](wire::Put& p) { p.mutable_attr()->set_dir(5); },
      [](wire::Put& p) { p.mutable_attr()->set_transit(true); },
      [](wire::Put& p) { p.mutable_attr()->set_link_names(0); },
      [](wire::Put& p) { p.mutable_attr()->set_xattrs("garbage"); },
      [](wire::Put& p) { p.mutable_attr()->set_owner(std::string(300, 'o')); },
      [](wire::Put& p) { p.mutable_attr()->set_type(2); },  // a directory without id
      [](wire::Put& p) { p.mutable_attr()->set_type(3); },  // a symlink without target
      [](wire::Put& p) { p.mutable_key()->Clear(); },       // a file as the root
      [](wire::Put& p) { p.mutable_staged(); },             // an id of zero
      [](wire::Put& p) { p.mutable_copy()->set_name("x"); },
      [](wire::Put& p) { p.set_inline_bytes(1); },  // no bytes there
      [](wire::Put& p) { p.set_inline_bytes(UINT32_MAX); },
  };
  for (size_t i = 0; i < std::size(changes); ++i) {
    auto records = one_put();
    changes[i](*records.mutable_records(0)->mutable_put());
    EXPECT_FALSE(accepted(records)) << i;
  }
  EXPECT_FALSE(accepted(one_put(), "bytes of nobody"));
  auto symlink = one_put();
  symlink.mutable_records(0)->mutable_put()->mutable_attr()->set_type(3);
  for (const std::string& target : {std::string("a\0b", 3), std::string(4096, 't')}) {
    symlink.mutable_records(0)->mutable_put()->mutable_attr()->set_target(target);
    EXPECT_FALSE(accepted(symlink));
  }
  symlink.mutable_records(0)->mutable_put()->mutable_attr()->set_target("../../etc/passwd");
  EXPECT_TRUE(accepted(symlink));
}

TEST(Codec, RefusesXattrsThatAreNotCanonical) {
  const auto with = [](const std::vector<std::pair<std::string, std::string>>& list) {
    auto records = one_put();
    std::string blob;
    ByteWriter writer(blob);
    for (const auto& [name, value] : list) {
      writer.string(name);
      writer.string(value);
    }
    records.mutable_records(0)->mutable_put()->mutable_attr()->set_xattrs(blob);
    return accepted(records);
  };
  EXPECT_TRUE(with({{"user.a", "1"}, {"user.b", ""}}));
  EXPECT_FALSE(with({{"user.b", "1"}, {"user.a", ""}}));
  EXPECT_FALSE(with({{"user.a", "1"}, {"user.a", ""}}));
  EXPECT_FALSE(with({{"", "1"}}));
  EXPECT_FALSE(with({{std::string("a\0", 2), "1"}}));
  EXPECT_FALSE(with({{"user.a", std::string(65537, 'v')}}));
}

TEST(Codec, BoundsCountsBeforeAllocating) {
  std::string many;
  for (size_t i = 0; i < 1'000'000; ++i) many += std::string("\x0a\x00", 2);
  EXPECT_FALSE(decode_message(wire::KIND_RECORDS, many, {}));
  EXPECT_FALSE(decode_message(wire::KIND_DIRECTORY_LISTING, many, {}));
  Records records;
  records.records.resize(records_max + 1, Remove{{DirId{1}, "n"}});
  EXPECT_FALSE(encode_message(records));
  records.records.pop_back();
  EXPECT_TRUE(round_trip(records));
}

TEST(Codec, RefusesRangesThatOverflow) {
  const StageId stage{{1, 2}};
  EXPECT_FALSE(round_trip(StageHole{stage, UINT64_MAX, 1}));
  EXPECT_FALSE(round_trip(StageHole{stage, 5, UINT64_MAX - 2}));
  EXPECT_FALSE(round_trip(StageHole{stage, 5, 0}));
  EXPECT_FALSE(round_trip(StageCopy{stage, 0, INT64_MAX, 1}));
  EXPECT_FALSE(round_trip(StageData{stage, 0, ""}));
  EXPECT_FALSE(round_trip(StageData{stage, 0, std::string(limits::data_chunk_bytes_max + 1, 'x')}));
  EXPECT_FALSE(round_trip(StageData{StageId{}, 0, "x"}));
  EXPECT_TRUE(round_trip(StageData{stage, INT64_MAX - 1, "x"}));
}

TEST(Codec, ToleratesUnknownFieldsAndRefusesUnknownKinds) {
  wire::Ack ack;
  ack.set_cut(5);
  std::string body = ack.SerializeAsString();
  body += std::string("\xf8\x3f\x01", 3);  // field 1023, varint
  body += std::string(
      "\xfa\x3f\x03"
      "new",
      6);  // field 1023, bytes
  auto message = decode_message(wire::KIND_ACK, body, {});
  ASSERT_TRUE(message);
  EXPECT_EQ(std::get<Ack>(*message).cut.value, 5u);
  for (const int kind : {0, 4, 15, 39, 255}) {
    EXPECT_FALSE(decode_message(static_cast<uint8_t>(kind), body, {}));
  }
}

TEST(Codec, SurvivesDamage) {
  std::mt19937_64 rng(11);
  for (int round = 0; round < 20'000; ++round) {
    auto payload = encode_message(random_message(rng() % std::variant_size_v<Message>, rng));
    ASSERT_TRUE(payload);
    std::string raw = join(*payload);
    for (uint64_t flips = rng() % 4; flips != 0 && !payload->body.empty(); --flips) {
      payload->body[rng() % payload->body.size()] = static_cast<char>(rng());
    }
    payload->body.resize(rng() % 3 == 0 ? rng() % (payload->body.size() + 1)
                                        : payload->body.size());
    (void)decode_message(payload->kind, payload->body, raw);
  }
}

}  // namespace
}  // namespace repl::transport

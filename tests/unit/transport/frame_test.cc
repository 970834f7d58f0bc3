#include "transport/frame.h"

#include <gtest/gtest.h>
#include <zstd.h>

#include <cstring>
#include <random>

#include "transport/backoff.h"
#include "transport/banner.h"
#include "transport/entropy.h"
#include "transport/inbox.h"
#include "transport/link_meter.h"
#include "transport/outbox.h"
#include "transport/pieces.h"
#include "transport/token_bucket.h"

namespace repl::transport {
namespace {

struct Got {
  uint8_t kind;
  std::string body;
  std::string raw;
};

struct Sink {
  std::vector<Got> frames;
  FrameReader reader{
      [this](const FrameHeader& header, std::string_view body, std::string_view raw) {
        frames.push_back({header.kind, std::string(body), std::string(raw)});
        return Status{};
      }};
};

std::string noise(std::mt19937_64& rng, size_t size) {
  std::string out(size, '\0');
  for (char& c : out) c = static_cast<char>(rng());
  return out;
}

Payload make_payload(uint8_t kind, std::string body, std::string raw) {
  Payload payload{kind, std::move(body), {}, raw.size()};
  if (!raw.empty()) payload.raw.push_back(std::move(raw));
  return payload;
}

TEST(Frame, SurvivesAnyMixtureOfSizesAndPieces) {
  std::mt19937_64 rng(3);
  for (const Gear& gear : gears) {
    FrameWriter writer(gear.compression);
    Sink sink;
    std::vector<Got> sent;
    std::string wire;
    for (int burst = 0; burst < 60; ++burst) {
      for (uint64_t n = 1 + rng() % 12; n != 0; --n) {
        const size_t size = rng() % (burst % 10 == 0 ? 700'000 : 9000);
        std::string raw = rng() % 2 == 0 ? noise(rng, size) : std::string(size, 'r');
        Payload payload =
            make_payload(16 + rng() % 20, std::string(rng() % 50, 'b'), std::move(raw));
        sent.push_back({payload.kind, payload.body, payload.raw.empty() ? "" : payload.raw[0]});
        writer.add(payload, rng() % 2);
      }
      wire += writer.finish();
      // Everything of a flushed burst is there at once.
      while (!wire.empty()) {
        const size_t piece = std::min<size_t>(wire.size(), 1 + rng() % 100'000);
        ASSERT_TRUE(sink.reader.feed(std::string_view(wire).substr(0, piece)));
        wire.erase(0, piece);
      }
      ASSERT_EQ(sink.frames.size(), sent.size());
    }
    for (size_t i = 0; i < sent.size(); ++i) {
      ASSERT_EQ(sink.frames[i].kind, sent[i].kind);
      ASSERT_EQ(sink.frames[i].body, sent[i].body);
      ASSERT_EQ(sink.frames[i].raw, sent[i].raw);
    }
  }
}

TEST(Frame, SharesHistoryAndPassesNoiseThrough) {
  std::mt19937_64 rng(4);
  FrameWriter writer(gears[gear_initial].compression);
  const std::string text = [&] {
    std::string words;
    while (words.size() < 20'000) words += std::to_string(rng() % 100'000) + " ";
    return words;
  }();
  writer.add(make_payload(25, "b", text), 1);
  const size_t first = writer.finish().size();
  writer.add(make_payload(25, "b", text), 1);
  EXPECT_LT(writer.finish().size(), first / 20) << "the second copy is a reference to the first";
  EXPECT_TRUE(looks_incompressible(noise(rng, 65536)));
  EXPECT_FALSE(looks_incompressible(text));
  EXPECT_FALSE(looks_incompressible(std::string(65536, '\0')));
  writer.add(make_payload(25, "b", noise(rng, 65536)), 1);
  const std::string_view wire = writer.finish();
  EXPECT_EQ(wire[8], static_cast<char>(Coding::plain));
  EXPECT_LT(wire.size(), 65536u + 64);
}

std::string text(std::mt19937_64& rng, size_t size) {
  std::string words;
  while (words.size() < size) words += std::to_string(rng() % 100'000) + " ";
  return words;
}

TEST(Frame, ChangesItsCompressionInTheMiddleOfTheStream) {
  std::mt19937_64 rng(5);
  FrameWriter writer(gears[gear_initial].compression);
  Sink sink;
  std::vector<std::string> sent;
  // Several frames in one burst, before and behind a change; to none and back, too.
  for (int burst = 0; burst < 100; ++burst) {
    for (int n = 0; n < 3; ++n) {
      if (rng() % 3 == 0) writer.use(gears[rng() % gears.size()].compression);
      if (rng() % 20 == 0) writer.rest();
      const size_t size = rng() % 40'000;
      sent.push_back(rng() % 4 == 0 ? noise(rng, size) : text(rng, size));
      writer.add(make_payload(25, "b", sent.back()), 1);
    }
    ASSERT_TRUE(sink.reader.feed(writer.finish()));
    ASSERT_EQ(sink.frames.size(), sent.size());
  }
  for (size_t i = 0; i < sent.size(); ++i) ASSERT_EQ(sink.frames[i].raw, sent[i]);
}

TEST(Frame, FindsRepeatsFarApartWhereTheLinkIsTheLimit) {
  std::mt19937_64 rng(6);
  std::vector<std::string> chunks;
  for (int i = 0; i < 128; ++i) chunks.push_back(text(rng, limits::data_chunk_bytes_max - 100));
  const auto second_time = [&](const Compression& compression) {
    FrameWriter writer(compression);
    size_t bytes = 0;
    for (int round = 0; round < 2; ++round) {
      for (const std::string& chunk : chunks) {
        writer.add(make_payload(25, "b", chunk), 1);
        const size_t wire = writer.finish().size();
        if (round == 1) bytes += wire;
      }
    }
    return bytes;
  };
  const size_t all = chunks.size() * chunks[0].size();
  EXPECT_GT(second_time(gears[1].compression), all / 5) << "this test shows nothing";
  EXPECT_LT(second_time(gears[2].compression), all / 100);
}

TEST(Frame, ARestingStreamGivesItsMemoryBackOnBothSides) {
  std::mt19937_64 rng(7);
  FrameWriter writer(gears.back().compression);
  Sink sink;
  const size_t idle = sink.reader.memory_bytes();
  const auto send = [&](std::string raw) {
    writer.add(make_payload(25, "", std::move(raw)), 1);
    ASSERT_TRUE(sink.reader.feed(writer.finish()));
  };
  send("ping");
  EXPECT_EQ(sink.reader.memory_bytes(), idle) << "a stream was opened for nothing";
  send(text(rng, 100'000));
  EXPECT_GT(sink.reader.memory_bytes(), size_t{1} << limits::zstd_window_log_max);
  EXPECT_LT(sink.reader.memory_bytes(), (size_t{1} << limits::zstd_window_log_max) + (1 << 20));
  writer.rest();
  send("ping");
  EXPECT_EQ(sink.reader.memory_bytes(), idle);
  writer.rest();
  const std::string later = text(rng, 100'000);
  send(later);
  ASSERT_EQ(sink.frames.size(), 4u);
  EXPECT_EQ(sink.frames[3].raw, later);
}

TEST(Entropy, SmallContentsAreJudgedTogetherAndLargeOnesAlone) {
  std::mt19937_64 rng(8);
  const std::string words = text(rng, 65'536);
  std::vector<std::string> pieces;
  for (int i = 0; i < 100; ++i) pieces.push_back(noise(rng, 700));
  EXPECT_EQ(incompressible_bytes(pieces), 70'000u);
  pieces.push_back(words);
  EXPECT_EQ(incompressible_bytes(pieces), 70'000u) << "the text is no noise";
  pieces.push_back(noise(rng, 30'000));
  EXPECT_EQ(incompressible_bytes(pieces), 100'000u);
  std::vector<std::string> small_texts;
  for (int i = 0; i < 100; ++i) small_texts.push_back(words.substr(i * 600, 600));
  EXPECT_EQ(incompressible_bytes(small_texts), 0u);
  EXPECT_EQ(incompressible_bytes(std::vector<std::string>{noise(rng, 500), "", "x"}), 0u)
      << "too little to tell";
  // One content of which half is noise still pays.
  EXPECT_FALSE(looks_incompressible(noise(rng, 32'768) + words.substr(0, 32'768)));
}

std::string segment(uint32_t wire, uint32_t plain, uint32_t coding, std::string_view content) {
  std::string out(12, '\0');
  std::memcpy(out.data(), &wire, 4);
  std::memcpy(out.data() + 4, &plain, 4);
  std::memcpy(out.data() + 8, &coding, 4);
  return out.append(content);
}

TEST(Frame, RefusesHostileSegments) {
  const auto refused = [](const std::string& bytes) {
    Sink sink;
    auto status = sink.reader.feed(bytes);
    return !status && status.error().code == ErrorCode::protocol;
  };
  EXPECT_TRUE(refused(segment(UINT32_MAX, UINT32_MAX, 0, {})));
  EXPECT_TRUE(refused(segment(10, UINT32_MAX, 1, {})));
  EXPECT_TRUE(refused(segment(4, 5, 0, "xxxx")));
  EXPECT_TRUE(refused(segment(4, 4, 2, "xxxx")));
  EXPECT_TRUE(refused(segment(4, 4, 0x101, "xxxx")));
  EXPECT_TRUE(refused(segment(4, 4, 0, "xxxx"))) << "shorter than a frame header";
  EXPECT_TRUE(refused(segment(4, 4, 1, "xxxx"))) << "not zstd";
  const auto frame = [](uint32_t payload, uint32_t body, uint32_t rest, size_t have) {
    std::string out(12 + have, '\0');
    std::memcpy(out.data(), &payload, 4);
    std::memcpy(out.data() + 4, &body, 4);
    std::memcpy(out.data() + 8, &rest, 4);
    return segment(static_cast<uint32_t>(out.size()), static_cast<uint32_t>(out.size()), 0, out);
  };
  EXPECT_FALSE(refused(frame(3, 2, 20, 3)));
  EXPECT_TRUE(refused(frame(4, 2, 20, 3)));
  EXPECT_TRUE(refused(frame(3, 4, 20, 3)));
  EXPECT_TRUE(refused(frame(3, 2, 0x0300 | 20, 3))) << "lane 3";
  EXPECT_TRUE(refused(frame(3, 2, 0x10000 | 20, 3))) << "reserved bits";
  EXPECT_TRUE(refused(frame(UINT32_MAX, 2, 20, 3)));
}

TEST(Frame, RefusesBombsAndHugeWindows) {
  const std::string zeros(64 << 20, '\0');
  std::string packed(ZSTD_compressBound(zeros.size()), '\0');
  packed.resize(ZSTD_compress(packed.data(), packed.size(), zeros.data(), zeros.size(), 1));
  Sink bomb;
  EXPECT_FALSE(bomb.reader.feed(segment(static_cast<uint32_t>(packed.size()), 1000, 1, packed)));
  ZSTD_CCtx* context = ZSTD_createCCtx();
  ZSTD_CCtx_setParameter(context, ZSTD_c_windowLog, limits::zstd_window_log_max + 1);
  std::string wide(ZSTD_compressBound(zeros.size()), '\0');
  ZSTD_inBuffer in{zeros.data(), zeros.size(), 0};
  ZSTD_outBuffer out{wide.data(), wide.size(), 0};
  ZSTD_compressStream2(context, &out, &in, ZSTD_e_flush);
  ZSTD_freeCCtx(context);
  wide.resize(out.pos);
  Sink window;
  EXPECT_FALSE(window.reader.feed(segment(static_cast<uint32_t>(wide.size()), 4096, 1, wide)));
}

TEST(Banner, IsReadInPiecesAndNamesWhatIsWrong) {
  for (size_t cut = 0; cut <= make_banner().size(); ++cut) {
    BannerReader reader;
    const std::string whole = make_banner() + "rest";
    std::string_view first = std::string_view(whole).substr(0, cut);
    std::string_view second = std::string_view(whole).substr(cut);
    auto done = reader.feed(first);
    ASSERT_TRUE(done);
    if (!*done) {
      done = reader.feed(second);
      ASSERT_TRUE(done && *done);
      EXPECT_EQ(second, "rest");
    }
  }
  const auto problem = [](std::string_view text) {
    BannerReader reader;
    auto done = reader.feed(text);
    return done ? Error{} : done.error();
  };
  EXPECT_EQ(problem("repl/2 x\n").code, ErrorCode::unsupported);
  EXPECT_EQ(problem("Welcome").code, ErrorCode::protocol);
  EXPECT_NE(problem("\x1b[1mWelcome").message.find("\\x1b"), std::string::npos);
  EXPECT_EQ(problem("rep\n").code, ErrorCode::protocol);
  EXPECT_EQ(problem("repl/1" + std::string(300, ' ')).code, ErrorCode::protocol);
}

[[nodiscard]] bool push(Outbox& outbox, Payload payload, Lane lane) {
  std::vector<Payload> frames;
  frames.push_back(std::move(payload));
  return outbox.push(frames, lane);
}

TEST(Outbox, CreditBlocksBulkButNotPrompt) {
  Outbox outbox;
  std::vector<Outbox::Item> out;
  const auto chunk = [] {
    return make_payload(25, "b", std::string(limits::data_chunk_bytes_max, 'x'));
  };
  size_t sent = 0;
  for (;;) {
    if (!push(outbox, chunk(), Lane::bulk)) break;
    out.clear();
    outbox.take(1 << 30, true, out);
    for (const auto& item : out) sent += frame_cost(item.payload.size());
  }
  EXPECT_LE(sent, limits::credit_bytes_initial);
  EXPECT_FALSE(outbox.ready(Lane::bulk));
  EXPECT_TRUE(push(outbox, make_payload(31, "ack", ""), Lane::prompt));
  out.clear();
  outbox.take(1 << 30, true, out);
  ASSERT_EQ(out.size(), 1u);
  EXPECT_EQ(out[0].lane, Lane::prompt);
  EXPECT_FALSE(outbox.add_credit(Lane::bulk, limits::credit_bytes_max)) << "more than anybody may";
  EXPECT_TRUE(outbox.add_credit(Lane::bulk, sent));
  EXPECT_TRUE(outbox.ready(Lane::bulk));
}

TEST(Outbox, LanesOvertakeInTheirOrderAndHaveCreditOfTheirOwn) {
  Outbox outbox;
  const auto put = [&](Lane lane, size_t bytes) {
    return push(outbox, make_payload(25, "b", std::string(bytes, 'x')), lane);
  };
  std::vector<Outbox::Item> out;
  // All but the last of what credit allows has left.
  while (outbox.writable(Lane::background) == limits::lane_queue_bytes_max) {
    ASSERT_TRUE(put(Lane::background, limits::data_chunk_bytes_max));
    outbox.take(1 << 30, true, out);
  }
  out.clear();
  EXPECT_FALSE(outbox.newly_blocked(Lane::background, true)) << "there is credit";
  ASSERT_TRUE(put(Lane::background, 1000));
  ASSERT_TRUE(put(Lane::background, limits::data_chunk_bytes_max * 4));
  ASSERT_TRUE(put(Lane::bulk, 1000));
  ASSERT_TRUE(put(Lane::prompt, 1000));
  outbox.take(1 << 30, true, out);
  ASSERT_EQ(out.size(), 3u) << "the last background frame lacks credit";
  EXPECT_EQ(out[0].lane, Lane::prompt);
  EXPECT_EQ(out[1].lane, Lane::bulk);
  EXPECT_EQ(out[2].lane, Lane::background);
  EXPECT_TRUE(outbox.drained(Lane::bulk));
  EXPECT_FALSE(outbox.drained(Lane::background));
  EXPECT_FALSE(outbox.ready(Lane::background));
  EXPECT_TRUE(outbox.newly_blocked(Lane::background, false));
  EXPECT_FALSE(outbox.newly_blocked(Lane::background, false)) << "said once";
  EXPECT_FALSE(outbox.newly_blocked(Lane::bulk, true));
  ASSERT_TRUE(put(Lane::bulk, 1000));
  EXPECT_TRUE(outbox.ready(Lane::bulk));
  EXPECT_FALSE(outbox.add_credit(Lane::prompt, 1));
  EXPECT_TRUE(outbox.add_credit(Lane::background, 1 << 20));
  EXPECT_TRUE(outbox.ready(Lane::background));
}

TEST(Outbox, AsksItsOwnerForNoMoreThanCanLeaveSoon) {
  Outbox outbox;
  size_t waiting = 0;
  while (push(outbox, make_payload(25, "b", std::string(100'000, 'x')), Lane::bulk)) {
    waiting += 100'000;
  }
  EXPECT_LE(waiting, limits::lane_queue_bytes_max + 100'000);
  EXPECT_GE(waiting, limits::lane_queue_bytes_max - 100'000);
  std::vector<Outbox::Item> out;
  outbox.take(300'000, true, out);
  EXPECT_GT(outbox.writable(Lane::bulk), 100'000u);
}

TEST(Inbox, TheWindowDoublesOnlyWhileTheOwnerKeepsUp) {
  Inbox inbox;
  const auto outstanding = [&] {  // what the peer may still send, as far as it has been told
    size_t bytes = 0;
    Inbox probe = inbox;
    while (probe.push(VerifyRequest{}, Lane::bulk, 1 << 20)) bytes += 1 << 20;
    return bytes;
  };
  EXPECT_EQ(outstanding(), limits::credit_bytes_initial);
  ASSERT_TRUE(inbox.push(VerifyRequest{}, Lane::bulk, limits::credit_bytes_initial / 2));
  inbox.widen(Lane::bulk);
  EXPECT_FALSE(inbox.credit_due()) << "the owner is slow";
  static_cast<void>(inbox.take());
  uint64_t window = limits::credit_bytes_initial;
  uint64_t given = window / 2 - inbox.take_credit(Lane::bulk);  // it was sent half a window
  for (; window < limits::credit_bytes_max; window *= 2) {
    inbox.widen(Lane::bulk);
    ASSERT_TRUE(inbox.credit_due(Lane::bulk));
    given += inbox.take_credit(Lane::bulk);
  }
  inbox.widen(Lane::bulk);
  EXPECT_FALSE(inbox.credit_due()) << "as wide as it gets";
  EXPECT_EQ(given, limits::credit_bytes_max - limits::credit_bytes_initial);
  EXPECT_EQ(outstanding(), limits::credit_bytes_max);
}

TEST(LinkMeter, SizesFollowTheRateOfTheLink) {
  using std::chrono::milliseconds;
  LinkMeter meter;
  EXPECT_EQ(meter.write_bytes(), limits::write_bytes_initial);
  const auto run = [&](size_t bytes_per_ms) {
    for (int i = 0; i < 400; ++i) {
      meter.add({.wire_bytes = bytes_per_ms * 5, .waiting = milliseconds(5)});
    }
  };
  run(1'250);  // 10 Mbit/s
  EXPECT_EQ(meter.write_bytes(), limits::write_bytes_min);
  EXPECT_EQ(meter.unsent_bytes(), limits::unsent_bytes_min);
  run(12'500);  // 100 Mbit/s
  EXPECT_NEAR(static_cast<double>(meter.write_bytes()), 125e3, 5e3);
  run(1'250'000);
  EXPECT_EQ(meter.write_bytes(), limits::write_bytes_max);
  EXPECT_EQ(meter.unsent_bytes(), limits::unsent_bytes_max);
}

TEST(Pieces, AContentLeavesInSmallFramesThatSayTheSame) {
  std::mt19937_64 rng(8);
  const std::string bytes = noise(rng, 100'000);
  const StageData whole{.stage = StageId{{1, 2}}, .offset = 7, .bytes = bytes};
  auto frames = encode_pieces(whole, 16'384);
  ASSERT_TRUE(frames);
  EXPECT_EQ(frames->size(), 7u);
  std::string got;
  for (const Payload& frame : *frames) {
    EXPECT_LE(frame.raw_bytes, 16'384u);
    auto piece = decode_message(frame.kind, frame.body, frame.raw.at(0));
    ASSERT_TRUE(piece);
    EXPECT_EQ(std::get<StageData>(*piece).stage, whole.stage);
    EXPECT_EQ(std::get<StageData>(*piece).offset, 7 + got.size());
    got += std::get<StageData>(*piece).bytes;
  }
  EXPECT_EQ(got, bytes);
  EXPECT_EQ(encode_pieces(whole, 1 << 20)->size(), 1u);
}

TEST(TokenBucket, KeepsTheRate) {
  MonotonicTime now{};
  TokenBucket bucket(1'000'000, now);
  uint64_t sent = 0;
  while (now < MonotonicTime{} + std::chrono::seconds(10)) {
    const Duration wait = bucket.wait(now);
    if (wait > Duration::zero()) {
      now += wait;
      continue;
    }
    bucket.charge(40'000, now);
    sent += 40'000;
  }
  EXPECT_NEAR(static_cast<double>(sent), 10e6, 0.2e6);
  TokenBucket open(0, now);
  open.charge(1ull << 40, now);
  EXPECT_EQ(open.wait(now), Duration::zero());
}

TEST(Backoff, GrowsToItsBoundAndSpreads) {
  Backoff backoff(1);
  Backoff other(2);
  bool differs = false;
  for (int i = 0; i < 20; ++i) {
    const int64_t step =
        std::min<int64_t>(int64_t{limits::backoff_ms_min} << i, limits::backoff_ms_max);
    const Duration wait = backoff.next();
    EXPECT_GE(wait, std::chrono::milliseconds(step / 2));
    EXPECT_LE(wait, std::chrono::milliseconds(step));
    differs |= wait != other.next();
  }
  EXPECT_TRUE(differs);
  const auto short_max = std::chrono::milliseconds(limits::backoff_reached_ms_max);
  for (int i = 0; i < 20; ++i) EXPECT_LE(backoff.next(limits::backoff_reached_ms_max), short_max);
  EXPECT_LE(backoff.next(), 2 * short_max) << "what was not waited for does not count";
  backoff.reset();
  EXPECT_LE(backoff.next(), std::chrono::milliseconds(limits::backoff_ms_min));
}

}  // namespace
}  // namespace repl::transport

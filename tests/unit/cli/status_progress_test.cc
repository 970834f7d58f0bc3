#include <gtest/gtest.h>

#include "cli/progress.h"
#include "cli/status_view.h"

namespace repl::cli {
namespace {

using namespace std::chrono_literals;

TreeStatus sample() {
  TreeStatus s{.version = "0.1.0", .tree = "idm", .node = "mgmt1", .root = "/etc/idm"};
  s.role = "primary";
  s.state = "synced";
  s.epoch = 2;
  s.reign = "00112233445566778899aabbccddeeff";
  s.cut = UINT64_MAX;
  s.unordered_cuts = 1;
  s.incomplete = true;
  s.watch_mode = "inotify";
  s.watch_why = "overlayfs";
  s.holds = {"root is empty"};
  s.held_keys = {"a\\x0ab", "\"quoted\""};
  s.held_keys_total = 5;
  s.errors = {"disk full"};
  s.entries = 12;
  s.bytes = 5000;
  PeerStatus peer{.name = "mgmt2", .connected = true, .phase = "catching up", .lag_seconds = 1.25};
  peer.lag_paths = 3;
  peer.lag_bytes = 2048;
  peer.loose_since_cut = 6;
  peer.large_files = 1;
  peer.held_back = 2;
  peer.hot_files = 2;
  peer.acked_applied_cut = 8;
  peer.acked_durable_cut = 7;
  peer.progress = TransferProgress{1, 2, 1024, 2048};
  peer.last_error = "connection refused";
  peer.wire.bytes_out = 4096;
  peer.wire.zstd_level = -5;  // of a daemon of another version
  peer.wire.zstd_window_bytes = 64 << 20;
  peer.wire.bottleneck = "link";
  peer.bandwidth_limit = 1 << 20;
  peer.transport = "tls";
  s.peers = {peer, PeerStatus{.name = "mgmt3"}};
  s.last_verification = Verification{true, true, -5, 7, "mgmt2"};
  s.guard = "read-only";
  s.io_backend = "io_uring";
  s.started_unix_seconds = 1;
  return s;
}

TEST(Status, JsonRoundTrip) {
  const auto back = status_from_json(to_json(sample()));
  ASSERT_TRUE(back.has_value());
  EXPECT_EQ(*back, sample());
  EXPECT_EQ(*status_from_json(to_json(TreeStatus{})), TreeStatus{});
  EXPECT_EQ(to_json(sample()).find('\n'), std::string::npos);
}

TEST(Status, JsonOfAnotherVersionOrOfNobody) {
  const auto partial = status_from_json(
      R"({"tree":"idm","new_key":[1],"cut":"seven","peers":[{"name":"x"},7],"errors":"none"})");
  ASSERT_TRUE(partial.has_value());
  EXPECT_EQ(partial->tree, "idm");
  EXPECT_EQ(partial->cut, 0u);
  ASSERT_EQ(partial->peers.size(), 2u);
  EXPECT_EQ(partial->peers[0].name, "x");
  EXPECT_FALSE(status_from_json("[]").has_value());
  EXPECT_FALSE(status_from_json("{").has_value());
}

TEST(Status, ArbitraryBytesDoNotBreakJson) {
  TreeStatus s;
  for (int i = 1; i < 256; ++i) s.root += static_cast<char>(i);
  EXPECT_TRUE(status_from_json(to_json(s)).has_value());
}

TEST(Status, Render) {
  const std::string text = render(sample(), {.color = false, .now_unix_seconds = 55});
  EXPECT_EQ(text.find('\x1b'), std::string::npos);
  for (const char* part :
       {"idm  primary on mgmt1, synced", "/etc/idm: 12 entries, 4.9 KiB", "(1 cut not exact)",
        "cut       not whole: part of what the primary had is still to come",
        "loose since cut 6: 1 large file under way, 2 paths of removals and replacements behind",
        "2 versions of files that did not hold still, sent as read", "inotify (overlayfs)",
        "held      root is empty", "held      5 paths, not removed on the peers:", "... and 3 more",
        "error     disk full",
        "peer      mgmt2 (tls): catching up, behind by 1.2 s, 3 paths, 2.0 KiB, cut 7 durable",
        "sending 1 of 2 files, 1.0 KiB of 2.0 KiB", "limited to 1.0 MiB/s",
        "; the link is the limit, zstd level -5", "last error: connection refused",
        "peer      mgmt3: away",
        "verified  equal with mgmt2 at cut 7, 1 m 0 s ago, all bytes read"}) {
    EXPECT_NE(text.find(part), std::string::npos) << part << "\n" << text;
  }
  EXPECT_NE(render(sample(), {.color = true}).find('\x1b'), std::string::npos);
  TreeStatus secondary = sample();
  secondary.role = "secondary";
  const std::string drifted = render(secondary, {.color = false});
  EXPECT_NE(drifted.find("5 paths wait for a decision (`repl approve idm`"), std::string::npos);
}

TEST(Human, Numbers) {
  EXPECT_EQ(human_bytes(0), "0 B");
  EXPECT_EQ(human_bytes(1023), "1023 B");
  EXPECT_EQ(human_bytes(1024), "1.0 KiB");
  EXPECT_EQ(human_bytes((1 << 20) - 1), "1.0 MiB");
  EXPECT_EQ(human_bytes(UINT64_MAX), "16.0 EiB");
  EXPECT_EQ(human_seconds(0.0004), "0 ms");
  EXPECT_EQ(human_seconds(0.25), "250 ms");
  EXPECT_EQ(human_seconds(59.94), "59.9 s");
  EXPECT_EQ(human_seconds(59.96), "1 m 0 s");
  EXPECT_EQ(human_seconds(3600 * 2 + 300), "2 h 5 m");
  EXPECT_EQ(human_seconds(86400 * 3), "3 d 0 h");
  EXPECT_EQ(human_seconds(-1), "?");
}

class ManualClock final : public Clock {
 public:
  [[nodiscard]] MonotonicTime now() const override { return time; }
  [[nodiscard]] int64_t wall_ns() const override { return 0; }
  MonotonicTime time{};
};

TEST(Progress, PlainLines) {
  ManualClock clock;
  std::string out;
  ProgressLine line(clock, ProgressStyle::plain, 80, [&](std::string_view text) { out += text; });
  line.update({0, 4, 0, 4096});
  EXPECT_EQ(out, "") << "nothing in the first seconds";
  for (int i = 1; i <= 100; ++i) {
    clock.time += 100ms;
    line.update({1, 4, static_cast<uint64_t>(i) * 10, 4096});
  }
  EXPECT_EQ(out, "1/4 files  1000 B/4.0 KiB  24%  100 B/s  31.0 s left\n");
  out.clear();
  line.finish({4, 4, 4096, 4096});
  EXPECT_EQ(out, "4/4 files  4.0 KiB/4.0 KiB  100%  in 10.0 s\n");
}

TEST(Progress, TerminalIsRedrawnAndCut) {
  ManualClock clock;
  std::string out;
  ProgressLine line(clock, ProgressStyle::terminal, 12,
                    [&](std::string_view text) { out += text; });
  clock.time += 100ms;
  line.update({1, 4, 1, 4096});
  EXPECT_EQ(out, "\r\x1b[K1/4 files  ");
  clock.time += 50ms;
  line.update({2, 4, 2, 4096});
  EXPECT_EQ(out, "\r\x1b[K1/4 files  ") << "not more often than ten times a second";
  line.finish({4, 4, 4096, 4096});
  EXPECT_TRUE(out.ends_with("\n"));
}

TEST(Progress, BytesAlone) {
  ManualClock clock;
  std::string out;
  ProgressLine line(clock, ProgressStyle::plain, 80, [&](std::string_view text) { out += text; });
  line.finish({.bytes_done = 1024, .bytes_total = 4096});
  EXPECT_EQ(out, "1.0 KiB/4.0 KiB  25%  in 0 ms\n");
}

TEST(Progress, EventsForPrograms) {
  ManualClock clock;
  std::string out;
  ProgressLine line(clock, ProgressStyle::json, 80, [&](std::string_view text) { out += text; });
  for (int i = 1; i <= 10; ++i) {
    clock.time += 100ms;
    line.update({1, 4, static_cast<uint64_t>(i) * 10, 4096});
  }
  EXPECT_EQ(std::count(out.begin(), out.end(), '\n'), 1);
  EXPECT_NE(out.find(R"("event":"progress")"), std::string::npos) << out;
  EXPECT_NE(out.find(R"("bytes_done":100)"), std::string::npos) << out;
  out.clear();
  line.finish({4, 4, 4096, 4096});
  EXPECT_EQ(std::count(out.begin(), out.end(), '\n'), 1);
  EXPECT_NE(out.find(R"("files_done":4)"), std::string::npos) << out;
}

TEST(Progress, StalledAndNeverAHundredTooEarly) {
  ManualClock clock;
  std::string out;
  ProgressLine line(clock, ProgressStyle::plain, 80, [&](std::string_view text) { out = text; });
  for (int i = 0; i < 400; ++i) {
    clock.time += 100ms;
    line.update({1, 2, 999'999, 1'000'000});
  }
  EXPECT_NE(out.find("99%"), std::string::npos) << out;
  EXPECT_NE(out.find("stalled"), std::string::npos) << out;
}

}  // namespace
}  // namespace repl::cli

// What the wire costs: encoding and decoding records, and the frame stream in each gear.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <random>
#include <string>
#include <vector>

#include "transport/codec.h"
#include "transport/frame.h"

namespace repl::transport {
namespace {

Records small_files(size_t count, size_t bytes) {
  Records records;
  for (size_t i = 0; i < count; ++i) {
    Put put{{DirId{17}, "file-" + std::to_string(i)}, {}, ContentInline{std::string(bytes, 'c')}};
    put.attr.type = FileType::regular;
    put.attr.mode = 0644;
    put.attr.size = bytes;
    put.attr.mtime = {1'700'000'000, 123'456'789};
    put.attr.content = Digest{{i, i + 1}};
    records.records.emplace_back(std::move(put));
  }
  return records;
}

void records_round_trip(benchmark::State& state) {
  const Records records = small_files(static_cast<size_t>(state.range(0)), 1024);
  for (auto _ : state) {
    auto payload = encode_message(records);
    std::string raw;
    for (const std::string& piece : payload->raw) raw += piece;
    auto message = decode_message(payload->kind, payload->body, raw);
    benchmark::DoNotOptimize(message);
  }
  state.SetItemsProcessed(state.iterations() * state.range(0));
}
BENCHMARK(records_round_trip)->Arg(1)->Arg(256)->Arg(4096 / 8);

// 64 MiB in chunks as contents travel. Text: lines of a log, of which half stood, 64 KiB at a time,
// somewhere before, 4 MiB away or more.
std::vector<Payload> chunks(bool text) {
  constexpr size_t page_bytes = 64 * 1024;
  constexpr size_t pages_apart = 64;
  std::mt19937_64 rng(1);
  std::vector<std::string> words;
  for (int i = 0; i < 4000; ++i) {
    std::string word(2 + rng() % 9, '\0');
    for (char& c : word) c = "etaoinshrdlucmfwyp"[rng() % 18];
    words.push_back(std::move(word));
  }
  std::vector<std::string> pages;
  const auto fresh = [&] {
    std::string page;
    while (text && page.size() < page_bytes) {
      page += "2026-11-22T" + std::to_string(pages.size()) + " " + words[rng() % 40];
      for (int i = 0; i < 10; ++i) page += " " + words[rng() % (1 + rng() % words.size())];
      page += " " + std::to_string(rng()) + "\n";
    }
    page.resize(page_bytes);
    if (!text) std::ranges::generate(page, [&] { return static_cast<char>(rng()); });
    return page;
  };
  while (pages.size() < 1024) {
    const bool old = text && pages.size() > pages_apart && rng() % 2 == 0;
    pages.push_back(old ? pages[rng() % (pages.size() - pages_apart)] : fresh());
  }
  std::vector<Payload> all;
  for (size_t page = 0; page < pages.size(); page += 4) {
    std::string bytes;
    for (size_t i = page; i < page + 4; ++i) bytes += pages[i];
    all.push_back(*encode_message(StageData{StageId{{1, 1}}, page * page_bytes, std::move(bytes)}));
  }
  return all;
}
const std::vector<Payload>& corpus(bool text) {
  static const std::vector<Payload> texts = chunks(true);
  static const std::vector<Payload> noise = chunks(false);
  return text ? texts : noise;
}

// range(0): the gear; range(1): 0 text, 1 random bytes. What the writer, and the reader, take.
void pack(benchmark::State& state) {
  const auto& payloads = corpus(state.range(1) == 0);
  FrameWriter writer(gears.at(static_cast<size_t>(state.range(0))).compression);
  size_t next = 0;
  size_t plain = 0;
  size_t wire = 0;
  for (auto _ : state) {
    writer.add(payloads[next++ % payloads.size()], 1);
    wire += writer.finish().size();
    plain += writer.burst().plain_bytes;
  }
  state.SetBytesProcessed(static_cast<int64_t>(plain));
  state.counters["ratio"] = static_cast<double>(plain) / static_cast<double>(wire);
}
BENCHMARK(pack)->ArgsProduct({{0, 1, 2, 3, 4, 5}, {0, 1}})->Iterations(256);

void unpack(benchmark::State& state) {
  const auto& payloads = corpus(state.range(1) == 0);
  FrameWriter writer(gears.at(static_cast<size_t>(state.range(0))).compression);
  std::vector<std::string> wires;
  for (const Payload& payload : payloads) {
    writer.add(payload, 1);
    wires.emplace_back(writer.finish());
  }
  FrameReader reader(
      [](const FrameHeader&, std::string_view, std::string_view) { return Status{}; });
  size_t next = 0;
  for (auto _ : state) {
    if (!reader.feed(wires[next++])) state.SkipWithError("the stream broke");
  }
  state.SetBytesProcessed(static_cast<int64_t>(reader.plain_bytes()));
  state.counters["MiB"] = static_cast<double>(reader.memory_bytes()) / (1 << 20);
}
BENCHMARK(unpack)->ArgsProduct({{0, 1, 2, 3, 4, 5}, {0, 1}})->Iterations(256);

}  // namespace
}  // namespace repl::transport

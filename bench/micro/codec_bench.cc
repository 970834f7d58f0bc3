// What the wire costs: encoding and decoding records, and the frame stream with compression.
#include <benchmark/benchmark.h>

#include <random>

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

// range(0): zstd level; range(1): 1 for bytes that do not compress.
void stream(benchmark::State& state) {
  std::mt19937_64 rng(1);
  std::string bytes(limits::data_chunk_bytes_max, '\0');
  for (char& c : bytes)
    c = static_cast<char>(state.range(1) != 0 ? rng() : "etaoin shrdlu"[rng() % 13]);
  auto payload = encode_message(StageData{StageId{{1, 1}}, 0, bytes});
  FrameWriter writer(gears[static_cast<size_t>(state.range(0))].compression);
  FrameReader reader(
      [](const FrameHeader&, std::string_view, std::string_view) { return Status{}; });
  for (auto _ : state) {
    writer.add(*payload, 1);
    if (!reader.feed(writer.finish())) state.SkipWithError("the stream broke");
  }
  state.SetBytesProcessed(state.iterations() * static_cast<int64_t>(bytes.size()));
}
BENCHMARK(stream)->ArgsProduct({{0, 1, 3}, {0, 1}});

}  // namespace
}  // namespace repl::transport

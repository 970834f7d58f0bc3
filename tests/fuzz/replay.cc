// The fuzz targets without a fuzzer: every input of the corpus, cut off at every length and with
// every byte changed, goes through its target. A target aborts on what it holds wrong.
#include <gtest/gtest.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <string>

#define TARGET(name) extern "C" int fuzz_##name(const uint8_t* data, size_t size);
#include "fuzz_targets.inc"
#undef TARGET

namespace {

constexpr size_t places_max = 512;  // of one input, evenly spread: some are long

using Target = int (*)(const uint8_t*, size_t);

void run(Target target, const std::string& input) {
  target(reinterpret_cast<const uint8_t*>(input.data()), input.size());
}

void replay(Target target, const std::string& name) {
  size_t inputs = 0;
  for (const auto& file : std::filesystem::directory_iterator(FUZZ_CORPUS "/" + name)) {
    std::cerr << file.path().filename() << '\n';  // the last one is what made it abort
    std::ifstream stream(file.path(), std::ios::binary);
    const std::string input{std::istreambuf_iterator<char>(stream), {}};
    run(target, input);
    for (size_t at = 0; at < input.size(); at += input.size() / places_max + 1) {
      run(target, input.substr(0, at));
      for (const char flip : {'\x01', '\x80', '\xff'}) {
        std::string changed = input;
        changed[at] = static_cast<char>(changed[at] ^ flip);
        run(target, changed);
      }
    }
    ++inputs;
  }
  EXPECT_GT(inputs, 0u) << "no seeds in corpus/" << name;
}

}  // namespace

#define TARGET(name) \
  TEST(FuzzReplay, name) { replay(fuzz_##name, #name); }
#include "fuzz_targets.inc"

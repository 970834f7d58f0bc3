// Any text is a configuration or an error that names the file. Input: the text.
#include <cstdint>
#include <string_view>

#include "cli/config.h"
#include "engine/base/check.h"

using namespace repl::cli;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto config = parse_config(text, "FILE");
  if (config) {
    for (const auto& [name, tree] : config->trees) REPL_CHECK(policy_of(tree).has_value());
  } else {
    REPL_CHECK(config.error().message.find("FILE") != std::string::npos);
  }
  (void)parse_bandwidth(text);
  return 0;
}

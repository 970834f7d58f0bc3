// log.h: where the engine speaks to people. The implementation (cli/log_sink) writes through
// spdlog.
//
// Thread: implementations are safe from any thread. Names of files pass through escape() first.
#pragma once

#include <fmt/core.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

namespace repl {

enum class LogLevel : uint8_t { debug, info, warn, error };

class Log {
 public:
  virtual ~Log() = default;
  virtual void write(LogLevel level, std::string_view line) = 0;
  [[nodiscard]] virtual bool enabled(LogLevel level) const = 0;

  template <typename... Args>
  void debug(fmt::format_string<Args...> format, Args&&... args) {
    if (enabled(LogLevel::debug))
      write(LogLevel::debug, fmt::format(format, std::forward<Args>(args)...));
  }
  template <typename... Args>
  void info(fmt::format_string<Args...> format, Args&&... args) {
    if (enabled(LogLevel::info))
      write(LogLevel::info, fmt::format(format, std::forward<Args>(args)...));
  }
  template <typename... Args>
  void warn(fmt::format_string<Args...> format, Args&&... args) {
    if (enabled(LogLevel::warn))
      write(LogLevel::warn, fmt::format(format, std::forward<Args>(args)...));
  }
  template <typename... Args>
  void error(fmt::format_string<Args...> format, Args&&... args) {
    if (enabled(LogLevel::error))
      write(LogLevel::error, fmt::format(format, std::forward<Args>(args)...));
  }
};

// Says nothing; for tests and tools.
class NullLog final : public Log {
 public:
  void write(LogLevel, std::string_view) override {}
  [[nodiscard]] bool enabled(LogLevel) const override { return false; }
};

}  // namespace repl

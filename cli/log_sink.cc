#include "cli/log_sink.h"

#include <fmt/format.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>
#include <sys/stat.h>

#include <cstdlib>

#include "engine/base/repeat_limit.h"

namespace repl::cli {
namespace {

spdlog::level::level_enum to_spdlog(LogLevel level) {
  switch (level) {
    case LogLevel::debug:
      return spdlog::level::debug;
    case LogLevel::info:
      return spdlog::level::info;
    case LogLevel::warn:
      return spdlog::level::warn;
    case LogLevel::error:
      return spdlog::level::err;
  }
  return spdlog::level::info;
}

// syslog(3) priorities.
std::string_view journal_prefix(LogLevel level) {
  switch (level) {
    case LogLevel::debug:
      return "<7>";
    case LogLevel::info:
      return "<6>";
    case LogLevel::warn:
      return "<4>";
    case LogLevel::error:
      return "<3>";
  }
  return "<6>";
}

class SpdlogSink final : public Log {
 public:
  SpdlogSink(LogLevel level, bool journal)
      : level_(level),
        journal_(journal),
        logger_("repl", std::make_shared<spdlog::sinks::stderr_sink_mt>()) {
    logger_.set_level(to_spdlog(level));
    logger_.set_pattern(journal ? "%v" : "%Y-%m-%dT%H:%M:%S.%e%z %-5l %v");
    logger_.flush_on(spdlog::level::debug);
    // A full disk behind stderr must not take the daemon with it.
    logger_.set_error_handler([](const std::string&) {});
  }
  void write(LogLevel level, std::string_view line) override {
    const spdlog::string_view_t text(line.data(), line.size());
    if (!journal_) {
      logger_.log(to_spdlog(level), text);
      return;
    }
    const std::string prefixed = fmt::format("{}{}", journal_prefix(level), line);
    logger_.log(to_spdlog(level), spdlog::string_view_t(prefixed.data(), prefixed.size()));
  }
  [[nodiscard]] bool enabled(LogLevel level) const override { return level >= level_; }

 private:
  LogLevel level_;
  bool journal_;
  spdlog::logger logger_;
};

}  // namespace

bool stderr_is_journal() {
  const char* stream = std::getenv("JOURNAL_STREAM");
  struct stat own{};
  return stream != nullptr && ::fstat(STDERR_FILENO, &own) == 0 &&
         fmt::format("{}:{}", own.st_dev, own.st_ino) == stream;
}

std::unique_ptr<Log> make_log(LogLevel level, const Clock& clock) {
  return std::make_unique<RepeatLimit>(std::make_unique<SpdlogSink>(level, stderr_is_journal()),
                                       clock);
}

}  // namespace repl::cli

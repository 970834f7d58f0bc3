// progress.h: one line about a transfer: files, bytes, rate, time left. On a terminal it is redrawn
// in place, else it is a plain line now and then, or a JSON object for programs.
//
// Thread: one owner. The clock comes in, so that a test owns time.
#pragma once

#include <deque>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "cli/status_view.h"
#include "engine/base/clock.h"

namespace repl::cli {

enum class ProgressStyle : uint8_t { terminal, plain, json };

class ProgressLine {
 public:
  using Write = std::function<void(std::string_view text)>;
  ProgressLine(const Clock& clock, ProgressStyle style, size_t columns, Write write);

  // Call as often as you like; writes at most every 100 ms on a terminal, every second as JSON,
  // every 10 s elsewhere.
  void update(const TransferProgress& progress);
  // The last line, always written, ended by a newline.
  void finish(const TransferProgress& progress);
  // Something else follows on the same terminal: a line that stands there is ended.
  void break_off();

 private:
  struct Sample {
    MonotonicTime at;
    uint64_t bytes;
  };
  [[nodiscard]] std::string line(const TransferProgress& progress, bool last) const;
  [[nodiscard]] std::string event(const TransferProgress& progress) const;
  // Over the last seconds; nothing until there is enough to say.
  [[nodiscard]] std::optional<double> bytes_per_second() const;
  void remember(uint64_t bytes);
  void draw(const std::string& text);

  const Clock& clock_;
  ProgressStyle style_;
  size_t columns_;
  Write write_;
  MonotonicTime started_;
  std::optional<MonotonicTime> written_;
  std::deque<Sample> samples_;  // at most one each 200 ms, of the last 10 s
};

// On standard error, for a person: in place if that is a terminal.
[[nodiscard]] ProgressLine progress_on_stderr(const Clock& clock);

}  // namespace repl::cli

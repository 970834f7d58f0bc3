#include "cli/progress.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>

#include "cli/json.h"

namespace repl::cli {
namespace {

using namespace std::chrono_literals;
constexpr Duration rate_window = 10s;
constexpr Duration sample_gap = 200ms;

double seconds(Duration d) { return std::chrono::duration<double>(d).count(); }

}  // namespace

ProgressLine::ProgressLine(const Clock& clock, ProgressStyle style, size_t columns, Write write)
    : clock_(clock),
      style_(style),
      columns_(columns),
      write_(std::move(write)),
      started_(clock.now()) {}

void ProgressLine::remember(uint64_t bytes) {
  const MonotonicTime now = clock_.now();
  if (!samples_.empty() && now - samples_.back().at < sample_gap) return;
  // A new transfer begins with fewer bytes than the last had.
  if (!samples_.empty() && bytes < samples_.back().bytes) samples_.clear();
  samples_.push_back({now, bytes});
  while (samples_.size() > 2 && now - samples_.front().at > rate_window) samples_.pop_front();
}

std::optional<double> ProgressLine::bytes_per_second() const {
  if (samples_.size() < 2) return {};
  const double time = seconds(samples_.back().at - samples_.front().at);
  return static_cast<double>(samples_.back().bytes - samples_.front().bytes) / time;
}

std::string ProgressLine::line(const TransferProgress& p, bool last) const {
  const bool files = p.files_total > 0 || p.bytes_total == 0;
  std::string out = files ? fmt::format("{}/{} files  ", p.files_done, p.files_total) : "";
  if (p.bytes_total > 0) {
    const uint64_t done = std::min(p.bytes_done, p.bytes_total);
    // Never "100%" before the end.
    const auto percent = static_cast<unsigned>(static_cast<double>(done) * 100.0 /
                                               static_cast<double>(p.bytes_total));
    out += fmt::format("{}/{}  {}%", human_bytes(p.bytes_done), human_bytes(p.bytes_total),
                       last || done == p.bytes_total ? percent : std::min(percent, 99u));
  } else {
    out += human_bytes(p.bytes_done);
  }
  if (last) return out + fmt::format("  in {}", human_seconds(seconds(clock_.now() - started_)));
  if (const auto rate = bytes_per_second()) {
    out += fmt::format("  {}/s", human_bytes(static_cast<uint64_t>(*rate)));
    if (*rate >= 1 && p.bytes_total > p.bytes_done) {
      out += fmt::format("  {} left",
                         human_seconds(static_cast<double>(p.bytes_total - p.bytes_done) / *rate));
    } else if (p.bytes_total > p.bytes_done) {
      out += "  stalled";
    }
  }
  return out;
}

std::string ProgressLine::event(const TransferProgress& p) const {
  return print_json(Json{{"event", "progress"},
                         {"files_done", p.files_done},
                         {"files_total", p.files_total},
                         {"bytes_done", p.bytes_done},
                         {"bytes_total", p.bytes_total},
                         {"bytes_per_second", bytes_per_second().value_or(0)}});
}

void ProgressLine::draw(const std::string& text) {
  if (style_ == ProgressStyle::terminal) {
    write_("\r\x1b[K" + text.substr(0, columns_ > 1 ? columns_ - 1 : text.size()));
  } else {
    write_(text + "\n");
  }
}

void ProgressLine::update(const TransferProgress& progress) {
  remember(progress.bytes_done);
  const Duration gap = style_ == ProgressStyle::terminal ? Duration(100ms)
                       : style_ == ProgressStyle::json   ? Duration(1s)
                                                         : Duration(10s);
  const MonotonicTime now = clock_.now();
  if (now - written_.value_or(started_) < gap) return;
  written_ = now;
  draw(style_ == ProgressStyle::json ? event(progress) : line(progress, false));
}

void ProgressLine::finish(const TransferProgress& progress) {
  draw(style_ == ProgressStyle::json ? event(progress) : line(progress, true));
  written_.emplace(clock_.now());
  break_off();
}

void ProgressLine::break_off() {
  if (style_ == ProgressStyle::terminal && written_) write_("\n");
  written_.reset();
}

ProgressLine progress_on_stderr(const Clock& clock) {
  const bool terminal = ::isatty(STDERR_FILENO) == 1;
  return {clock, terminal ? ProgressStyle::terminal : ProgressStyle::plain, 80,
          [](std::string_view text) {
            fmt::print(stderr, "{}", text);
            std::fflush(stderr);
          }};
}

}  // namespace repl::cli

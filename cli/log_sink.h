// log_sink.h: Log over spdlog, to stderr. Under systemd (JOURNAL_STREAM names our stderr) lines
// carry the "<N>" priorities of sd-daemon(3) and no time, the journal has its own; elsewhere time
// and level.
//
// Thread: any.
#pragma once

#include <memory>

#include "engine/base/clock.h"
#include "engine/base/log.h"

namespace repl::cli {

// The same line is said only so often (repeat_limit.h). `clock` outlives it.
[[nodiscard]] std::unique_ptr<Log> make_log(LogLevel level, const Clock& clock);
// True if stderr is connected to the journal, systemd.exec(5) $JOURNAL_STREAM.
[[nodiscard]] bool stderr_is_journal();

}  // namespace repl::cli

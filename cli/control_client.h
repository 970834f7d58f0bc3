// control_client.h: a command's end of the control socket.
//
// Thread: blocks the caller.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "cli/control_protocol.h"
#include "engine/base/clock.h"
#include "engine/base/error.h"

namespace repl::cli {

// The socket of a tree's daemon.
[[nodiscard]] std::string control_socket_path(const std::string& runtime_dir,
                                              const std::string& tree);

// Is anybody there? Also true where it may not be asked.
[[nodiscard]] bool daemon_listens(const std::string& socket_path);

// Sends one request and reads replies until the last. `on_progress` gets each progress value.
// Errors: not_found (no daemon listens; the message says how to start one), not_permitted, timeout
// (`limit` without a final reply), closed (the daemon went away), invalid (not our protocol).
[[nodiscard]] Result<ReplyLine> ask(
    const std::string& socket_path, const Request& request, std::optional<Duration> limit,
    const std::function<void(const std::string& json)>& on_progress = {});

}  // namespace repl::cli

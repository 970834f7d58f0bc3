// link.h: a connection to one peer, as the engine sees it. cli/ adapts transport's Channel to it.
//
// Thread: any. `on_ready` is called on another thread and must only wake the engine.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/error.h"
#include "engine/model/bottleneck.h"
#include "engine/model/lane.h"
#include "engine/model/message.h"

namespace repl::run {

// In the reason for which a connection was closed: it is wanted again at once, because what was
// agreed on over it is void.
inline constexpr std::string_view hello_again = "; hello again";

struct LinkCounters {
  uint64_t wire_bytes_out = 0;
  uint64_t wire_bytes_in = 0;
  uint64_t plain_bytes_out = 0;
  uint64_t plain_bytes_in = 0;
  uint64_t messages_out = 0;
  uint64_t messages_in = 0;
  int zstd_level = 0;  // of what leaves, now; 0: not compressed
  uint64_t zstd_window_bytes = 0;
  Bottleneck bottleneck = Bottleneck::none;
};

class Link {
 public:
  virtual ~Link() = default;
  virtual bool send(Message message, Lane lane) = 0;
  // Of bulk or background; `on_ready` follows when there is room again.
  [[nodiscard]] virtual size_t writable(Lane lane) const = 0;
  // Nothing of the lane waits any more; `on_ready` follows when that becomes true.
  [[nodiscard]] virtual bool drained(Lane lane) const = 0;
  [[nodiscard]] virtual std::vector<Message> receive() = 0;
  [[nodiscard]] virtual bool open() const = 0;
  [[nodiscard]] virtual Error close_reason() const = 0;
  virtual void close(const std::string& reason) = 0;
  // An empty function: nobody is woken any more, also by what is under way on the other thread.
  virtual void on_ready(std::function<void()> ready) = 0;
  [[nodiscard]] virtual LinkCounters counters() const = 0;
  [[nodiscard]] virtual std::string peer() const = 0;
};

}  // namespace repl::run

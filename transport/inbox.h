// inbox.h: what has arrived and was not taken yet, in two lanes, and the credit that taking it
// returns.
//
// Thread: the caller's lock.
#pragma once

#include <cstdint>
#include <iterator>
#include <utility>
#include <vector>

#include "engine/base/limits.h"
#include "transport/channel.h"

namespace repl::transport {

class Inbox {
 public:
  // False: the peer sent more bulk than it had credit for.
  [[nodiscard]] bool push(Message message, Lane lane, size_t cost) {
    if (lane == Lane::prompt) {
      prompt_bytes_ += cost;
      prompt_.push_back(std::move(message));
      return true;
    }
    if (cost > limits::credit_bytes_initial - bulk_bytes_ - owed_) return false;
    bulk_bytes_ += cost;
    bulk_.push_back(std::move(message));
    return true;
  }
  // Prompt messages first.
  [[nodiscard]] std::vector<Message> take() {
    std::vector<Message> all = std::exchange(prompt_, {});
    if (all.empty()) {
      all = std::exchange(bulk_, {});
    } else {
      all.insert(all.end(), std::make_move_iterator(bulk_.begin()),
                 std::make_move_iterator(bulk_.end()));
      bulk_.clear();
    }
    owed_ += bulk_bytes_;
    prompt_bytes_ = bulk_bytes_ = 0;
    return all;
  }
  [[nodiscard]] bool empty() const { return prompt_.empty() && bulk_.empty(); }
  [[nodiscard]] size_t prompt_bytes() const { return prompt_bytes_; }

  // Credit is returned in quarters: few frames, and a whole frame is always sendable again.
  [[nodiscard]] bool credit_due() const { return owed_ >= limits::credit_bytes_initial / 4; }
  [[nodiscard]] uint64_t take_credit() { return std::exchange(owed_, 0); }

 private:
  std::vector<Message> prompt_;
  std::vector<Message> bulk_;
  size_t prompt_bytes_ = 0;
  size_t bulk_bytes_ = 0;
  size_t owed_ = 0;
};
static_assert(limits::frame_bytes_max + limits::credit_bytes_initial / 4 <=
                  limits::credit_bytes_initial,
              "credit that is withheld must not keep a frame from leaving");

}  // namespace repl::transport

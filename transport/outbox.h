// outbox.h: what waits to leave, in two lanes, and the credit the peer gave for the bulk lane.
//
// Thread: the caller's lock.
#pragma once

#include <cstdint>
#include <deque>
#include <utility>
#include <vector>

#include "engine/base/limits.h"
#include "transport/channel.h"
#include "transport/codec.h"
#include "transport/codec_limits.h"

namespace repl::transport {

// What a frame costs in credit, on both sides.
[[nodiscard]] inline size_t frame_cost(size_t payload_bytes) {
  return payload_bytes + frame_header_bytes;
}

class Outbox {
 public:
  struct Item {
    Payload payload;
    Lane lane = Lane::prompt;
  };

  // False: the prompt lane is full (the peer takes nothing) or the bulk lane is.
  [[nodiscard]] bool push(Payload payload, Lane lane) {
    const size_t cost = frame_cost(payload.size());
    if (lane == Lane::prompt) {
      if (prompt_bytes_ + cost > limits::outbox_bytes_max) return false;
      prompt_bytes_ += cost;
      prompt_.push_back(std::move(payload));
      return true;
    }
    if (writable() == 0) return false;
    bulk_bytes_ += cost;
    bulk_.push_back(std::move(payload));
    return true;
  }

  // Appends up to about `bytes` of frames to `out`: prompt ones first, always; bulk ones while
  // credit lasts.
  void take(size_t bytes, bool with_bulk, std::vector<Item>& out) {
    size_t taken = 0;
    while (!prompt_.empty() && taken < bytes) {
      const size_t cost = frame_cost(prompt_.front().size());
      prompt_bytes_ -= cost;
      taken += cost;
      out.push_back({std::move(prompt_.front()), Lane::prompt});
      prompt_.pop_front();
    }
    while (with_bulk && prompt_.empty() && bulk_ready() && taken < bytes) {
      const size_t cost = frame_cost(bulk_.front().size());
      bulk_bytes_ -= cost;
      credit_ -= cost;
      taken += cost;
      out.push_back({std::move(bulk_.front()), Lane::bulk});
      bulk_.pop_front();
    }
  }

  // The peer's owner has taken that much. False: more than we sent.
  [[nodiscard]] bool add_credit(uint64_t bytes) {
    if (bytes > limits::credit_bytes_initial - credit_) return false;
    credit_ += bytes;
    return true;
  }

  // Bulk bytes that credit covers and that are not spoken for yet.
  [[nodiscard]] size_t writable() const {
    return credit_ > bulk_bytes_ ? credit_ - bulk_bytes_ : 0;
  }
  // A bulk frame waits and may leave.
  [[nodiscard]] bool bulk_ready() const {
    return !bulk_.empty() && frame_cost(bulk_.front().size()) <= credit_;
  }
  [[nodiscard]] bool prompt_ready() const { return !prompt_.empty(); }
  void clear() {
    prompt_.clear();
    bulk_.clear();
    prompt_bytes_ = bulk_bytes_ = 0;
  }

 private:
  std::deque<Payload> prompt_;
  std::deque<Payload> bulk_;
  size_t prompt_bytes_ = 0;
  size_t bulk_bytes_ = 0;
  size_t credit_ = limits::credit_bytes_initial;
};

}  // namespace repl::transport

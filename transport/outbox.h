// outbox.h: what waits to leave, in three lanes, and the credit that the peer gave for two of them.
//
// Thread: the caller's lock.
#pragma once

#include <algorithm>
#include <array>
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

  // The frames of one message. False: the lane is full (prompt: the peer takes nothing), `frames`
  // are untouched.
  [[nodiscard]] bool push(std::vector<Payload>& frames, Lane lane) {
    size_t cost = 0;
    for (const Payload& frame : frames) cost += frame_cost(frame.size());
    Queue& queue = at(lane);
    const bool full =
        lane == Lane::prompt ? queue.bytes + cost > limits::outbox_bytes_max : writable(lane) == 0;
    if (full) return false;
    queue.bytes += cost;
    for (Payload& frame : frames) queue.frames.push_back(std::move(frame));
    return true;
  }

  // Appends up to about `bytes` of frames to `out`: prompt ones first, always; then bulk, then
  // background while credit lasts. What lacks credit does not keep the lane behind it.
  void take(size_t bytes, bool with_credit, std::vector<Item>& out) {
    size_t taken = 0;
    const auto take_lane = [&](Lane lane) {
      Queue& queue = at(lane);
      while (taken < bytes && ready(lane)) {
        const size_t cost = frame_cost(queue.frames.front().size());
        queue.bytes -= cost;
        if (lane != Lane::prompt) queue.credit -= cost;
        taken += cost;
        out.push_back({std::move(queue.frames.front()), lane});
        queue.frames.pop_front();
      }
    };
    take_lane(Lane::prompt);
    if (!with_credit) return;
    take_lane(Lane::bulk);
    take_lane(Lane::background);
  }

  // What the peer allows of bulk or background, in addition. False: more than anybody may.
  [[nodiscard]] bool add_credit(Lane lane, uint64_t bytes) {
    Queue& queue = at(lane);
    if (lane == Lane::prompt || bytes > limits::credit_bytes_max - queue.credit) return false;
    queue.credit += bytes;
    queue.told_blocked = false;
    return true;
  }
  // True once per time that frames of the lane, or an owner who `wants_room`, wait for nothing but
  // credit.
  [[nodiscard]] bool newly_blocked(Lane lane, bool wants_room) {
    Queue& queue = at(lane);
    const bool blocked = queue.frames.empty() ? wants_room && queue.credit == 0 : !ready(lane);
    return blocked && !std::exchange(queue.told_blocked, true);
  }

  // Bytes of bulk or background that the queue has room and credit for.
  [[nodiscard]] size_t writable(Lane lane) const {
    const Queue& queue = at(lane);
    const size_t bound = std::min(queue.credit, limits::lane_queue_bytes_max);
    return bound > queue.bytes ? bound - queue.bytes : 0;
  }
  [[nodiscard]] bool drained(Lane lane) const { return at(lane).frames.empty(); }
  // A frame of the lane waits and may leave.
  [[nodiscard]] bool ready(Lane lane) const {
    const Queue& queue = at(lane);
    if (queue.frames.empty()) return false;
    return lane == Lane::prompt || frame_cost(queue.frames.front().size()) <= queue.credit;
  }
  void clear() {
    for (Queue& queue : queues_) {
      queue.frames.clear();
      queue.bytes = 0;
    }
  }

 private:
  struct Queue {
    std::deque<Payload> frames;
    size_t bytes = 0;
    size_t credit = limits::credit_bytes_initial;  // bulk and background
    bool told_blocked = false;                     // the peer knows that we wait for credit
  };
  [[nodiscard]] Queue& at(Lane lane) { return queues_[static_cast<size_t>(lane)]; }
  [[nodiscard]] const Queue& at(Lane lane) const { return queues_[static_cast<size_t>(lane)]; }

  std::array<Queue, 3> queues_;
};

}  // namespace repl::transport

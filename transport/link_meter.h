// link_meter.h: what the time of a connection's writer goes into: packing bytes, or waiting until
// the carrier (or the bandwidth limit) takes them. From it follow the sizes that keep what
// overtakes from waiting long: about 10 ms of the measured rate in one write, 20 ms unsent in the
// kernel.
//
// Thread: one. Pure.
#pragma once

#include <algorithm>
#include <cstdint>

#include "engine/base/clock.h"
#include "engine/base/limits.h"

namespace repl::transport {

class LinkMeter {
 public:
  // One write: how many bytes, after compression, and what it took. True: a sample is complete.
  bool add(size_t bytes, Duration packing, Duration waiting) {
    bytes_ += bytes;
    packing_ += packing;
    waiting_ += waiting;
    if (packing_ + waiting_ < sample_time) return false;
    const double seconds = std::chrono::duration<double>(packing_ + waiting_).count();
    const auto rate = static_cast<uint64_t>(static_cast<double>(bytes_) / seconds);
    rate_ = rate_ == 0 ? rate : (rate_ + rate) / 2;
    waiting_share_ =
        static_cast<double>(waiting_.count()) / static_cast<double>((packing_ + waiting_).count());
    bytes_ = 0;
    packing_ = waiting_ = Duration::zero();
    return true;
  }

  [[nodiscard]] uint64_t bytes_per_s() const { return rate_; }           // 0: not known yet
  [[nodiscard]] double waiting_share() const { return waiting_share_; }  // of the last sample
  [[nodiscard]] size_t write_bytes() const {
    return rate_ == 0
               ? limits::write_bytes_initial
               : std::clamp<size_t>(rate_ / 100, limits::write_bytes_min, limits::write_bytes_max);
  }
  [[nodiscard]] size_t unsent_bytes() const {
    return std::clamp<size_t>(rate_ / 50, limits::unsent_bytes_min, limits::unsent_bytes_max);
  }

 private:
  static constexpr Duration sample_time = std::chrono::milliseconds(50);
  size_t bytes_ = 0;
  Duration packing_{};
  Duration waiting_{};
  uint64_t rate_ = 0;
  double waiting_share_ = 0;
};

}  // namespace repl::transport

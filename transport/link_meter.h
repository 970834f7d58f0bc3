// link_meter.h: what the time of a connection's writer goes into: packing bytes, or waiting until
// the carrier (or the bandwidth limit) takes them. From it follow the sizes that keep what
// overtakes from waiting long: about 10 ms of the measured rate in one write, 20 ms unsent in the
// kernel; and, in level_control.h, how hard to compress.
//
// Thread: one. Pure.
#pragma once

#include <algorithm>
#include <cstdint>

#include "engine/base/clock.h"
#include "engine/base/limits.h"

namespace repl::transport {

// One write, or the sum of those of a sample.
struct LinkWork {
  size_t plain_bytes = 0;
  size_t compressible_bytes = 0;  // of the plain ones
  size_t wire_bytes = 0;          // after compression
  Duration packing{};
  Duration waiting{};

  LinkWork& operator+=(const LinkWork& other) {
    plain_bytes += other.plain_bytes;
    compressible_bytes += other.compressible_bytes;
    wire_bytes += other.wire_bytes;
    packing += other.packing;
    waiting += other.waiting;
    return *this;
  }
};

class LinkMeter {
 public:
  // True: a sample is complete, and last() is new.
  bool add(const LinkWork& write) {
    sum_ += write;
    const Duration busy = sum_.packing + sum_.waiting;
    if (busy < sample_time) return false;
    const double seconds = std::chrono::duration<double>(busy).count();
    const auto rate = static_cast<uint64_t>(static_cast<double>(sum_.wire_bytes) / seconds);
    rate_ = rate_ == 0 ? rate : (rate_ + rate) / 2;
    last_ = sum_;
    sum_ = {};
    return true;
  }

  [[nodiscard]] const LinkWork& last() const { return last_; }
  [[nodiscard]] uint64_t bytes_per_s() const { return rate_; }  // 0: not known yet
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
  LinkWork sum_;
  LinkWork last_;
  uint64_t rate_ = 0;
};

}  // namespace repl::transport

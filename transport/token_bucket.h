// token_bucket.h: how many bytes may leave now under a rate. May go into debt by one burst: what
// was sent is charged afterwards, when its compressed size is known.
//
// Thread: one. Rate 0: unlimited.
#pragma once

#include <algorithm>
#include <cstdint>

#include "engine/base/clock.h"

namespace repl::transport {

class TokenBucket {
 public:
  TokenBucket(uint64_t bytes_per_s, MonotonicTime now)
      : rate_(bytes_per_s), tokens_(static_cast<double>(burst_bytes())), at_(now) {}

  [[nodiscard]] bool limited() const { return rate_ != 0; }
  // What may be sent in one go: 50 ms worth, but at least a packet's worth.
  [[nodiscard]] uint64_t burst_bytes() const { return std::max<uint64_t>(rate_ / 20, 16 * 1024); }

  void charge(uint64_t bytes, MonotonicTime now) {
    if (!limited()) return;
    refill(now);
    tokens_ -= static_cast<double>(bytes);
  }
  // How long until something may be sent; zero: now.
  [[nodiscard]] Duration wait(MonotonicTime now) {
    if (!limited()) return Duration::zero();
    refill(now);
    if (tokens_ > 0) return Duration::zero();
    const double seconds = (1 - tokens_) / static_cast<double>(rate_);
    return Duration(static_cast<int64_t>(seconds * 1e9) + 1);
  }

 private:
  void refill(MonotonicTime now) {
    if (now <= at_) return;
    const double seconds = std::chrono::duration<double>(now - at_).count();
    tokens_ = std::min(tokens_ + seconds * static_cast<double>(rate_),
                       static_cast<double>(burst_bytes()));
    at_ = now;
  }

  uint64_t rate_;
  double tokens_;
  MonotonicTime at_;
};

}  // namespace repl::transport

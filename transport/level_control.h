// level_control.h: how hard a connection compresses (compression.h: gears), from what its time goes
// into. Where the link is the limit and the processor has time left, harder, at once as hard as is
// expected to pay; where the processor is the limit, one gear less; else nothing changes. A change
// costs the history of the stream, so it needs several samples that agree, comes a second after the
// last one at the earliest, and is taken back, and not tried again for a while, if less goes
// through afterwards than before.
//
// Thread: one. Pure: time comes with the samples.
#pragma once

#include <cstddef>
#include <cstdint>

#include "engine/base/clock.h"
#include "engine/model/bottleneck.h"
#include "transport/compression.h"
#include "transport/link_meter.h"

namespace repl::transport {

class LevelControl {
 public:
  struct Sample {
    LinkWork work;
    Duration elapsed{};    // since the sample before: more than packing and waiting if we were idle
    Duration processor{};  // what the I/O thread ran of it, for this connection and for others
  };

  // The gear may be another afterwards.
  void add(const Sample& sample, MonotonicTime now);
  // The connection is idle: begins anew with the first gear.
  void rest();

  [[nodiscard]] const Compression& compression() const { return gears[gear_].compression; }
  [[nodiscard]] Bottleneck bottleneck() const { return bottleneck_; }  // of the last sample

 private:
  // Samples that agree.
  struct Streak {
    size_t samples = 0;
    double load = 0;     // sums
    double packing = 0;  // of load: what depends on the gear
    uint64_t plain_bytes = 0;
    Duration elapsed{};

    [[nodiscard]] double bytes_per_s() const;
  };

  void judge(MonotonicTime now);
  [[nodiscard]] bool failed() const;
  [[nodiscard]] size_t higher() const;
  void shift(size_t gear, MonotonicTime now);

  size_t gear_ = gear_initial;
  Bottleneck bottleneck_ = Bottleneck::none;
  Streak streak_;
  MonotonicTime next_change_{};
  // The gear is on trial until it is known whether it lets more through than the one before.
  bool on_trial_ = false;
  size_t gear_before_ = gears.size();  // none yet
  double rate_before_ = 0;
  Streak trial_;
  MonotonicTime no_trial_before_{};
  Duration no_trial_for_{};
};

}  // namespace repl::transport

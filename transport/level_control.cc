#include "transport/level_control.h"

#include <algorithm>
#include <utility>

namespace repl::transport {

namespace {

using std::chrono::seconds;

// Of 50 ms at least. To raise is urgent, history is short then; to lower is not.
constexpr size_t samples_to_raise = 3;
constexpr size_t samples_to_lower = 10;
constexpr size_t samples_of_trial = 10;
constexpr size_t samples_remembered = 20;  // what was before them is another link
constexpr Duration between_changes = seconds(1);
constexpr Duration no_trial_min = seconds(10);
constexpr Duration no_trial_max = seconds(60);
// Below it neither the link nor the processor is what we wait for.
constexpr double busy_min = 0.7;
// Of the I/O thread. Between the two the gear is right.
constexpr double load_link_max = 0.6;
constexpr double load_processor_min = 0.85;
// That a higher gear may be expected to make: more goes through when it is smaller.
constexpr double load_expected_max = 0.4;
// Less is noise.
constexpr double rate_kept_min = 0.85;
constexpr double compressible_min = 0.25;

double share(Duration part, Duration whole) {
  return static_cast<double>(part.count()) /
         static_cast<double>(std::max<int64_t>(whole.count(), 1));
}

// Where we are preempted, packing takes longer than the thread runs.
double load_of(const LevelControl::Sample& sample) {
  return share(std::max(sample.processor, sample.work.packing), sample.elapsed);
}

Bottleneck bottleneck_of(const LevelControl::Sample& sample) {
  if (share(sample.work.packing + sample.work.waiting, sample.elapsed) < busy_min) {
    return Bottleneck::none;
  }
  const double load = load_of(sample);
  return load <= load_link_max        ? Bottleneck::link
         : load >= load_processor_min ? Bottleneck::processor
                                      : Bottleneck::none;
}

}  // namespace

double LevelControl::Streak::bytes_per_s() const {
  return static_cast<double>(plain_bytes) / std::chrono::duration<double>(elapsed).count();
}

void LevelControl::add(const Sample& sample, MonotonicTime now) {
  const Bottleneck before = std::exchange(bottleneck_, bottleneck_of(sample));
  const LinkWork& work = sample.work;
  const bool telling = static_cast<double>(work.compressible_bytes) >=
                       compressible_min * static_cast<double>(work.plain_bytes);
  if (bottleneck_ != before || !telling || streak_.samples >= samples_remembered) streak_ = {};
  if (!telling) return;
  const auto count = [&](Streak& streak) {
    ++streak.samples;
    streak.load += load_of(sample);
    streak.packing += share(work.packing, sample.elapsed);
    streak.plain_bytes += work.plain_bytes;
    streak.elapsed += sample.elapsed;
  };
  count(streak_);
  // The owner, or the peer, was slow: says nothing about the gear.
  const bool idle = share(work.packing + work.waiting, sample.elapsed) < busy_min;
  if (on_trial_ && !idle) count(trial_);
  judge(now);
}

void LevelControl::judge(MonotonicTime now) {
  if (now < next_change_) return;
  if (on_trial_ && trial_.samples >= samples_of_trial) {
    on_trial_ = false;
    if (failed()) return shift(gear_before_, now);
  }
  if (on_trial_ || now < no_trial_before_) return;
  size_t wanted = gear_;
  if (bottleneck_ == Bottleneck::link && streak_.samples >= samples_to_raise) wanted = higher();
  if (bottleneck_ == Bottleneck::processor && streak_.samples >= samples_to_lower && gear_ > 0) {
    wanted = gear_ - 1;
  }
  if (wanted == gear_) return;
  on_trial_ = true;
  rate_before_ = streak_.bytes_per_s();
  trial_ = {};
  shift(wanted, now);
}

// Fewer bytes go through than before, and that is the gear's doing: a harder one leaves the
// processor no time, or one that is less hard leaves it idle before a link that is too small.
bool LevelControl::failed() const {
  if (trial_.bytes_per_s() >= rate_kept_min * rate_before_) return false;
  const bool loaded = trial_.load / static_cast<double>(trial_.samples) > load_link_max;
  return loaded == (gear_ > gear_before_);
}

size_t LevelControl::higher() const {
  const auto samples = static_cast<double>(streak_.samples);
  const double load = streak_.load / samples;
  const double packing = streak_.packing / samples;
  size_t best = gear_;
  for (size_t gear = gear_ + 1; gear < gears.size(); ++gear) {
    const double expected = load + packing * (gears[gear].cost / gears[gear_].cost - 1);
    if (expected <= load_expected_max) best = gear;
  }
  return best;
}

// Back and forth between two gears costs more than either.
void LevelControl::shift(size_t gear, MonotonicTime now) {
  const bool back = gear == gear_before_;
  no_trial_for_ = back ? std::clamp(2 * no_trial_for_, no_trial_min, no_trial_max) : Duration{};
  no_trial_before_ = now + no_trial_for_;
  gear_before_ = std::exchange(gear_, gear);
  streak_ = {};
  next_change_ = now + between_changes;
}

void LevelControl::rest() { *this = {}; }

}  // namespace repl::transport

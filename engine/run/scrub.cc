#include "engine/run/scrub.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include "engine/base/limits.h"
#include "engine/change/observer.h"

namespace repl::run {

namespace {

constexpr std::string_view place_meta = "scrub-at";  // names from the root, each behind a '/'
constexpr std::string_view began_meta = "scrub-began";
constexpr std::string_view verified_meta = "scrub-verified";
constexpr Duration keep_every = std::chrono::seconds(60);
constexpr Duration rest_retry = std::chrono::seconds(1);

int64_t seconds_of(const std::optional<std::string>& text) {
  int64_t seconds = 0;
  if (text) std::from_chars(text->data(), text->data() + text->size(), seconds);
  return seconds;
}
std::vector<std::string> names_of(std::string_view place) {
  std::vector<std::string> names;
  while (place.starts_with('/')) {
    const size_t end = std::min(place.find('/', 1), place.size());
    names.emplace_back(place.substr(1, end - 1));
    place.remove_prefix(end);
  }
  return names;
}

}  // namespace

Scrub::Scrub(TreeParts& parts, Found found)
    : parts_(parts),
      found_(std::move(found)),
      verified_(seconds_of(parts.index->meta(verified_meta))) {
  if (parts.options.scrub_every > Duration::zero()) next_ = parts.clock.now();
}

void Scrub::step(MonotonicTime now, bool rests) {
  if (!rests) {
    next_ = now + rest_retry;
    return;
  }
  if (!walk_) begin_or_wait(now);
  if (!walk_) return;
  const uint64_t before = walk_->bytes_read();
  const bool over = walk_->step(limits::scrub_step_bytes);
  const uint64_t read = walk_->bytes_read() - before;
  if (over) return end_pass(now);
  if (now - kept_at_ >= keep_every) keep_place(now);
  const uint64_t rate = std::max<uint64_t>(parts_.options.scrub_bytes_per_second, 1);
  // Counted as if each step had read something: many small files are seeks.
  const double seconds =
      static_cast<double>(std::max(read, limits::scrub_step_bytes / 4)) / static_cast<double>(rate);
  next_ = now + std::chrono::duration_cast<Duration>(std::chrono::duration<double>(seconds));
}

// A pass that was begun goes on; else one begins when the last one is old enough.
void Scrub::begin_or_wait(MonotonicTime now) {
  const std::optional<std::string> place = parts_.index->meta(place_meta);
  const int64_t wall = parts_.clock.wall_ns() / 1'000'000'000;
  const auto every = std::chrono::duration_cast<std::chrono::seconds>(parts_.options.scrub_every);
  const int64_t age = wall - verified_;
  if (!place && age >= 0 && age < every.count()) {
    next_ = now + std::chrono::seconds(every.count() - age);
    return;
  }
  walk_ = std::make_unique<ContentWalk>(*parts_.index, *parts_.dirs, WalkKind::everything,
                                        [this](const ContentWalk::Found& found) { take(found); });
  walk_->past_the_cache();
  began_ = place ? seconds_of(parts_.index->meta(began_meta)) : wall;
  if (place) walk_->go_on_behind(names_of(*place));
  keep_place(now);
}

void Scrub::keep_place(MonotonicTime now) {
  std::string place;
  for (const std::string& name : walk_->place()) place += "/" + name;
  parts_.index->put_meta(place_meta, place);
  parts_.index->put_meta(began_meta, std::to_string(began_));
  kept_at_ = now;
}

void Scrub::end_pass(MonotonicTime now) {
  parts_.log.info("{}: scrubbed {} bytes, {} files are not what was written", parts_.options.name,
                  walk_->bytes_read(), rotten_now_.size());
  walk_.reset();
  verified_ = began_;
  rotten_ = std::exchange(rotten_now_, {});
  parts_.index->remove_meta(place_meta);
  parts_.index->remove_meta(began_meta);
  parts_.index->put_meta(verified_meta, std::to_string(verified_));
  next_ = now + rest_retry;
}

void Scrub::take(const ContentWalk::Found& found) {
  const std::optional<Entry> entry = parts_.index->get(found.key);
  const Digest& written = found.entry.attr.content;
  if (!entry || !written.is_set() || entry->attr.content != written) return;
  if (found.digest && *found.digest == written) return;
  const Result<int> dir = parts_.dirs->open(found.key.dir);
  const Result<io::Stat> stat = dir ? io::stat_at(*dir, found.key.name) : fail(dir.error());
  if (!found.digest || !stat || !change::same_stat(*entry, *stat)) {
    found_.changed(found.key);
    return;
  }
  const std::string path = parts_.describe(found.key);
  parts_.log.error(
      "{}: {}: its bytes are not those that were written, though its times are: bit rot",
      parts_.options.name, path);
  if (rotten_now_.size() < limits::holds_listed_max) rotten_now_.push_back(path);
  found_.rotten(found.key);
}

void Scrub::describe(TreeFacts& facts) const {
  facts.scrub_verified = verified_;
  facts.scrub_running = walk_ != nullptr;
  std::vector<std::string> all = rotten_now_;
  for (const std::string& path : rotten_) {
    if (std::ranges::find(all, path) == all.end()) all.push_back(path);
  }
  for (const std::string& path : all) {
    facts.errors.push_back(path +
                           ": bit rot: its bytes are not those that were written. On a replica: "
                           "`repl approve` fetches the primary's; on the primary: copy it from a "
                           "replica or a backup");
  }
}

}  // namespace repl::run

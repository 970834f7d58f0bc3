#include "cli/hooks.h"

#include <fmt/format.h>
#include <sys/eventfd.h>

#include <algorithm>
#include <system_error>
#include <utility>

#include "cli/names.h"
#include "engine/base/escape.h"
#include "engine/base/limits.h"

namespace repl::cli {

namespace {

std::string_view key_of(run::TreeEvent::Kind kind) {
  return std::ranges::find(hook_keys, kind, [](const auto& key) { return key.first; })->second;
}

HookResult not_run(ErrorCode code, std::string why) {
  HookResult result;
  result.error = make_error(code, std::move(why));
  return result;
}

}  // namespace

std::vector<std::string> hook_environment(const HookOrigin& origin, const run::TreeEvent& event) {
  const auto variable = [](std::string_view name, std::string_view value) {
    return fmt::format("{}={}", name, escape(value.substr(0, limits::hook_value_bytes_max)));
  };
  return {"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
          "LANG=C.UTF-8",
          variable("REPL_EVENT", key_of(event.kind).substr(std::string_view("on_").size())),
          variable("REPL_TREE", origin.tree),
          variable("REPL_NODE", origin.node),
          variable("REPL_ROOT", origin.root),
          variable("REPL_ROLE", role_name(event.role)),
          variable("REPL_EPOCH", std::to_string(event.epoch.value)),
          variable("REPL_PEER", event.peer),
          variable("REPL_REASON", event.reason)};
}

std::vector<std::string> hook_faults(const TreeConfig& tree) {
  std::vector<std::string> faults;
  for (const auto& [kind, program] : tree.hooks.programs) {
    const Status usable = check_hook_program(program.front());
    if (!usable) faults.push_back(fmt::format("{}: {}", key_of(kind), usable.error().message));
  }
  return faults;
}

Hooks::Hooks(const Clock& clock, Log& log)
    : clock_(clock), log_(log), stop_fd_(::eventfd(0, EFD_CLOEXEC)) {}

Hooks::~Hooks() { stop(); }

Status Hooks::configure(HookOrigin origin, HookSettings settings) {
  if (!stop_fd_.valid()) return fail(ErrorCode::limit, "no descriptor is left for hooks");
  const std::lock_guard lock(mutex_);
  origin_ = std::move(origin);
  settings_ = std::move(settings);
  if (settings_.programs.empty() || thread_.joinable()) return {};
  try {
    thread_ = std::thread([this] { loop(); });
  } catch (const std::system_error& error) {
    return fail(ErrorCode::limit, std::string("no thread is left for hooks: ") + error.what());
  }
  return {};
}

void Hooks::add(const run::TreeEvent& event, Done done) {
  HookResult instead;
  {
    const std::lock_guard lock(mutex_);
    if (!settings_.programs.contains(event.kind)) {
      instead = HookResult{};
    } else if (stop_) {
      instead = not_run(ErrorCode::closed, "repl ends: no hook is run any more");
    } else if (!make_room(event.kind)) {
      instead = not_run(ErrorCode::limit, "too many hooks wait already");
    } else {
      waiting_.push_back(Waiting{.event = event, .done = std::move(done)});
      changed_.notify_all();
      return;
    }
  }
  if (done) done(instead);
}

// Later events of a kind say more than earlier ones; events of other kinds stay.
bool Hooks::make_room(run::TreeEvent::Kind kind) {
  const auto same = [kind](const Waiting& waiting) { return waiting.event.kind == kind; };
  if (std::cmp_less(std::ranges::count_if(waiting_, same), limits::hook_waiting_max)) return true;
  const auto oldest = std::ranges::find_if(
      waiting_, [&](const Waiting& waiting) { return same(waiting) && !waiting.done; });
  if (oldest == waiting_.end()) {
    log_.error("{}: {} is not run: {} of it wait", origin_.tree, key_of(kind),
               limits::hook_waiting_max);
    return false;
  }
  log_.warn("{}: {} is not run for an earlier event: {} later ones wait", origin_.tree,
            key_of(kind), limits::hook_waiting_max);
  waiting_.erase(oldest);
  return true;
}

void Hooks::loop() {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [this] { return stop_ || !waiting_.empty(); });
    if (waiting_.empty()) return;
    const Waiting next = std::move(waiting_.front());
    waiting_.pop_front();
    running_ = true;
    const HookOrigin origin = origin_;
    const HookSettings settings = settings_;
    const bool ends = stop_;
    lock.unlock();
    HookResult result;
    if (ends) {
      log_.warn("{}: {} is not run: repl ends", origin.tree, key_of(next.event.kind));
      result = not_run(ErrorCode::closed, "repl ends: no hook is run any more");
    } else {
      result = run_one(next.event, origin, settings);
    }
    if (next.done) next.done(result);
    lock.lock();
    running_ = false;
    if (waiting_.empty()) changed_.notify_all();
  }
}

void Hooks::finish() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return stop_ || (waiting_.empty() && !running_); });
}

HookResult Hooks::run_one(const run::TreeEvent& event, const HookOrigin& origin,
                          const HookSettings& settings) {
  const auto at = settings.programs.find(event.kind);
  if (at == settings.programs.end()) return {};  // taken out by a reload
  const std::string who = fmt::format("{}: {}", origin.tree, key_of(event.kind));
  const std::string program = escape(at->second.front());
  log_.info("{}: {} runs", who, program);
  const HookResult result = run_hook_program(
      HookProgram{.arguments = at->second,
                  .environment = hook_environment(origin, event),
                  .timeout = settings.timeout},
      clock_, stop_fd_.get(), [&](std::string_view line) { log_.info("{}: {}", who, line); });
  if (result.failed()) {
    log_.error("{}: {} {}", who, result.ran ? program : "not run:", result.describe());
  } else {
    log_.info("{}: {} ended well", who, program);
  }
  return result;
}

void Hooks::stop() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
    changed_.notify_all();
  }
  if (stop_fd_.valid()) ::eventfd_write(stop_fd_.get(), 1);
  if (thread_.joinable()) thread_.join();
}

}  // namespace repl::cli

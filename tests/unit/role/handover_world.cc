#include "tests/unit/role/handover_world.h"

#include <algorithm>
#include <utility>

namespace repl::role {
namespace {

constexpr MonotonicTime start_time{};
constexpr Duration wait_max = std::chrono::hours(1'000'000);

const std::array<std::string, 2> names = {"mgmt1", "mgmt2"};
size_t other(size_t n) { return 1 - n; }

Fingerprint content_of(uint64_t version) { return Fingerprint{{.high = 7, .low = version}}; }

Reign next_reign(const World& w) { return Reign{{.high = 1, .low = w.reigns + 1}}; }

template <typename T>
const T* as(const Action& action) {
  return std::get_if<T>(&action);
}

bool stores_primary(const Action& action) {
  const Store* store = as<Store>(action);
  return store != nullptr && store->state.role == Role::primary;
}

bool says(const Action& action, HandoverKind kind) {
  const Say* say = as<Say>(action);
  return say != nullptr && say->message.kind == kind;
}

// What a mutant does to what its machine wants done.
void put_store_last(Actions& actions) {
  std::ranges::stable_partition(actions, [](const Action& a) { return !as<Store>(a); });
}

void mutate(World& w, Actions& actions) {
  const auto any = [&](auto test) { return std::ranges::any_of(actions, test); };
  switch (w.mutant) {
    case Mutant::confirm_before_primary_is_durable:
      if (any(stores_primary) &&
          any([](const Action& a) { return says(a, HandoverKind::confirm); }))
        put_store_last(actions);
      break;
    case Mutant::refused_before_cancelled_is_durable:
      if (any([](const Action& a) { return says(a, HandoverKind::refused); }))
        put_store_last(actions);
      break;
    case Mutant::grant_before_handed_is_durable:
      // The last look is taken at once, and the grant leaves before what it rests on is stored.
      break;
    case Mutant::aborts_nothing:
      std::erase_if(actions, [](const Action& a) { return says(a, HandoverKind::abort); });
      break;
    default:
      break;
  }
}

void do_next(World& w, size_t n);

void want(World& w, size_t n, Actions actions) {
  mutate(w, actions);
  for (Action& action : actions) {
    if (const Store* store = as<Store>(action)) {
      const Lineage& lineage = store->state.lineage;
      if (!lineage.empty() && lineage.back().reign == next_reign(w)) ++w.reigns;
    }
    w.nodes[n].todo.push_back(std::move(action));
  }
  if (!w.every_action) do_next(w, n);
}

TakerFacts facts_of(const World& w, size_t n) {
  const WorldNode& node = w.nodes[n];
  return TakerFacts{.primary = node.follows ? names[other(n)] : "",
                    .following = w.nodes[other(n)].state.position.reign,
                    .durable = node.state.position,
                    .content = content_of(node.recorded),
                    .identity = {},
                    .synced = true,
                    .held_keys = node.drifted ? 1U : 0U};
}

Readiness readiness_of(const World& w, size_t n) {
  const WorldNode& peer = w.nodes[other(n)];
  return Readiness{.connected = w.connected && peer.up,
                   .features = feature_roles,
                   .same_policy = true,
                   .synced = peer.follows,
                   .exact = true,
                   .held_keys = peer.drifted ? 1U : 0U};
}

Hello hello_of(const World& w, size_t n) {
  const NodeState& state = w.nodes[n].state;
  Hello hello;
  hello.node = names[n];
  hello.role = state.role;
  hello.position = state.position;
  hello.epoch_seen = state.epoch_seen;
  hello.lineage = state.lineage;
  return hello;
}

bool is_answer(HandoverKind kind) {
  return kind != HandoverKind::prepare && kind != HandoverKind::drain &&
         kind != HandoverKind::grant && kind != HandoverKind::abort;
}

void say(World& w, size_t from, const Handover& message);

void hear(World& w, size_t n, Handover message) {
  WorldNode& node = w.nodes[n];
  if (w.mutant == Mutant::declined_taken_for_refused && message.kind == HandoverKind::declined)
    message.kind = HandoverKind::refused;
  NodeState state = node.state;
  if (w.mutant == Mutant::forgets_cancelled && state.handover.stage == HandoverStage::cancelled)
    state.handover = HandoverState{};
  if (w.mutant == Mutant::repeated_grant_is_new && message.kind == HandoverKind::grant &&
      state.role == Role::primary) {
    message.kind = HandoverKind::refused;
    --message.epoch.value;
    say(w, n, message);
    return;
  }
  if (is_answer(message.kind))
    want(w, n, node.handing.on_message(state, names[other(n)], message, next_reign(w)));
  else
    want(w, n,
         node.taking.on_message(state, names[other(n)], message, facts_of(w, n), next_reign(w)));
}

void say(World& w, size_t from, const Handover& message) {
  if (w.mutant == Mutant::handed_without_drained && message.kind == HandoverKind::drain) {
    Handover drained = message;
    drained.kind = HandoverKind::drained;
    hear(w, from, drained);
    return;
  }
  if (!w.connected || !w.nodes[other(from)].up) return;
  Handover sent = message;
  sent.reason.clear();
  std::vector<Handover>& said = w.said[other(from)];
  if (w.reliable) {
    said.push_back(std::move(sent));
    return;
  }
  const auto at = std::ranges::lower_bound(said, image(sent), {}, image);
  if (at == said.end() || *at != sent) said.insert(at, std::move(sent));
}

void drained(World& w, size_t n) {
  WorldNode& node = w.nodes[n];
  const bool dirty = node.written != node.recorded && w.mutant != Mutant::no_last_look;
  node.drain_asked = false;
  want(w, n, node.handing.on_drained(node.state, dirty, start_time));
}

// Grant leaves on the strength of a state that is not stored yet.
bool delays_store(World& w, size_t n, const Store& store) {
  if (w.mutant != Mutant::grant_before_handed_is_durable ||
      store.state.handover.stage != HandoverStage::handed) {
    return false;
  }
  w.nodes[n].state = store.state;
  return true;
}

void do_one(World& w, size_t n) {
  WorldNode& node = w.nodes[n];
  const Action action = std::move(node.todo.front());
  node.todo.erase(node.todo.begin());
  if (const Store* store = as<Store>(action)) {
    if (!delays_store(w, n, *store)) node.state = node.durable = store->state;
    if (node.state.role != Role::secondary || waits_for_answer(node.state)) node.follows = false;
  } else if (const Say* message = as<Say>(action)) {
    say(w, n, message->message);
  } else if (const RunHook* hook = as<RunHook>(action)) {
    node.hooks.push_back(hook->hook);
  } else if (const SetGuard* guard = as<SetGuard>(action)) {
    node.guard_asked = guard->guard == Guard::closed;
  } else if (as<MakeFinalCut>(action) != nullptr) {
    node.cut_asked = true;
  } else if (as<DrainAgain>(action) != nullptr) {
    node.drain_asked = true;
  } else if (as<BecomePrimary>(action) != nullptr) {
    // It starts with what its tree is, drift included.
    node.recorded = node.written;
    w.nodes[other(n)].follows = false;
  }
}

// One action, or all up to the next Store.
void do_next(World& w, size_t n) {
  std::vector<Action>& todo = w.nodes[n].todo;
  if (!todo.empty()) do_one(w, n);
  while (!w.every_action && !todo.empty() && !as<Store>(todo.front())) do_one(w, n);
}

void make_cut(World& w, size_t n) {
  WorldNode& node = w.nodes[n];
  ++node.state.position.cut.value;
  node.recorded = node.written;
  node.durable.position = node.state.position;
}

void final_cut(World& w, size_t n) {
  WorldNode& node = w.nodes[n];
  node.cut_asked = false;
  make_cut(w, n);
  want(w, n,
       node.handing.on_final_cut(node.state, node.state.position.cut, content_of(node.recorded), {},
                                 start_time));
}

void hook_ends(World& w, size_t n, const Status& result) {
  WorldNode& node = w.nodes[n];
  const Hook hook = node.hooks.front();
  node.hooks.erase(node.hooks.begin());
  want(w, n, node.handing.on_hook(node.state, hook, result));
}

void guard_closes(World& w, size_t n, const Status& result) {
  WorldNode& node = w.nodes[n];
  node.guard_asked = false;
  want(w, n, node.handing.on_guard(node.state, result, start_time));
}

void stop(World& w, size_t n) {
  WorldNode& node = w.nodes[n];
  // What came between the last look and what was stored then, if no grant was said yet: drift.
  if (node.durable.handover.stage == HandoverStage::handed &&
      node.handing.memory().phase != HandingOver::Phase::granting) {
    w.accepted = std::min(w.accepted, node.recorded);
  }
  WorldNode after{.state = node.durable, .durable = node.durable};
  after.up = false;
  after.written = node.written;
  after.recorded = node.recorded;
  after.drifted = node.drifted;
  node = std::move(after);
  w.connected = false;
  w.nodes[other(n)].follows = false;
}

void restart(World& w, size_t n) {
  WorldNode& node = w.nodes[n];
  node.up = true;
  NodeState state = node.durable;
  if (w.mutant == Mutant::rolls_back_after_grant && state.handover.stage == HandoverStage::handed) {
    state.role = Role::primary;
    state.handover.stage = HandoverStage::draining;
  }
  node.state = begin_run(state, next_reign(w));
  if (node.state.lineage != state.lineage) ++w.reigns;
  node.durable = node.state;
  want(w, n, node.handing.restarted(node.state, start_time));
}

void connect(World& w) {
  w.connected = true;
  for (size_t n : {0U, 1U}) {
    WorldNode& node = w.nodes[n];
    want(w, n, node.handing.on_hello(node.state, hello_of(w, other(n)), start_time));
    want(w, n, node.taking.on_hello(node.state, names[other(n)], start_time));
  }
}

// The secondary meets the primary.
bool may_follow(const World& w, size_t n) {
  const WorldNode& node = w.nodes[n];
  const WorldNode& primary = w.nodes[other(n)];
  return w.connected && !node.follows && node.todo.empty() && primary.todo.empty() &&
         node.state.role == Role::secondary && primary.state.role == Role::primary &&
         !waits_for_answer(node.state) && primary.state.position.epoch >= node.state.epoch_seen &&
         has_reign(primary.state.lineage, node.state.position.reign);
}

void begin_to_follow(World& w, size_t n) {
  WorldNode& node = w.nodes[n];
  const NodeState& primary = w.nodes[other(n)].state;
  node.follows = true;
  node.state.role = Role::secondary;
  node.state.epoch_seen = std::max(node.state.epoch_seen, primary.position.epoch);
  node.durable = node.state;
}

bool may_sync(const World& w, size_t n) {
  const WorldNode& node = w.nodes[n];
  return w.connected && node.follows && node.todo.empty() &&
         w.nodes[other(n)].state.role == Role::primary &&
         node.state.position != w.nodes[other(n)].state.position;
}

void sync(World& w, size_t n) {
  WorldNode& node = w.nodes[n];
  const WorldNode& primary = w.nodes[other(n)];
  node.state = node.durable =
      follow(std::move(node.state), primary.state.lineage, primary.state.position);
  node.written = node.recorded = primary.recorded;
  want(w, n, node.taking.on_durable(node.state, facts_of(w, n)));
}

void time_comes(World& w, size_t n, bool give_up) {
  WorldNode& node = w.nodes[n];
  const MonotonicTime now =
      give_up ? node.handing.memory().give_up : node.handing.deadline().value_or(start_time);
  want(w, n, node.handing.on_time(node.state, now));
}

void start(World& w, size_t n) {
  WorldNode& node = w.nodes[n];
  const SwitchoverRequest request{
      .peer = names[other(n)], .token = {.high = 1, .low = ++w.tokens}, .wait_max = wait_max};
  want(w, n, node.handing.start(node.state, request, readiness_of(w, n), start_time));
}

void write(World& w, size_t n) {
  WorldNode& node = w.nodes[n];
  if (node.state.role == Role::secondary && !waits_for_answer(node.state)) {
    node.drifted = true;
    return;
  }
  ++node.written;
  if (node.state.role == Role::primary) w.accepted = std::max(w.accepted, node.written);
}

Status bad() { return fail(ErrorCode::internal, "it did not work"); }

void add_steps_of(const World& w, size_t n, std::vector<Step>& out) {
  const WorldNode& node = w.nodes[n];
  const auto add = [&](const std::string& what, std::function<void(World&)> run) {
    out.push_back(Step{names[n] + " " + what, std::move(run)});
  };
  if (!node.up) {
    add("starts", [n](World& x) { restart(x, n); });
    return;
  }
  if (w.crashes_left > 0) {
    add("stops", [n](World& x) {
      --x.crashes_left;
      stop(x, n);
    });
  }
  if (!node.todo.empty()) {
    add("does action " + std::to_string(node.todo.front().index()),
        [n](World& x) { do_next(x, n); });
    return;
  }
  for (const Handover& message : w.said[n]) {
    add("hears " + std::to_string(static_cast<int>(message.kind)),
        [n, message](World& x) { hear(x, n, message); });
  }
  if (!node.hooks.empty()) {
    add("hook ends", [n](World& x) { hook_ends(x, n, {}); });
    if (node.hooks.front() == Hook::on_demote)
      add("hook fails", [n](World& x) { hook_ends(x, n, bad()); });
  }
  if (node.guard_asked) {
    add("guard closes", [n](World& x) { guard_closes(x, n, {}); });
    add("guard is busy", [n](World& x) { guard_closes(x, n, bad()); });
  }
  if (node.cut_asked) add("makes the final cut", [n](World& x) { final_cut(x, n); });
  if (node.drain_asked) add("has drained", [n](World& x) { drained(x, n); });
  const bool primary = node.state.role == Role::primary;
  if (primary && node.written != node.recorded && !node.drain_asked)
    add("makes a cut", [n](World& x) { make_cut(x, n); });
  if (node.handing.deadline()) {
    add("says it again", [n](World& x) { time_comes(x, n, false); });
    if (node.handing.memory().phase != HandingOver::Phase::granting)
      add("gives up", [n](World& x) { time_comes(x, n, true); });
  }
  if (const auto at = node.taking.deadline(node.state)) {
    add("says ready again",
        [n, at](World& x) { want(x, n, x.nodes[n].taking.on_time(x.nodes[n].state, *at)); });
  }
  if (primary && w.starts_left > 0 && node.handing.memory().phase == HandingOver::Phase::idle) {
    add("is told to hand over", [n](World& x) {
      --x.starts_left;
      start(x, n);
    });
  }
  if (node.drifted) add("has its drift repaired", [n](World& x) { x.nodes[n].drifted = false; });
  if (may_follow(w, n)) add("follows", [n](World& x) { begin_to_follow(x, n); });
  if (may_sync(w, n)) add("has all durably", [n](World& x) { sync(x, n); });
}

}  // namespace

World first_world(int crashes, int writes, int starts, Mutant mutant) {
  World w;
  w.crashes_left = crashes;
  w.writes_left = writes;
  w.starts_left = starts;
  w.mutant = mutant;
  NodeState primary = found_tree(Reign{{.high = 1, .low = 1}});
  primary.position.cut = CutNumber{5};
  w.nodes[0].state = w.nodes[0].durable = primary;
  w.nodes[1].state = w.nodes[1].durable = follow(NodeState{}, primary.lineage, primary.position);
  w.nodes[1].follows = true;
  return w;
}

std::vector<Step> steps(const World& w) {
  std::vector<Step> out;
  for (const size_t n : {0U, 1U}) add_steps_of(w, n, out);
  if (w.writes_left > 0) {
    for (const size_t n : {0U, 1U}) {
      out.push_back(Step{"a write on " + names[n], [n](World& x) {
                           --x.writes_left;
                           write(x, n);
                         }});
    }
  }
  if (w.connected) {
    out.push_back(Step{"the connection ends", [](World& x) {
                         x.connected = false;
                         for (WorldNode& node : x.nodes) node.follows = false;
                       }});
  } else if (w.nodes[0].up && w.nodes[1].up && w.nodes[0].todo.empty() && w.nodes[1].todo.empty()) {
    out.push_back(Step{"they connect", [](World& x) { connect(x); }});
  }
  return out;
}

std::string ends_badly(World w) {
  constexpr int rounds_max = 100;
  w.reliable = true;
  for (std::vector<Handover>& said : w.said) said.clear();
  const auto settle = [&] {
    for (int i = 0; i < rounds_max; ++i) {
      bool moved = false;
      for (const size_t n : {0U, 1U}) {
        WorldNode& node = w.nodes[n];
        for (; !node.todo.empty(); moved = true) do_next(w, n);
        if (!node.hooks.empty())
          hook_ends(w, n, {});
        else if (node.guard_asked)
          guard_closes(w, n, {});
        else if (node.cut_asked)
          final_cut(w, n);
        else if (node.drain_asked)
          drained(w, n);
        else if (!w.said[n].empty()) {
          const Handover message = w.said[n].front();
          w.said[n].erase(w.said[n].begin());
          hear(w, n, message);
        } else if (may_follow(w, n))
          begin_to_follow(w, n);
        else if (may_sync(w, n))
          sync(w, n);
        else
          continue;
        moved = true;
      }
      if (!moved) return true;
    }
    return false;
  };
  for (const size_t n : {0U, 1U}) {
    for (WorldNode& node = w.nodes[n]; !node.todo.empty();) do_next(w, n);
    if (!w.nodes[n].up) restart(w, n);
  }
  if (!settle()) return "it never settles";
  if (!w.connected) connect(w);
  for (int i = 0; i < 4; ++i) {
    if (!settle()) return "it never settles";
    for (const size_t n : {0U, 1U}) {
      time_comes(w, n, false);
      WorldNode& node = w.nodes[n];
      want(w, n, node.taking.on_time(node.state, node.taking.memory().say_again));
    }
  }
  if (!settle()) return "it never settles";
  if (std::string broken = broken_invariant(w); !broken.empty()) return broken;
  const size_t primary = w.nodes[0].state.role == Role::primary ? 0 : 1;
  if (w.nodes[primary].state.role != Role::primary) return "nobody is the primary";
  if (!w.nodes[other(primary)].follows) return "the other node follows nobody";
  if (w.nodes[primary].state.handover != HandoverState{}) return "the primary is not done";
  const HandoverStage stage = w.nodes[other(primary)].state.handover.stage;
  if (stage != HandoverStage::none && stage != HandoverStage::cancelled)
    return "the secondary is not done";
  if (w.nodes[other(primary)].recorded != w.nodes[primary].recorded) return "the trees differ";
  return {};
}

}  // namespace repl::role

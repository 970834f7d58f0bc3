#include "tests/sim/roles_cluster.h"

#include <algorithm>
#include <utility>

namespace repl::sim {

namespace {

constexpr size_t trace_lines_max = 80;
constexpr Duration hello_every = std::chrono::milliseconds(500);
constexpr Duration tick = std::chrono::milliseconds(300);
constexpr Duration switchover_wait_max = std::chrono::seconds(20);

std::string steps_of(const Lineage& lineage) {
  std::string out;
  for (const LineageStep& step : lineage)
    out += " " + std::to_string(step.reign.low % 1000) + "@" + std::to_string(step.began_at.value);
  return out;
}

// A tree's fingerprint, as far as the protocol cares.
Fingerprint fingerprint(const Tree& tree) {
  Fingerprint out{{.high = 1, .low = 0}};
  for (const uint64_t version : tree) out.low = out.low * 1'000'003 + version;
  return out;
}

}  // namespace

Cluster::Cluster(uint64_t seed, const Options& options)
    : rng_(seed), options_(options), calmness_(uint64_t{1} << below(6)) {
  nodes_.resize(options.nodes);
  const role::NodeState founder = role::found_tree(fresh());
  for (size_t i = 0; i < nodes_.size(); ++i) {
    Node& node = nodes_[i];
    node.name = "mgmt" + std::to_string(i + 1);
    node.now.state =
        i == 0 ? founder : role::follow(role::NodeState{}, founder.lineage, founder.position);
    node.durable = node.now;
  }
  cuts_[{founder.position.reign, founder.position.cut.value}] = Tree{};
  for (size_t a = 0; a < nodes_.size(); ++a)
    for (size_t b = a + 1; b < nodes_.size(); ++b)
      connect(static_cast<int>(a), static_cast<int>(b));
}

void Cluster::say(const std::string& what) {
  trace_.push_back(what);
  if (trace_.size() > trace_lines_max) trace_.pop_front();
}

std::string Cluster::trace() const {
  std::string out;
  for (const std::string& line : trace_) out += line + "\n";
  for (const Node& n : nodes_) {
    const role::NodeState& s = n.now.state;
    out += n.name + (n.up ? "" : " (down)") + " role " + std::to_string(static_cast<int>(s.role)) +
           " stage " + std::to_string(static_cast<int>(s.handover.stage)) + " epoch " +
           std::to_string(s.position.epoch.value) + " seen " + std::to_string(s.epoch_seen.value) +
           " cut " + std::to_string(s.position.cut.value) + " of " +
           std::to_string(s.position.reign.low % 1000) + " lineage" + steps_of(s.lineage) +
           " follows " + std::to_string(n.follows) + " tree";
    for (const uint64_t version : n.tree) out += " " + std::to_string(version);
    out += " " + n.held + "\n";
  }
  return out;
}

void Cluster::broken(const std::string& what) {
  if (failure_.empty()) failure_ = what;
}

int Cluster::other(int n) {
  const auto away = static_cast<int>(1 + below(nodes_.size() - 1));
  return (n + away) % static_cast<int>(nodes_.size());
}

bool Cluster::connected(int a, int b) const {
  const auto at = links_.find(std::minmax(a, b));
  return at != links_.end() && at->second != 0;
}

size_t Cluster::held_keys(int n) const {
  const Node& node = nodes_[n];
  size_t held = 0;
  for (size_t k = 0; k < keys; ++k) held += node.tree[k] != node.now.recorded[k] ? 1 : 0;
  return held;
}

Hello Cluster::hello_of(int n) const {
  const Node& node = nodes_[n];
  Hello hello;
  hello.features = feature_roles;
  hello.node = node.name;
  hello.role = node.now.state.role;
  hello.position = node.now.state.position;
  hello.epoch_seen = node.now.state.epoch_seen;
  hello.lineage = node.now.state.lineage;
  hello.synced = true;
  hello.content = fingerprint(node.now.recorded);
  hello.content_known = true;
  return hello;
}

role::TakerFacts Cluster::taker_facts(int n) const {
  const Node& node = nodes_[n];
  return {.primary = node.follows < 0 ? "" : nodes_[node.follows].name,
          .following = node.follows < 0 ? Reign{} : node.followed.back().reign,
          .durable = node.durable.state.position,
          .content = fingerprint(node.durable.recorded),
          .identity = {},
          .synced = true,
          .held_keys = held_keys(n)};
}

role::Readiness Cluster::readiness(int n, int peer) const {
  const Node& node = nodes_[n];
  const auto acked = node.acked.find(peer);
  return {.connected = connected(n, peer) && nodes_[peer].up,
          .features = feature_roles,
          .same_policy = true,
          .synced = acked != node.acked.end(),
          .exact = true,
          .held_keys = held_keys(peer)};
}

// --- actions
// ---------------------------------------------------------------------------------------------------

void Cluster::want(int n, role::Actions actions) {
  std::ranges::move(actions, std::back_inserter(nodes_[n].todo));
}

void Cluster::do_next(int n) {
  Node& node = nodes_[n];
  if (node.todo.empty()) return;
  const role::Action action = std::move(node.todo.front());
  node.todo.pop_front();
  if (const auto* store = std::get_if<role::Store>(&action)) {
    node.now.state = store->state;
    node.durable = node.now;
    check_beginning(n);
    say(node.name + " stores role " + std::to_string(static_cast<int>(store->state.role)) +
        " stage " + std::to_string(static_cast<int>(store->state.handover.stage)) + " epoch " +
        std::to_string(store->state.position.epoch.value));
  } else if (const auto* message = std::get_if<role::Say>(&action)) {
    for (size_t to = 0; to < nodes_.size(); ++to)
      if (nodes_[to].name == message->to) send(n, static_cast<int>(to), message->message);
  } else if (const auto* hook = std::get_if<role::RunHook>(&action)) {
    node.hooks.push_back(hook->hook);
  } else if (const auto* guard = std::get_if<role::SetGuard>(&action)) {
    node.guard_asked = guard->guard == role::Guard::closed;
    node.guarded = node.guarded && node.guard_asked;
  } else if (std::holds_alternative<role::MakeFinalCut>(action)) {
    node.cut_asked = true;
  } else if (std::holds_alternative<role::DrainAgain>(action)) {
    node.drain_asked = true;
  } else if (const auto* report = std::get_if<role::Report>(&action)) {
    say(node.name + ": " + report->text);
    if (report->progress == role::Progress::done) ++switchovers_;
  } else {
    role_changed(n);  // StepDown, BecomePrimary, FollowAgain
  }
}

// What was agreed with anybody was agreed as another: every session begins again.
void Cluster::role_changed(int n) {
  nodes_[n].held.clear();
  for (int peer = 0; peer < static_cast<int>(nodes_.size()); ++peer) {
    if (peer == n || !connected(n, peer)) continue;
    disconnect(n, peer);
    connect(n, peer);
  }
}

void Cluster::fence(int n, const role::NodeState& next) {
  say(nodes_[n].name + " is fenced");
  nodes_[n].now.state = next;
  nodes_[n].durable = nodes_[n].now;
  nodes_[n].cut_asked = nodes_[n].drain_asked = nodes_[n].guard_asked = false;
  want(n, nodes_[n].handing.fenced());
  role_changed(n);
}

// --- the network
// ---------------------------------------------------------------------------------------------------

void Cluster::connect(int a, int b) {
  uint64_t& link = links_[std::minmax(a, b)];
  if (link != 0) return;
  link = ++connections_;
  for (const int n : {a, b}) send(n, n == a ? b : a, hello_of(n));
}

void Cluster::disconnect(int a, int b) {
  links_[std::minmax(a, b)] = 0;
  for (const auto& [n, peer] : {std::pair(a, b), std::pair(b, a)}) {
    Node& node = nodes_[n];
    node.heard.erase(peer);
    node.sent.erase(peer);
    node.acked.erase(peer);
    if (node.follows == peer) node.follows = -1;
  }
}

void Cluster::toggle_link(int n) {
  const int peer = other(n);
  if (!nodes_[n].up || !nodes_[peer].up) return;
  if (connected(n, peer))
    disconnect(n, peer);
  else
    connect(n, peer);
}

void Cluster::send(int from, int to, decltype(Packet::what) what) {
  if (!connected(from, to) || !nodes_[to].up) return;
  wires_[{from, to}].push_back(
      {.connection = links_[std::minmax(from, to)], .what = std::move(what)});
}

void Cluster::deliver(int from, int to) {
  std::deque<Packet>& wire = wires_[{from, to}];
  if (wire.empty() || !nodes_[to].up || !nodes_[to].todo.empty()) return;
  size_t at = calm_ ? 0 : below(wire.size());
  if (!std::holds_alternative<Handover>(wire[at].what)) {
    at = 0;
    while (std::holds_alternative<Handover>(wire[at].what)) ++at;
  }
  const Packet packet = wire[at];
  const bool handover = std::holds_alternative<Handover>(packet.what);
  const bool stays = handover && !calm_ && below(8) == 0;
  if (!stays) wire.erase(wire.begin() + static_cast<std::ptrdiff_t>(at));
  const bool stale = !connected(from, to) || packet.connection != links_[std::minmax(from, to)];
  if (handover ? !calm_ && below(8) == 0 : stale) return;
  take(to, from, packet);
}

void Cluster::take(int n, int from, const Packet& packet) {
  std::visit([&](const auto& what) { hear(n, from, what); }, packet.what);
}

void Cluster::hear(int n, int from, const Hello& hello) {
  Node& node = nodes_[n];
  node.heard[from] = hello;
  if (const auto next = fenced_by(hello_of(n), hello, node.now.state)) fence(n, *next);
  want(n, node.handing.on_hello(node.now.state, hello, now_));
  want(n, node.taking.on_hello(node.now.state, hello.node, now_));
  if (!node.todo.empty() || node.now.state.role == Role::primary || hello.role != Role::primary ||
      role::waits_for_answer(node.now.state) || node.follows == from) {
    return;
  }
  const Meeting meeting = meet(hello, hello_of(n));
  node.held = meeting.held;
  if (!meeting.applies) return;
  say(node.name + " follows " + hello.node);
  node.follows = from;
  node.followed = hello.lineage;
  if (role::has_reign(node.followed, node.now.state.position.reign))
    node.now.state.lineage = node.followed;
  node.now.state.role = Role::secondary;
  node.now.state.epoch_seen = std::max(node.now.state.epoch_seen, hello.position.epoch);
  flush(n);
}

void Cluster::hear(int n, int from, const Cut& cut) {
  Node& node = nodes_[n];
  role::NodeState& state = node.now.state;
  if (node.follows != from || node.followed.back().reign != cut.position.reign) return;
  if (cut.position.epoch < node.durable.state.epoch_seen) broken("an older epoch is applied");
  if (!role::is_ancestor(state.position, node.followed) &&
      !was_ever(node.now.recorded, node.followed)) {
    broken("a cut is applied over changes that are not its past");
  }
  for (size_t k = 0; k < keys; ++k) {
    if (node.tree[k] == node.now.recorded[k]) node.tree[k] = cut.tree[k];
    node.now.recorded[k] = cut.tree[k];
  }
  state = role::follow(std::move(state), node.followed, cut.position);
}

void Cluster::hear(int n, int from, const Acked& acked) { nodes_[n].acked[from] = acked.durable; }

void Cluster::hear(int n, int from, const Handover& message) {
  Node& node = nodes_[n];
  say(node.name + " hears " + std::to_string(static_cast<int>(message.kind)) + " of " +
      std::to_string(message.token.low % 1000));
  const bool asks = message.kind == HandoverKind::prepare || message.kind == HandoverKind::drain ||
                    message.kind == HandoverKind::grant || message.kind == HandoverKind::abort;
  if (asks)
    want(n, node.taking.on_message(node.now.state, nodes_[from].name, message, taker_facts(n),
                                   fresh()));
  else
    want(n, node.handing.on_message(node.now.state, nodes_[from].name, message, fresh()));
}

// --- what nodes do
// ---------------------------------------------------------------------------------------------------

void Cluster::write(int n) {
  Node& node = nodes_[n];
  const bool primary = node.up && node.now.state.role == Role::primary;
  if (node.guarded || (!primary && below(10 * calmness_) != 0)) return;
  const size_t key = below(keys);
  node.tree[key] = ++writes_;
  if (primary) accepted_[key] = writes_;
}

void Cluster::make_cut(int n) {
  Node& node = nodes_[n];
  role::NodeState& state = node.now.state;
  ++state.position.cut.value;
  node.now.recorded = node.tree;
  const auto [at, made] =
      cuts_.try_emplace({state.position.reign, state.position.cut.value}, node.now.recorded);
  if (!made && at->second != node.now.recorded) broken("one cut of a reign with two contents");
}

void Cluster::flush(int n) {
  Node& node = nodes_[n];
  node.durable = node.now;
  if (node.follows < 0) return;
  send(n, node.follows, Acked{node.durable.state.position});
  want(n, node.taking.on_durable(node.now.state, taker_facts(n)));
}

void Cluster::pump(int n) {
  Node& node = nodes_[n];
  if (node.now.state.role != Role::primary) return;
  for (const auto& [peer, hello] : node.heard) {
    const auto sent = node.sent.find(peer);
    // Decided once for a connection.
    const bool agreed = sent != node.sent.end();
    if (!connected(n, peer) || (!agreed && !meet(hello_of(n), hello).sends)) continue;
    const auto acked = node.acked.find(peer);
    const bool had = acked != node.acked.end() && acked->second == node.now.state.position;
    if (had || (!calm_ && sent != node.sent.end() && sent->second == node.now.state.position))
      continue;
    node.sent[peer] = node.now.state.position;
    send(n, peer, Cut{.position = node.now.state.position, .tree = node.now.recorded});
  }
}

void Cluster::answer(int n) {
  Node& node = nodes_[n];
  const role::NodeState& state = node.now.state;
  const Status good;
  const Status bad = fail(ErrorCode::internal, "it did not work");
  const auto luck = [&] { return calm_ || below(12) != 0 ? good : bad; };
  if (!node.hooks.empty()) {
    const role::Hook hook = node.hooks.front();
    node.hooks.pop_front();
    want(n, node.handing.on_hook(state, hook, luck()));
  } else if (node.guard_asked) {
    node.guard_asked = false;
    const Status result = luck();
    node.guarded = result.has_value() && below(2) == 0;  // not every tree has one
    want(n, node.handing.on_guard(state, result, now_));
  } else if (node.cut_asked) {
    node.cut_asked = false;
    make_cut(n);
    want(n, node.handing.on_final_cut(state, state.position.cut, fingerprint(node.now.recorded), {},
                                      now_));
  } else if (node.drain_asked) {
    node.drain_asked = false;
    want(n, node.handing.on_drained(state, node.tree != node.now.recorded, now_));
  } else if (state.role == Role::primary && node.tree != node.now.recorded) {
    make_cut(n);
  }
}

void Cluster::timers(int n) {
  Node& node = nodes_[n];
  now_ += tick;
  want(n, node.handing.on_time(node.now.state, now_));
  if (node.todo.empty()) want(n, node.taking.on_time(node.now.state, now_));
  if (now_ < node.next_hello) return;
  node.next_hello = now_ + hello_every;
  for (size_t peer = 0; peer < nodes_.size(); ++peer)
    if (static_cast<int>(peer) != n) send(n, static_cast<int>(peer), hello_of(n));
}

void Cluster::repair(int n) {
  Node& node = nodes_[n];
  if (node.now.state.role == Role::secondary && !role::waits_for_answer(node.now.state))
    node.tree = node.now.recorded;
}

void Cluster::switch_over(int n) {
  Node& node = nodes_[n];
  if (node.now.state.role != Role::primary) return;
  const int peer = other(n);
  want(n, node.handing.start(node.now.state,
                             {.peer = nodes_[peer].name,
                              .token = {.high = rng_(), .low = rng_() | 1},
                              .wait_max = switchover_wait_max},
                             readiness(n, peer), now_));
}

void Cluster::promote(int n) {
  Node& node = nodes_[n];
  if (!options_.promotions || node.now.state.role == Role::primary) return;
  const bool force = below(3) == 0;
  bool refused = role::waits_for_answer(node.now.state);
  for (const auto& [peer, hello] : node.heard) {
    refused =
        refused || hello.role == Role::primary || hello.position.cut > node.now.state.position.cut;
  }
  if (refused && !force) return;
  say(node.name + " is promoted" + (force ? " by force" : ""));
  promoted_ = true;
  if (role::waits_for_answer(node.now.state)) {
    want(n, node.handing.take_back_by_force(node.now.state, fresh()));
    return;
  }
  const role::NodeState next = role::promote(node.now.state, fresh());
  want(n, {role::Store{next}, role::BecomePrimary{}});
  want(n, role::serve(next));
}

void Cluster::stop(int n) {
  Node& node = nodes_[n];
  say(node.name + " stops");
  // What came between the last look and what was stored then: drift, and reported.
  if (node.durable.state.handover.stage == role::HandoverStage::handed &&
      node.handing.memory().phase != role::HandingOver::Phase::granting) {
    for (size_t k = 0; k < keys; ++k)
      accepted_[k] = std::min(accepted_[k], node.durable.recorded[k]);
  }
  // Recovery: what was applied and is not durable is taken back.
  if (node.now.state.role == Role::secondary) {
    for (size_t k = 0; k < keys; ++k)
      if (node.tree[k] == node.now.recorded[k]) node.tree[k] = node.durable.recorded[k];
  }
  for (size_t peer = 0; peer < nodes_.size(); ++peer)
    if (static_cast<int>(peer) != n) disconnect(n, static_cast<int>(peer));
  Node after;
  after.name = node.name;
  after.up = false;
  after.tree = node.tree;
  after.now = after.durable = node.durable;
  after.guarded = node.guarded;
  node = std::move(after);
}

void Cluster::start(int n) {
  Node& node = nodes_[n];
  say(node.name + " starts");
  node.up = true;
  node.now.state = role::begin_run(node.durable.state, fresh());
  node.durable = node.now;
  check_beginning(n);
  want(n, node.handing.restarted(node.now.state, now_));
  for (size_t peer = 0; peer < nodes_.size(); ++peer)
    if (static_cast<int>(peer) != n && nodes_[peer].up && (calm_ || below(2) == 0))
      connect(n, static_cast<int>(peer));
}

}  // namespace repl::sim

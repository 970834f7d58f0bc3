#include <algorithm>

#include "engine/base/bytes.h"
#include "tests/unit/role/handover_world.h"

namespace repl::role {
namespace {

void put(ByteWriter& out, const Handover& m) {
  out.u8(static_cast<uint8_t>(m.kind));
  for (const Bits128& bits : {m.token, Bits128(m.reign), Bits128(m.content), Bits128(m.identity)})
    out.u64(bits.low);
  out.u64(m.epoch.value);
  out.u64(m.cut.value);
}

void put(ByteWriter& out, const Action& action) {
  out.u8(static_cast<uint8_t>(action.index()));
  if (const Store* store = std::get_if<Store>(&action)) out.string(encode(store->state));
  if (const Say* message = std::get_if<Say>(&action)) put(out, message->message);
  if (const RunHook* hook = std::get_if<RunHook>(&action)) out.u8(static_cast<uint8_t>(hook->hook));
  if (const SetGuard* guard = std::get_if<SetGuard>(&action))
    out.u8(static_cast<uint8_t>(guard->guard));
}

void put(ByteWriter& out, const WorldNode& node) {
  out.string(encode(node.state));
  out.string(encode(node.durable));
  const HandingOver::Memory& p = node.handing.memory();
  out.u8(static_cast<uint8_t>(p.phase));
  out.u64(p.token.low);
  out.u64(p.cut.value);
  out.u64(p.content.low);
  out.u64(node.taking.memory().token.low);
  out.u64(node.taking.memory().cut.value);
  out.varint(node.todo.size());
  for (const Action& action : node.todo) put(out, action);
  out.varint(node.hooks.size());
  for (const Hook hook : node.hooks) out.u8(static_cast<uint8_t>(hook));
  for (const bool bit :
       {node.up, node.guard_asked, node.cut_asked, node.drain_asked, node.follows, node.drifted})
    out.u8(bit ? 1 : 0);
  out.varint(node.written);
  out.varint(node.recorded);
}

bool is_prefix(const Lineage& a, const Lineage& b) {
  return a.size() <= b.size() && std::equal(a.begin(), a.end(), b.begin());
}

}  // namespace

std::string image(const Handover& message) {
  std::string out;
  ByteWriter writer(out);
  put(writer, message);
  return out;
}

std::string key_of(const World& w) {
  std::string key;
  ByteWriter out(key);
  for (const WorldNode& node : w.nodes) put(out, node);
  for (const std::vector<Handover>& said : w.said) {
    out.varint(said.size());
    for (const Handover& message : said) put(out, message);
  }
  out.u8(w.connected ? 1 : 0);
  out.varint(w.accepted);
  out.u8(static_cast<uint8_t>(w.crashes_left));
  out.u8(static_cast<uint8_t>(w.writes_left));
  out.u8(static_cast<uint8_t>(w.starts_left));
  return key;
}

std::string broken_invariant(const World& w) {
  const auto& [a, b] = w.nodes;
  if (a.durable.role == Role::primary && b.durable.role == Role::primary) return "two primaries";
  if (a.state.role == Role::primary && b.state.role == Role::primary)
    return "two nodes that work as primaries";
  if (!is_prefix(a.durable.lineage, b.durable.lineage) &&
      !is_prefix(b.durable.lineage, a.durable.lineage)) {
    return "two histories";
  }
  for (const size_t n : {0U, 1U}) {
    const WorldNode& node = w.nodes[n];
    const WorldNode& peer = w.nodes[1 - n];
    if (node.durable.handover.stage == HandoverStage::handed &&
        peer.durable.position.cut < node.durable.handover.final_cut) {
      return "handed, and the successor lacks the final cut";
    }
    if (node.durable.role == Role::primary && node.written < w.accepted)
      return "the primary lacks what a primary accepted";
  }
  return {};
}

}  // namespace repl::role

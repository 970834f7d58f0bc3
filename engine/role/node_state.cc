#include "engine/role/node_state.h"

#include <algorithm>

#include "engine/base/bytes.h"
#include "engine/base/limits.h"

namespace repl::role {

namespace {

constexpr uint8_t format_version = 3;  // 1: without boot and losses of power; 2: without handover

void append_step(Lineage& lineage, const LineageStep& step) {
  lineage.push_back(step);
  if (lineage.size() > limits::lineage_reigns_max) lineage.erase(lineage.begin() + 1);
}

bool contains(const std::vector<Reign>& reigns, const Reign& reign) {
  return std::ranges::find(reigns, reign) != reigns.end();
}

void encode_handover(ByteWriter& out, const HandoverState& state) {
  out.u8(static_cast<uint8_t>(state.stage));
  out.bits(state.token);
  out.string(state.peer);
  out.u64(state.final_cut.value);
  out.u64(state.epoch.value);
  out.u8(state.hook_due ? 1 : 0);
}

bool decode_handover(ByteReader& in, HandoverState& state) {
  const uint8_t stage = in.u8();
  state.token = in.bits();
  state.peer = in.string();
  state.final_cut = CutNumber{in.u64()};
  state.epoch = Epoch{in.u64()};
  const uint8_t hook_due = in.u8();
  if (stage > static_cast<uint8_t>(HandoverStage::cancelled) || hook_due > 1) return false;
  state.stage = static_cast<HandoverStage>(stage);
  state.hook_due = hook_due == 1;
  return true;
}

}  // namespace

bool may_have_gap(const Lineage& lineage) { return lineage.size() >= limits::lineage_reigns_max; }

std::string encode(const NodeState& state) {
  std::string record;
  ByteWriter out(record);
  out.u8(format_version);
  out.u8(static_cast<uint8_t>(state.role));
  out.u64(state.position.epoch.value);
  out.bits(state.position.reign);
  out.u64(state.position.cut.value);
  out.u64(state.epoch_seen.value);
  out.u8(state.clean_stop ? 1 : 0);
  out.bits(state.boot);
  out.u64(state.id_counter);
  out.varint(state.lineage.size());
  for (const LineageStep& step : state.lineage) {
    out.bits(step.reign);
    out.u64(step.epoch.value);
    out.u64(step.began_at.value);
    out.u8(contains(state.after_power_loss, step.reign) ? 1 : 0);
  }
  encode_handover(out, state.handover);
  return record;
}

Result<NodeState> decode_node_state(std::string_view record) {
  ByteReader in(record);
  NodeState state;
  const uint8_t version = in.u8();
  const uint8_t role = in.u8();
  state.position.epoch = Epoch{in.u64()};
  state.position.reign = Reign{in.bits()};
  state.position.cut = CutNumber{in.u64()};
  state.epoch_seen = Epoch{in.u64()};
  state.clean_stop = in.u8() == 1;
  if (version == 1)
    static_cast<void>(in.u8());
  else
    state.boot = in.bits();
  state.id_counter = in.u64();
  const uint64_t steps = in.varint();
  for (uint64_t i = 0; in.ok() && i < steps && i < limits::lineage_reigns_max; ++i) {
    LineageStep step;
    step.reign = Reign{in.bits()};
    step.epoch = Epoch{in.u64()};
    step.began_at = CutNumber{in.u64()};
    if (version != 1 && in.u8() != 0) state.after_power_loss.push_back(step.reign);
    state.lineage.push_back(step);
  }
  const bool legal = version < 3 || decode_handover(in, state.handover);
  if (!legal || version == 0 || version > format_version ||
      role > static_cast<uint8_t>(Role::secondary) || !in.done()) {
    return fail(ErrorCode::invalid, "the stored role of this node is damaged or of a newer version",
                Remedy::hold);
  }
  state.role = static_cast<Role>(role);
  return state;
}

NodeState found_tree(const Reign& reign) {
  NodeState state;
  state.role = Role::primary;
  state.position = Position{.epoch = Epoch{1}, .reign = reign, .cut = CutNumber{1}};
  state.epoch_seen = Epoch{1};
  state.lineage = {LineageStep{.reign = reign, .epoch = Epoch{1}, .began_at = CutNumber{0}}};
  return state;
}

NodeState begin_run(NodeState state, const Reign& fresh, const Bits128& boot) {
  if (state.role == Role::primary && !state.clean_stop) {
    const Epoch epoch = state.position.epoch;
    state = begin_reign(std::move(state), fresh, epoch);
    const bool power_lost = state.boot.is_set() && boot.is_set() && state.boot != boot;
    if (power_lost) state.after_power_loss.push_back(fresh);
    std::erase_if(state.after_power_loss,
                  [&](const Reign& reign) { return !has_reign(state.lineage, reign); });
  }
  state.boot = boot;
  state.clean_stop = false;
  return state;
}

NodeState promote(NodeState state, const Reign& fresh, std::optional<CutNumber> whole_to) {
  const Epoch epoch{std::max(state.epoch_seen, state.position.epoch).value + 1};
  state.handover = HandoverState{};  // whatever was being handed over is void
  state = begin_reign(std::move(state), fresh, epoch);
  CutNumber& began_at = state.lineage.back().began_at;
  if (whole_to && *whole_to < began_at) began_at = *whole_to;
  return state;
}

CutNumber went_on_at(const Lineage& lineage, size_t step, size_t steps) {
  CutNumber at = lineage[step + 1].began_at;
  for (size_t next = step + 2; next < steps; ++next) at = std::min(at, lineage[next].began_at);
  return at;
}

NodeState begin_reign(NodeState state, const Reign& fresh, Epoch epoch) {
  const auto own = std::ranges::find(state.lineage, state.position.reign, &LineageStep::reign);
  if (own != state.lineage.end()) {
    state.lineage.erase(own + 1, state.lineage.end());
  } else if (!state.lineage.empty()) {
    // A lineage that was taken over without its cuts, and the own one is not known any more: to
    // claim less of the common past than there is makes others ask a person, never go by it.
    state.lineage.resize(1);
    append_step(state.lineage, {.reign = state.position.reign, .epoch = state.position.epoch});
  }
  append_step(state.lineage,
              LineageStep{.reign = fresh, .epoch = epoch, .began_at = state.position.cut});
  state.role = Role::primary;
  state.position.epoch = epoch;
  state.position.reign = fresh;
  state.epoch_seen = std::max(state.epoch_seen, epoch);
  state.clean_stop = false;
  state.id_counter = 0;
  return state;
}

NodeState give_way(NodeState state, const LineageStep& reign) {
  append_step(state.lineage, reign);
  state.role = Role::secondary;
  state.epoch_seen = std::max(state.epoch_seen, reign.epoch);
  state.handover = HandoverState{};
  return state;
}

NodeState follow(NodeState state, const Lineage& lineage, const Position& position) {
  state.role = Role::secondary;
  state.lineage = lineage;
  state.position = position;
  state.epoch_seen = std::max(state.epoch_seen, position.epoch);
  return state;
}

bool has_reign(const Lineage& lineage, const Reign& reign) {
  return std::ranges::any_of(lineage, [&](const LineageStep& s) { return s.reign == reign; });
}

bool lost_with_power(const Position& position, const Lineage& lineage,
                     const std::vector<Reign>& after_power_loss) {
  for (size_t i = 0; i + 1 < lineage.size(); ++i) {
    if (lineage[i].reign != position.reign) continue;
    return position.cut > lineage[i + 1].began_at &&
           contains(after_power_loss, lineage[i + 1].reign);
  }
  return false;
}

bool is_ancestor(const Position& position, const Lineage& lineage) {
  for (size_t i = 0; i < lineage.size(); ++i) {
    if (lineage[i].reign != position.reign) continue;
    if (i == 0 && may_have_gap(lineage)) return false;
    return i + 1 == lineage.size() || position.cut <= went_on_at(lineage, i, lineage.size());
  }
  return false;
}

bool may_be_pruned(const Position& position, const Reign& founding, const Lineage& lineage) {
  return may_have_gap(lineage) && !has_reign(lineage, position.reign) && founding.is_set() &&
         founding == lineage.front().reign && position.cut <= lineage[1].began_at;
}

}  // namespace repl::role

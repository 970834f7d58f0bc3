#include "engine/run/verifier.h"

#include <algorithm>
#include <utility>

#include "engine/base/limits.h"

namespace repl::run {

namespace {

constexpr int compare_tries = 50;
constexpr Duration compare_pause = std::chrono::milliseconds(200);
constexpr uint64_t walk_step_bytes = 64 << 20;

using Outcome = VerifyAnswer::Outcome;

}  // namespace

void Verifier::begin(const VerifyOptions& options, std::vector<std::string> peers,
                     const WaitAnswer& waited, std::function<void(VerifyAnswer)> answer) {
  auto run = std::make_unique<Run>();
  run->id = next_id_++;
  run->options = options;
  run->done = std::move(answer);
  for (std::string& node : peers) {
    Peer peer;
    peer.answer.name = node;
    if (waited.result == WaitResult::peer_away || waited.result == WaitResult::timeout) {
      peer.done = true;
      peer.answer.outcome = Outcome::peer_away;
      peer.answer.detail = waited.detail;
    }
    run->peers.emplace(node, std::move(peer));
  }
  if (options.full) {
    Run* target = run.get();
    run->walk = std::make_unique<ContentWalk>(
        *parts_.index, *parts_.dirs, WalkKind::everything,
        [this, target](const ContentWalk::Found& found) { take_found(*target, found); });
  } else {
    run->walked = true;
  }
  runs_.push_back(std::move(run));
}

void Verifier::take_found(Run& run, const ContentWalk::Found& found) {
  if (!found.digest) return;  // it changed since: its event is on the way
  if (found.entry.attr.content.is_set() && *found.digest != found.entry.attr.content &&
      run.answer.differences.size() < limits::holds_listed_max) {
    run.answer.differences.push_back(parts_.describe(found.key));
  }
}

bool Verifier::step(MonotonicTime now, const Ask& ask) {
  bool more = false;
  for (const auto& run : runs_) {
    for (auto& [node, peer] : run->peers) {
      if (peer.done || peer.asked || now < peer.again) continue;
      peer.asked =
          ask(node, VerifyRequest{.id = run->id, .full = run->options.full && peer.tries == 0});
      if (peer.asked) continue;
      peer.done = true;
      peer.answer.outcome = Outcome::peer_away;
      peer.answer.detail = "not connected";
    }
    if (!run->walked) {
      run->walked = run->walk->step(walk_step_bytes);
      run->answer.bytes_read = run->walk->bytes_read();
      more = more || !run->walked;
    }
  }
  std::vector<std::unique_ptr<Run>> ended;
  std::erase_if(runs_, [&](std::unique_ptr<Run>& run) {
    const bool done =
        run->walked && std::ranges::all_of(run->peers, [](const auto& p) { return p.second.done; });
    if (done) ended.push_back(std::move(run));
    return done;
  });
  for (const auto& run : ended) finish(*run);
  return more;
}

void Verifier::on_reply(const std::string& node, const VerifyReply& reply) {
  for (const auto& run : runs_) {
    if (run->id != reply.id) continue;
    const auto at = run->peers.find(node);
    if (at != run->peers.end() && at->second.asked && !at->second.done) judge(at->second, reply);
  }
}

void Verifier::judge(Peer& peer, const VerifyReply& reply) {
  for (const std::string& path : reply.mismatches) {
    if (peer.answer.differences.size() < limits::holds_listed_max)
      peer.answer.differences.push_back(path);
  }
  const std::optional<DirSummary> root = parts_.index->summary(root_dir);
  // Equal fingerprints prove equality whatever the positions are; different ones prove a difference
  // only at one.
  const bool comparable =
      reply.synced && root && root->unknown == 0 &&
      (reply.position == parts_.state.position || reply.content == parts_.index->root_content());
  if (!comparable && ++peer.tries < compare_tries) {
    peer.asked = false;
    peer.again = parts_.clock.now() + compare_pause;
    return;
  }
  peer.done = true;
  if (!comparable) {
    peer.answer.outcome = Outcome::failed;
    peer.answer.detail = !reply.synced ? "the peer is scanning or making a cut durable"
                         : !root || root->unknown != 0
                             ? "not every content has been read here yet"
                             : "the tree keeps changing: no moment at which both stood at "
                               "one position was found";
  } else if (reply.content != parts_.index->root_content() || !peer.answer.differences.empty()) {
    peer.answer.outcome = Outcome::different;
    peer.answer.detail = reply.content != parts_.index->root_content()
                             ? "the root fingerprints differ"
                             : "bytes on the peer are not what its index says";
  } else if (!reply.held.empty()) {
    peer.answer.outcome = Outcome::equal_except_held;
    peer.answer.differences = reply.held;
    peer.answer.detail = "equal, except paths that are held";
  } else {
    peer.answer.outcome = Outcome::equal;
  }
}

void Verifier::on_closed(const std::string& node) {
  for (const auto& run : runs_) {
    const auto at = run->peers.find(node);
    if (at == run->peers.end() || at->second.done) continue;
    at->second.done = true;
    at->second.answer.outcome = Outcome::peer_away;
    at->second.answer.detail = "the connection was lost";
  }
}

std::optional<MonotonicTime> Verifier::deadline() const {
  std::optional<MonotonicTime> first;
  for (const auto& run : runs_) {
    for (const auto& [node, peer] : run->peers) {
      if (!peer.done && !peer.asked && (!first || peer.again < *first)) first = peer.again;
    }
  }
  return first;
}

void Verifier::finish(Run& run) {
  VerifyAnswer& answer = run.answer;
  answer.position = parts_.state.position;
  answer.content = parts_.index->root_content();
  answer.entries = parts_.index->counts().entries;
  answer.outcome = answer.differences.empty() ? Outcome::equal : Outcome::different;
  for (auto& [node, peer] : run.peers) {
    answer.outcome = std::max(answer.outcome, peer.answer.outcome);
    answer.peers.push_back(std::move(peer.answer));
  }
  run.done(std::move(answer));
}

}  // namespace repl::run

#include "engine/run/verifier.h"

#include <algorithm>
#include <utility>

#include "engine/base/limits.h"

namespace repl::run {

namespace {

constexpr int compare_tries = 50;
constexpr Duration compare_pause = std::chrono::milliseconds(200);
constexpr uint64_t walk_step_bytes = 64 << 20;
constexpr Duration progress_interval = std::chrono::milliseconds(200);
// A try may read the whole tree: fewer of them.
constexpr int proof_tries = 20;
constexpr Duration proof_pause = std::chrono::milliseconds(500);
constexpr const char* keeps_changing =
    "the tree keeps changing: no moment at which both stood at one position was found";

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
    // Who is away is found when it is asked; the others can be compared all the same.
    if (waited.result == WaitResult::timeout) {
      peer.done = true;
      peer.answer.detail = "not reached in time: " + waited.detail;
    }
    run->peers.emplace(node, std::move(peer));
  }
  if (options.sha256) {
    run->options.full = true;
  } else if (options.full) {
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

void Verifier::disturb() {
  for (const auto& run : runs_) {
    if (run->proof) run->proof->disturb();
  }
}

bool Verifier::step(MonotonicTime now, const Around& primary) {
  bool more = false;
  if (!primary.quiet) disturb();
  std::erase_if(runs_,
                [](const auto& run) { return run->options.abandoned && run->options.abandoned(); });
  for (const auto& run : runs_) {
    for (auto& [node, peer] : run->peers) {
      if (peer.done || peer.asked || now < peer.again) continue;
      peer.asked = primary.ask(node, VerifyRequest{.id = run->id,
                                                   .full = run->options.full && !peer.read,
                                                   .sha256 = run->options.sha256});
      if (peer.asked) continue;
      peer.done = true;
      peer.answer.outcome = Outcome::peer_away;
      peer.answer.detail = "not connected";
    }
    nothing_to_prove(*run);
    if (!run->walked) more = step_walk(*run, now, primary) || more;
    if (!run->options.sha256) continue;
    for (auto& [node, peer] : run->peers) {
      if (run->walked && !peer.done) judge_proof(*run, peer, now);
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

// What is held here is not on disk to be hashed.
void Verifier::nothing_to_prove(Run& run) {
  if (!run.options.sha256 || !held_.here) return;
  const std::vector<std::string> held = held_.here();
  if (held.empty()) return;
  run.walked = true;
  for (auto& [node, peer] : run.peers) {
    if (std::exchange(peer.done, true)) continue;
    peer.answer.outcome = Outcome::held;
    peer.answer.differences = held;
    peer.answer.detail =
        "removals are held here, and what is held cannot be proved: --full compares the rest";
  }
}

bool Verifier::step_walk(Run& run, MonotonicTime now, const Around& primary) {
  if (run.options.sha256) return step_proof(run, now, primary);
  run.walked = run.walk->step(walk_step_bytes);
  run.answer.bytes_read = run.walk->bytes_read();
  tell(run, now);
  return !run.walked;
}

void Verifier::tell(Run& run, MonotonicTime now) const {
  if (!run.options.progress || now - run.told < progress_interval) return;
  run.told = now;
  run.options.progress(run.answer.bytes_read, parts_.index->counts().bytes);
}

bool Verifier::step_proof(Run& run, MonotonicTime now, const Around& primary) {
  if (now < run.again) return false;
  run.problem = keeps_changing;
  if (!run.proof && primary.quiet) {
    run.answer.differences.clear();
    run.proof = std::make_unique<TreeProof>(
        *parts_.index, *parts_.dirs, parts_.state.position,
        [this, &run](const ContentWalk::Found& found) { take_found(run, found); });
  }
  if (run.proof && run.proof->holds_at(parts_.state.position)) {
    const bool read = run.proof->step(walk_step_bytes);
    run.answer.bytes_read = run.proof->bytes_read();
    tell(run, now);
    if (!read) return true;
    primary.drain();
    if (run.proof->holds_at(parts_.state.position)) {
      if (std::optional<std::string> digest = run.proof->digest()) {
        run.proven = Proven{.at = parts_.state.position,
                            .content = parts_.index->root_content(),
                            .sha256 = std::move(*digest)};
      } else {
        run.problem = "a file cannot be read here as it was last seen: `repl status` names it";
        run.tries +=
            proof_tries / 5;  // its event may be on the way; the whole tree was read for it
      }
    }
  }
  run.proof.reset();
  run.walked = run.proven || ++run.tries >= proof_tries;
  run.again = now + proof_pause;
  return false;
}

void Verifier::on_reply(const std::string& node, const VerifyReply& reply) {
  for (const auto& run : runs_) {
    if (run->id != reply.id) continue;
    const auto at = run->peers.find(node);
    if (at == run->peers.end() || !at->second.asked || at->second.done) continue;
    at->second.read = at->second.read || reply.bytes_read > 0;
    at->second.answer.bytes_read += reply.bytes_read;
    if (run->options.sha256) {
      at->second.reply = reply;
    } else {
      judge(at->second, reply);
    }
  }
}

void Verifier::judge(Peer& peer, const VerifyReply& reply) {
  for (const std::string& path : reply.mismatches) {
    if (peer.answer.differences.size() < limits::holds_listed_max)
      peer.answer.differences.push_back(path);
  }
  const std::optional<DirSummary> root = parts_.index->summary(root_dir);
  std::vector<std::string> held = held_.here ? held_.here() : std::vector<std::string>();
  const std::optional<Fingerprint> without =
      held_.without && !held.empty() ? held_.without(peer.answer.name) : std::nullopt;
  const bool at_ours = reply.position == parts_.state.position;
  const bool lacks_held = at_ours && without == reply.content;
  const bool same = reply.content == parts_.index->root_content() || lacks_held;
  // Equal fingerprints prove equality whatever the positions are; different ones prove a difference
  // only at one.
  const bool comparable =
      reply.synced && root && (root->unknown == 0 || lacks_held) && (at_ours || same);
  if (!comparable && ++peer.tries < compare_tries) {
    peer.asked = false;
    peer.again = parts_.clock.now() + compare_pause;
    return;
  }
  peer.done = true;
  if (!comparable) {
    peer.answer.outcome = Outcome::failed;
    peer.answer.detail = !reply.synced ? "the peer is scanning or making a cut durable"
                         : !root || root->unknown != 0 ? "not every content has been read here yet"
                                                       : keeps_changing;
  } else if (!same || !peer.answer.differences.empty()) {
    peer.answer.outcome = Outcome::different;
    peer.answer.detail =
        !same ? "the root fingerprints differ" : "bytes on the peer are not what its index says";
  } else if (!reply.held.empty() || !held.empty()) {
    peer.answer.outcome = Outcome::equal_except_held;
    peer.answer.detail = held.empty() ? "equal, except paths that are held"
                                      : "equal, except what was removed here and is held";
    peer.answer.differences = std::move(held);
    peer.answer.differences.insert(peer.answer.differences.end(), reply.held.begin(),
                                   reply.held.end());
  } else {
    peer.answer.outcome = Outcome::equal;
  }
}

void Verifier::judge_proof(Run& run, Peer& peer, MonotonicTime now) {
  if (!run.proven) {
    peer.done = true;
    peer.answer.detail = run.problem;
    return;
  }
  if (!peer.reply) return;
  const VerifyReply reply = *std::exchange(peer.reply, std::nullopt);
  peer.answer.differences = reply.mismatches;
  peer.answer.sha256 = reply.sha256;
  const bool comparable = reply.synced && reply.position == run.proven->at;
  if (comparable && !reply.held.empty()) {
    peer.done = true;
    peer.answer.outcome = Outcome::held;
    peer.answer.differences = reply.held;
    peer.answer.detail =
        "paths are held there, and what is held cannot be proved: `repl status` "
        "there lists them, --full compares the rest";
    return;
  }
  if (comparable && reply.sha256 == run.proven->sha256 && reply.mismatches.empty()) {
    peer.done = true;
    peer.answer.outcome = Outcome::equal;
    return;
  }
  // RACE: bytes are written before their event is there, so a file may be read as it never was at
  // this position: that trees differ is believed when it is found twice.
  const bool certain = comparable && std::exchange(peer.doubted, true);
  if (!certain && ++peer.tries < proof_tries) {
    peer.asked = false;
    peer.again = now + proof_pause;
    if (comparable || run.proven->at != parts_.state.position) {
      run.proven.reset();
      run.walked = false;
      run.again = peer.again;
    }
    return;
  }
  peer.done = true;
  if (!comparable) {
    peer.answer.detail = reply.synced ? keeps_changing
                                      : "the peer's tree does not hold still: it is being changed, "
                                        "scanned or read for another verification";
  } else if (reply.sha256.empty() && reply.mismatches.empty()) {
    peer.answer.detail = "the peer knows no SHA-256 proof: its version is older";
  } else {
    peer.answer.outcome = Outcome::different;
    peer.answer.detail = reply.mismatches.empty() ? "the SHA-256 of the two trees differ"
                                                  : "bytes on the peer are not what its index says";
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
    if (!run->walked && run->options.sha256 && (!first || run->again < *first)) first = run->again;
  }
  return first;
}

void Verifier::finish(Run& run) {
  VerifyAnswer& answer = run.answer;
  answer.position = parts_.state.position;
  answer.content = parts_.index->root_content();
  if (run.proven) {
    answer.position = run.proven->at;
    answer.content = run.proven->content;
    answer.sha256 = run.proven->sha256;
  }
  answer.entries = parts_.index->counts().entries;
  answer.outcome = answer.differences.empty() ? Outcome::equal : Outcome::different;
  for (auto& [node, peer] : run.peers) {
    answer.outcome = std::max(answer.outcome, peer.answer.outcome);
    answer.peers.push_back(std::move(peer.answer));
  }
  run.done(std::move(answer));
}

}  // namespace repl::run

// primary_answers.cc: what others ask of a Primary (wait, verify, status), and the proofs and
// digests behind the answers.
#include <algorithm>
#include <utility>

#include "engine/base/limits.h"
#include "engine/run/primary.h"

namespace repl::run {

namespace {

constexpr Duration prove_delay = std::chrono::milliseconds(200);
constexpr uint64_t digest_step_bytes = 64 << 20;

}  // namespace

PeerStanding Primary::standing_of(const std::string& node) const {
  for (const auto& [session, sender] : senders_) {
    if (sender->node() == node) return sender->standing();
  }
  for (const auto& [session, standing] : held_) {
    if (standing.node == node) return standing;
  }
  PeerStanding away;
  away.node = node;
  return away;
}

void Primary::wait(const WaitRequest& request, std::function<void(WaitAnswer)> answer) {
  waiters_.add(request, std::move(answer), parts_.clock.now());
}

void Primary::verify(const VerifyOptions& options, std::function<void(VerifyAnswer)> answer) {
  std::vector<std::string> peers;
  for (const std::string& node : parts_.options.nodes) {
    if (node != parts_.options.node) peers.push_back(node);
  }
  verify_peers(options, std::move(peers), {}, std::move(answer));
}

void Primary::verify_peers(const VerifyOptions& options, std::vector<std::string> peers,
                           const std::string& only, std::function<void(VerifyAnswer)> answer) {
  WaitRequest first{.level = AckLevel::durable,
                    .timeout_ms = 600'000,
                    .wait_for_peers = false,
                    .only = only,
                    .abandoned = options.abandoned};
  wait(first, [this, options, peers = std::move(peers),
               answer = std::move(answer)](const WaitAnswer& waited) mutable {
    verifier_.begin(options, std::move(peers), waited, std::move(answer));
    const std::optional<DirSummary> root = parts_.index->summary(root_dir);
    if (root && root->unknown > 0) begin_digests();
    wake_();
  });
}

void Primary::describe(TreeFacts& facts) const {
  facts.state = emptied_ ? "held" : scan_ ? "scanning" : digests_ ? "reading contents" : "synced";
  facts.unordered_cuts = unordered_cuts_;
  if (emptied_) {
    facts.holds.push_back(
        "the root is empty, but entries were in it: nothing is removed on any peer until `repl "
        "approve " +
        parts_.options.name + "`");
  }
  describe_held(facts);
  for (const auto& [key, unread] : unreadable_) {
    if (facts.errors.size() >= limits::holds_listed_max) break;
    facts.errors.push_back(parts_.describe(key) + ": " + unread.reason);
  }
  for (const std::string& error : scan_errors_) {
    if (facts.holds.size() < limits::holds_listed_max) facts.holds.push_back(error);
  }
  if (!committer_.error().empty()) facts.errors.push_back(committer_.error());
  const MonotonicTime now = parts_.clock.now();
  for (PeerFacts& peer : facts.peers) {
    for (const auto& [session, sender] : senders_) {
      if (sender->node() == peer.name) sender->describe(peer);
    }
    if (const auto at = durable_.find(peer.name); at != durable_.end()) {
      peer.durable = std::max(peer.durable, at->second);
    }
    if (peer.durable >= facts.position.cut) continue;
    const auto first =
        std::ranges::find_if(cut_times_, [&](const auto& c) { return c.first > peer.durable; });
    if (first != cut_times_.end()) {
      peer.lag_seconds = std::chrono::duration<double>(now - first->second).count();
    }
    static_cast<void>(parts_.index->changes_since(peer.durable, [&](const Change& change) {
      ++peer.lag_paths;
      if (const auto entry = change.removed ? std::nullopt : parts_.index->get(change.key)) {
        peer.lag_bytes += entry->attr.size;
      }
      return peer.lag_paths < limits::dirty_keys_max;
    }));
  }
}

// A peer that caught up wants to know that it did.
void Primary::verify_for(const Session& session, const VerifyRequest& request) {
  const std::string node = session.peer;
  const std::weak_ptr<Link> link = session.link;
  const auto answer = [link, id = request.id](const VerifyAnswer& verified) {
    VerifyReply reply;
    reply.id = id;
    reply.position = verified.position;
    reply.content = verified.content;
    reply.entries = verified.entries;
    reply.synced = verified.outcome == VerifyAnswer::Outcome::equal;
    for (const VerifyAnswer::Peer& peer : verified.peers) {
      if (!peer.detail.empty()) reply.mismatches.push_back(peer.detail);
      for (const std::string& path : peer.differences) reply.mismatches.push_back(path);
    }
    if (const auto open = link.lock())
      static_cast<void>(open->send(std::move(reply), Lane::prompt));
  };
  VerifyOptions options;
  options.full = request.full;
  options.sha256 = request.sha256;
  options.abandoned = [link] {
    const auto open = link.lock();
    return !open || !open->open();
  };
  verify_peers(options, {node}, node, answer);
}

bool Primary::read_contents() {
  const std::optional<DirSummary> root = parts_.index->summary(root_dir);
  if (!digests_ && root && root->unknown > 0) begin_digests();
  return digests_ != nullptr;
}

void Primary::fence(const std::string& why) { waiters_.fail_all(why); }

Primary::Following Primary::following(const std::string& node) const {
  for (const auto& [session, sender] : senders_) {
    if (sender->node() != node) continue;
    const send::SenderStatus status = sender->status();
    const PeerStanding standing = sender->standing();
    const auto behind = std::ranges::find_if(
        cut_times_, [&](const auto& cut) { return cut.first > standing.durable; });
    return Following{
        .synced = status.phase == send::SendPhase::live && !standing.held && !status.owes,
        .exact = !status.loose_since.is_set(),
        .lag = behind == cut_times_.end() ? Duration{} : parts_.clock.now() - behind->second,
        .held_keys = standing.held_keys};
  }
  return {};
}

void Primary::want_final_cut() {
  final_after_ = parts_.state.position.cut;
  exact_ = false;
  wake_();
}

std::optional<CutNumber> Primary::final_cut(const std::string& node) const {
  const Following at = following(node);
  const bool made = settled() && !scan_ && exact_ && parts_.state.position.cut > final_after_;
  if (!made || !at.synced || !at.exact) return std::nullopt;
  return parts_.state.position.cut;
}

std::vector<RoleChange::Behind> Primary::behind() const {
  std::vector<RoleChange::Behind> behind;
  for (const std::string& node : parts_.options.nodes) {
    if (node == parts_.options.node) continue;
    const auto at = durable_.find(node);
    const CutNumber durable = at == durable_.end() ? CutNumber{} : at->second;
    if (durable < parts_.state.position.cut || !parts_.changes.empty())
      behind.push_back({.node = node, .durable = durable});
  }
  return behind;
}

std::vector<std::string> Primary::held_paths() const {
  std::vector<std::string> paths;
  for (const auto& [key, held] : held_removals_.keys()) {
    if (paths.size() >= limits::holds_listed_max) break;
    std::string path = parts_.describe(key);
    if (held.dir.is_set())
      path += ": a directory, " + std::to_string(held.entries) + " entries with what was in it";
    if (held.replaced)
      path += "; what is there now waits, because it would take the place of all that";
    paths.push_back(std::move(path));
  }
  return paths;
}

std::optional<Fingerprint> Primary::without_held(const std::string& node) const {
  for (const auto& [session, sender] : senders_) {
    if (sender->node() == node) return sender->status().without_held;
  }
  return std::nullopt;
}

void Primary::describe_held(TreeFacts& facts) const {
  if (held_removals_.empty()) return;
  facts.holds.push_back(
      std::to_string(held_removals_.entries()) +
      " entries were removed here, more than max_delete allows: the peers keep them. `repl "
      "approve " +
      parts_.options.name + "` removes them there, too; put back here, they are as before");
  facts.held_paths = held_paths();
  facts.held_keys = held_removals_.keys().size();
  for (const auto& [session, sender] : senders_) {
    const uint64_t lacks = sender->status().withheld;
    if (lacks == 0) continue;
    facts.holds.push_back(sender->node() + " has not, or in an older version, " +
                          std::to_string(lacks) + " of them: nobody here can send it");
  }
}

// A cut that was not exact (a scan's, a hot file's) says nothing of equality. When the tree holds
// still, or somebody waits, what the peer has is compared with the index.
// True: there may be more to send.
bool Primary::step_proofs(MonotonicTime now) {
  const bool unproved = std::ranges::any_of(
      senders_, [](const auto& sender) { return sender.second->status().unproved; });
  if (!unproved || !synced() || !parts_.changes.empty()) {
    prove_at_.reset();
    return false;
  }
  if (!prove_at_) prove_at_ = now + prove_delay;
  if (now < *prove_at_ && waiters_.empty()) return false;
  prove_at_.reset();
  const std::optional<DirSummary> root = parts_.index->summary(root_dir);
  if (root && root->unknown > held_removals_.unknown()) {
    if (digests_) return false;
    // What cannot be read is named elsewhere; once tried, it keeps nobody waiting.
    const bool tried =
        std::exchange(digested_for_, parts_.state.position.cut) == parts_.state.position.cut;
    if (!tried) begin_digests();
    for (auto& [session, sender] : senders_) {
      if (tried) sender->not_provable();
    }
    return false;
  }
  bool differs = false;
  for (auto& [session, sender] : senders_) differs = sender->prove() || differs;
  return differs;
}

void Primary::step_waiters(MonotonicTime now) {
  std::vector<PeerStanding> peers;
  for (const std::string& node : parts_.options.nodes) {
    if (node == parts_.options.node) continue;
    peers.push_back(standing_of(node));
    if (!emptied_) continue;
    peers.back().connected = peers.back().held = true;
    peers.back().reason =
        "the root is empty here, but entries were in it: `repl approve` sends that";
  }
  // What could not be read is not on its way; the first time it may be a passing trouble.
  OwnStanding own{.cut = parts_.state.position.cut, .scanning = !synced()};
  own.oldest_change = parts_.changes.rescan_needed() ? MonotonicTime{} : parts_.changes.oldest();
  for (const auto& [key, unread] : unreadable_) {
    if (retried_.contains(key))
      ++own.unreadable;
    else
      own.oldest_change = MonotonicTime{};
  }
  waiters_.step(now, own, peers);
}

void Primary::begin_digests() {
  if (digests_) return;
  digests_ = std::make_unique<ContentWalk>(
      *parts_.index, *parts_.dirs, WalkKind::unknown_only, [this](const ContentWalk::Found& found) {
        if (found.digest) {
          content_known(found.key, found.entry.attr, *found.digest, found.blocks);
        } else {
          on_hint(found.key, hint_modified);
        }
      });
}

void Primary::step_digests() {
  if (!digests_->step(digest_step_bytes)) return;
  digests_.reset();
  parts_.log.debug("{}: every content is known", parts_.options.name);
}

void Primary::content_known(const Key& key, const Attributes& attr, const Digest& digest,
                            const std::vector<Digest>& blocks) {
  const std::optional<Entry> entry = parts_.index->get(key);
  if (!entry || entry->attr.type != FileType::regular || entry->attr.size != attr.size ||
      entry->attr.mtime != attr.mtime) {
    return;
  }
  // One content for all names of the inode, whichever of them was read.
  std::vector<Key> names{key};
  if (entry->attr.link.is_set()) names = parts_.index->keys_of_link(entry->attr.link);
  for (const Key& name : names) {
    const std::optional<Entry> other = parts_.index->get(name);
    if (other && other->attr.size == attr.size && other->attr.mtime == attr.mtime) {
      parts_.index->set_content(name, digest, attr.size);
    }
  }
  if (blocks.size() > 1) parts_.index->put_block_table(digest, blocks);
}

}  // namespace repl::run

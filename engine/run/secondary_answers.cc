// secondary_answers.cc: what others ask of a Secondary: verify, status.
#include <utility>

#include "engine/base/limits.h"
#include "engine/model/hash.h"
#include "engine/run/secondary.h"
#include "engine/run/wanted_content.h"

namespace repl::run {

namespace {

constexpr uint64_t proof_step_bytes = 64 << 20;
constexpr size_t verify_queue_max = 8;

}  // namespace

void Secondary::begin_verify(const VerifyRequest& request) {
  if (verify_ || walk_) {  // reading already, for another question
    if (verify_queue_.size() < verify_queue_max) {
      verify_queue_.push_back(request);
      return;
    }
    VerifyReply busy;  // to be asked again
    busy.id = request.id;
    static_cast<void>(primary_->link->send(std::move(busy), Lane::prompt));
    return;
  }
  verify_.emplace(Verify{.request = request, .reply = {}, .proof = {}});
  if (request.sha256) return begin_proof();
  if (!request.full) return answer_verify();
  walk_ = std::make_unique<ContentWalk>(
      *parts_.index, *parts_.dirs, WalkKind::everything,
      [this](const ContentWalk::Found& found) { take_verified(found); });
}

void Secondary::take_verified(const ContentWalk::Found& found) {
  const bool same = found.digest && *found.digest == found.entry.attr.content;
  const bool held = applier_->holds().all().contains(found.key);
  if (same || held || !parts_.index->contains(found.key)) return;
  if (verify_->reply.mismatches.size() < limits::holds_listed_max) {
    verify_->reply.mismatches.push_back(parts_.describe(found.key) +
                                        (found.problem.empty() ? "" : ": " + found.problem));
  }
}

// The index below what is held says what was, not what is wanted: there is no proof then.
void Secondary::begin_proof() {
  if (!at_rest() || applier_->holds().size() > 0) return answer_verify();
  verify_->proof = std::make_unique<TreeProof>(
      *parts_.index, *parts_.dirs, parts_.state.position,
      [this](const ContentWalk::Found& found) { take_verified(found); });
}

void Secondary::step_proof() {
  TreeProof& proof = *verify_->proof;
  const Position& position = parts_.state.position;
  if (!at_rest()) proof.disturb();
  if (proof.holds_at(position) && !proof.step(proof_step_bytes)) return;
  drain_();
  VerifyReply& reply = verify_->reply;
  reply.bytes_read = proof.bytes_read();
  if (!proof.holds_at(position)) {
    verify_->disturbed = true;
    reply.mismatches.clear();
  } else if (std::optional<std::string> digest = proof.digest()) {
    reply.sha256 = std::move(*digest);
  }
  answer_verify();
}

void Secondary::answer_verify() {
  VerifyReply reply = std::move(verify_->reply);
  reply.id = verify_->request.id;
  reply.synced = synced() && !applier_->in_cut() &&
                 (!verify_->request.sha256 || (at_rest() && !verify_->disturbed));
  verify_.reset();
  reply.position = parts_.state.position;
  reply.content =
      wanted_content(*parts_.index, fingerprint_seed(parts_.options.name), applier_->holds().all());
  reply.entries = parts_.index->counts().entries;
  for (const auto& [key, hold] : applier_->holds().all()) {
    if (reply.held.size() < limits::holds_listed_max) reply.held.push_back(parts_.describe(key));
  }
  if (primary_ != nullptr) static_cast<void>(primary_->link->send(std::move(reply), Lane::prompt));
}

void Secondary::list_holds(std::vector<std::string>& paths, uint64_t& count) const {
  count = applier_->holds().size();
  for (const auto& [key, hold] : applier_->holds().all()) {
    if (paths.size() >= limits::holds_listed_max) break;
    paths.push_back(parts_.describe(key) + ": " + hold.reason);
  }
}

void Secondary::describe(TreeFacts& facts) const {
  facts.diverged = diverged_;
  facts.state = !synced()                              ? "scanning"
                : walk_ || (verify_ && verify_->proof) ? "reading contents"
                : receiver_                            ? "following"
                                                       : "waiting";
  facts.incomplete = parts_.index->meta(apply::incomplete_meta).has_value();
  facts.consistency = parts_.index->meta(apply::consistency_meta).value_or("exact");
  list_holds(facts.held_paths, facts.held_keys);
  if (facts.held_keys > 0) {
    facts.holds.push_back(std::to_string(facts.held_keys) +
                          " paths were changed here and are held: `repl approve " +
                          parts_.options.name + "` lets the primary's versions in and keeps these");
  }
  for (const std::string& trouble : troubles_) facts.errors.push_back(trouble);
  if (!sync_error_.empty()) facts.errors.push_back(sync_error_);
  if (!committer_.error().empty()) facts.errors.push_back(committer_.error());
}

}  // namespace repl::run

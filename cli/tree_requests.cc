// What a TreeHost answers to the commands that ask it.
#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "cli/asked.h"
#include "cli/exit_codes.h"
#include "cli/json.h"
#include "cli/tree_host.h"
#include "engine/base/escape.h"
#include "engine/model/hash.h"

namespace repl::cli {

namespace {

const char* outcome_name(run::VerifyAnswer::Outcome outcome) {
  using Outcome = run::VerifyAnswer::Outcome;
  switch (outcome) {
    case Outcome::equal:
      return "equal";
    case Outcome::equal_except_held:
      return "equal except held";
    case Outcome::held:
      return "held";
    case Outcome::peer_away:
      return "away";
    case Outcome::failed:
      return "failed";
    case Outcome::different:
      return "different";
  }
  return "failed";
}

}  // namespace

void TreeHost::handle(const Request& request, const Reply& reply) {
  const std::lock_guard lock(mutex_);
  if (!engine_) {
    if (request.command == "status") {
      Reply(reply).done(to_json(status_when_closed()));
    } else {
      Reply(reply).failed("tree " + options_.name + " is not open: " + error_.message, exit_held);
    }
    return;
  }
  const auto asked = std::make_shared<Asked>(reply);
  if (request.command == "status") {
    engine_->request_facts([this, asked](const run::TreeFacts& facts) {
      asked->reply.done(to_json(to_status(facts)));
    });
  } else if (request.command == "wait") {
    handle_wait(request, asked);
  } else if (request.command == "verify") {
    handle_verify(request, asked);
  } else if (request.command == "approve") {
    const auto kept = std::make_shared<std::string>();  // the engine answers in the order asked
    engine_->request_facts([kept](const run::TreeFacts& facts) {
      if (facts.role == Role::secondary) *kept = escape(facts.staging + "/kept");
    });
    engine_->request_approve([asked, kept](const Result<uint64_t>& released) {
      if (!released) return asked->reply.failed(released.error().message, exit_peer_away);
      asked->reply.done(
          print_json(Json{{"released", *released}, {"kept", *released > 0 ? *kept : ""}}));
    });
  } else if (!handle_role(request, asked) && !handle_catch_up(request, asked)) {
    asked->reply.failed("this daemon does not know the command " + escape(request.command),
                        exit_usage);
  }
}

void TreeHost::handle_wait(const Request& request, const std::shared_ptr<Asked>& asked) {
  run::WaitRequest wait;
  const std::string level = request.text("for", "durable");
  wait.level = level == "received"  ? AckLevel::received
               : level == "applied" ? AckLevel::applied
                                    : AckLevel::durable;
  if (request.options.contains("timeout_ms")) {
    wait.timeout_ms = static_cast<int64_t>(request.number("timeout_ms", 0));
  }
  wait.wait_for_peers = request.flag("wait_for_peers");
  wait.abandoned = [reply = asked->reply] { return reply.abandoned(); };
  engine_->request_wait(wait, [asked](const run::WaitAnswer& answer) {
    Reply& reply = asked->reply;
    switch (answer.result) {
      case run::WaitResult::reached:
        return reply.done(print_json(Json{{"cut", answer.cut.value}}));
      case run::WaitResult::peer_away:
        return reply.failed(answer.detail + "; --wait-for-peers waits until it is back",
                            exit_peer_away);
      case run::WaitResult::held:
        return reply.failed(answer.detail, exit_held);
      case run::WaitResult::timeout:
        return reply.failed("not reached in time: " + answer.detail, exit_timeout);
      case run::WaitResult::not_primary:
        return reply.failed(answer.detail, exit_failed);
      case run::WaitResult::closed:
        return;  // Asked says so
    }
  });
}

void TreeHost::handle_verify(const Request& request, const std::shared_ptr<Asked>& asked) {
  run::VerifyOptions options;
  options.sha256 = request.flag("sha256");
  options.full = request.flag("full") || options.sha256;
  options.abandoned = [reply = asked->reply] { return reply.abandoned(); };
  options.progress = [reply = asked->reply](uint64_t done, uint64_t total) mutable {
    reply.progress(print_json(Json{{"bytes_done", done}, {"bytes_total", std::max(done, total)}}));
  };
  engine_->request_verify(options,
                          [this, full = options.full, asked](const run::VerifyAnswer& answer) {
                            answer_verify(answer, full, asked->reply);
                          });
}

void TreeHost::answer_verify(const run::VerifyAnswer& answer, bool full, Reply& reply) {
  using Outcome = run::VerifyAnswer::Outcome;
  const auto is_equal = [](Outcome outcome) {
    return outcome == Outcome::equal || outcome == Outcome::equal_except_held;
  };
  const bool equal = is_equal(answer.outcome);
  if (!equal && answer.outcome != Outcome::different) {  // nothing is known
    std::string why;
    for (const auto& peer : answer.peers) {
      if (peer.outcome == answer.outcome)
        why += (why.empty() ? "" : "; ") + peer.name + ": " + peer.detail;
    }
    return reply.failed("not verified: " + why, answer.outcome == Outcome::held ? exit_held
                                                : answer.outcome == Outcome::peer_away
                                                    ? exit_peer_away
                                                    : exit_failed);
  }
  const std::vector<std::string> none;
  std::string compared;
  Json peers = Json::array();
  uint64_t held = 0;
  for (const auto& peer : answer.peers) {
    const bool but_held = peer.outcome == Outcome::equal_except_held;
    const uint64_t peer_held = but_held ? peer.differences.size() : 0;
    held += peer_held;
    if (is_equal(peer.outcome) || peer.outcome == Outcome::different)
      compared += (compared.empty() ? "" : ", ") + peer.name;
    peers.push_back(Json{{"name", peer.name},
                         {"equal", is_equal(peer.outcome)},
                         {"outcome", outcome_name(peer.outcome)},
                         {"held", peer_held},
                         {"held_paths", but_held ? peer.differences : none},
                         {"detail", peer.detail},
                         {"entries", answer.entries},
                         {"bytes_read", peer.bytes_read},
                         {"sha256", peer.sha256},
                         {"mismatches", is_equal(peer.outcome) ? none : peer.differences}});
  }
  {
    const std::lock_guard lock(mutex_);
    verified_ = Verification{.equal = equal,
                             .full = full,
                             .at_unix_seconds = clock_.wall_ns() / 1'000'000'000,
                             .cut = answer.position.cut.value,
                             .peer = compared.empty() ? "itself" : compared};
  }
  reply.done(print_json(Json{{"equal", equal},
                             {"held", held},
                             {"position",
                              {{"epoch", answer.position.epoch.value},
                               {"reign", to_hex(answer.position.reign)},
                               {"cut", answer.position.cut.value}}},
                             {"fingerprint", to_hex(answer.content)},
                             {"sha256", answer.sha256},
                             {"entries", answer.entries},
                             {"bytes_read", answer.bytes_read},
                             {"differences_here", answer.differences},
                             {"peers", std::move(peers)}}));
}

}  // namespace repl::cli

// network.h: connections between the nodes of the simulator. Within a lane messages keep their
// order, between lanes and between connections they do not; a connection ends for one side earlier
// than for the other, and what was under way is lost.
//
// Every message passes through the wire's codec. Thread: one, the simulator's.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "engine/run/link.h"

namespace repl::sim {

// The seed's chance; the same on every machine, which the standard's distributions are not.
class Chance {
 public:
  explicit Chance(uint64_t seed) : random_(seed) {}
  [[nodiscard]] uint64_t below(uint64_t bound) { return random_() % bound; }
  [[nodiscard]] bool one_in(uint64_t n) { return below(n) == 0; }

 private:
  std::mt19937_64 random_;
};

struct Traffic {
  int64_t now_ms = 0;
  uint64_t digest = 0;  // of all that was sent
  uint64_t messages = 0;
  Chance chance{0};
  // A build with a rule taken out, where that shows in messages: it may change them on their way.
  std::function<void(const std::string& from, const std::string& to, Message&)> mutate;
};

class SimLink final : public run::Link {
 public:
  SimLink(Traffic& traffic, std::string own, std::string peer);

  bool send(Message message, Lane lane) override;
  [[nodiscard]] size_t writable(Lane lane) const override;
  [[nodiscard]] bool drained(Lane lane) const override;
  [[nodiscard]] std::vector<Message> receive() override;
  [[nodiscard]] bool open() const override { return open_ && traffic_.now_ms < ends_ms_; }
  [[nodiscard]] Error close_reason() const override;
  void close(const std::string& reason) override;
  void on_ready(std::function<void()>) override {}
  [[nodiscard]] run::LinkCounters counters() const override { return {}; }
  [[nodiscard]] std::string peer() const override { return peer_; }

  // Ends so much later for this side.
  void end_in(int64_t ms) { ends_ms_ = std::min(ends_ms_, traffic_.now_ms + ms); }
  void mute() { mute_ = true; }  // what its node says from now on is not sent: it crashed
  static void join(const std::shared_ptr<SimLink>& a, const std::shared_ptr<SimLink>& b);

 private:
  struct Sent {
    int64_t arrives_ms = 0;
    size_t size = 0;
    Message message;
  };
  static constexpr size_t lanes = 3;
  Traffic& traffic_;
  std::string own_;
  std::string peer_;
  std::weak_ptr<SimLink> other_;
  std::deque<Sent> coming_[lanes];
  bool open_ = true;
  bool mute_ = false;
  int64_t ends_ms_ = INT64_MAX;
  std::string reason_ = "the connection was lost";
};

}  // namespace repl::sim

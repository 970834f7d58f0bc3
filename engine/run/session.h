// session.h: one connection as the engine keeps it: who it is, what it said, what was decided.
//
// Thread: the engine's.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "engine/base/clock.h"
#include "engine/model/message.h"
#include "engine/run/link.h"
#include "engine/run/tree_events.h"

namespace repl::run {

struct Session {
  std::shared_ptr<Link> link;
  uint64_t number = 0;  // of the connections since the start: what goes over several has an order
  std::string peer;     // as the link knows it; the hello must say the same
  std::optional<Hello> hello;  // the peer's last
  std::optional<Hello> said;   // our last
  bool owes_word = false;      // it was asked whether it is there (tree_promotion.cc)
  bool decided = false;        // we send to it, or accept from it
  bool held = false;           // a person must do something
  std::string reason;          // why it waits or holds
  bool well = false;           // what it was for goes on over it: what ended earlier ones is over
};

// Oldest connection first.
struct SessionOrder {
  bool operator()(const Session* a, const Session* b) const {
    return a->number != b->number ? a->number < b->number : std::less<>()(a, b);
  }
};

// One of the two things a node does in a tree: a Primary sends, a Secondary receives. The engine
// hands each what concerns it.
class Duty {
 public:
  virtual ~Duty() = default;

  virtual void on_hint(const Key& key, uint32_t bits) = 0;
  virtual void on_lost(std::optional<DirId> below, const std::string& reason) = 0;
  // Does what there is to do, in bounded steps. True: call again at once.
  [[nodiscard]] virtual bool step(MonotonicTime now) = 0;
  // When step() should be called although nothing happened.
  [[nodiscard]] virtual std::optional<MonotonicTime> deadline() const = 0;
  // Facts of this node for the hello: the engine has filled in what it knows.
  virtual void describe(Hello& hello) const = 0;
  // The peer said hello (again) and nothing is decided yet.
  virtual void on_hello(Session& session, Hello self) = 0;
  // Anything else. An error closes the connection.
  [[nodiscard]] virtual Status on_message(Session& session, const Message& message) = 0;
  virtual void on_closed(Session& session) = 0;
  // Begins to read the contents whose digests are not known. True while it is at that.
  [[nodiscard]] virtual bool read_contents() = 0;
  // Returns when all that was put into the index so far is durable, and what it describes, too.
  [[nodiscard]] virtual Status flush() = 0;
  // What ends this run of the tree: it is opened again, through recovery. stop() makes nothing
  // durable then.
  [[nodiscard]] virtual Status health() const { return {}; }
  // What is so now and concerns people, after each step.
  virtual void tell_events(TreeEvents& events) const = 0;
  // Nothing is read and nobody waits: a scrub may go on; and what one found.
  [[nodiscard]] virtual bool may_scrub() const = 0;
  virtual void on_scrub_changed(const Key& key) = 0;
  virtual void on_rot(const Key& key) = 0;
  // Everything durable, before the end.
  virtual void stop() = 0;
};

}  // namespace repl::run

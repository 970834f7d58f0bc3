// inbox.h: what has arrived and was not taken yet, and the credit that taking it returns. A lane's
// window, what may be on its way and here, is doubled for a peer that has to wait for credit while
// the owner keeps up.
//
// Thread: the caller's lock.
#pragma once

#include <array>
#include <cstdint>
#include <iterator>
#include <utility>
#include <vector>

#include "engine/base/limits.h"
#include "transport/channel.h"

namespace repl::transport {

class Inbox {
 public:
  // False: the peer sent more on that lane than it had credit for.
  [[nodiscard]] bool push(Message message, Lane lane, size_t cost) {
    Account& account = at(lane);
    if (lane == Lane::prompt) {
      account.waiting += cost;
      prompt_.push_back(std::move(message));
      return true;
    }
    if (cost > account.window - account.waiting - account.owed) return false;
    account.waiting += cost;
    others_.push_back(std::move(message));
    return true;
  }
  // Prompt messages first, the others as they arrived.
  [[nodiscard]] std::vector<Message> take() {
    std::vector<Message> all = std::exchange(prompt_, {});
    if (all.empty()) {
      all = std::exchange(others_, {});
    } else {
      all.insert(all.end(), std::make_move_iterator(others_.begin()),
                 std::make_move_iterator(others_.end()));
      others_.clear();
    }
    for (Account& account : accounts_) account.owed += std::exchange(account.waiting, 0);
    at(Lane::prompt).owed = 0;
    return all;
  }
  [[nodiscard]] bool empty() const { return prompt_.empty() && others_.empty(); }
  [[nodiscard]] size_t prompt_bytes() const { return accounts_[0].waiting; }

  // The peer has more to send on that lane than it has credit for. If most of the window is on the
  // wire, and not here because the owner is slow, the window is too small for the link: it doubles.
  void widen(Lane lane) {
    Account& account = at(lane);
    if (lane == Lane::prompt || account.window >= limits::credit_bytes_max ||
        account.waiting > account.window / 4) {
      return;
    }
    account.owed += account.window;
    account.window *= 2;
  }

  // Credit is returned in eighths: few frames, and a whole frame is always sendable again.
  [[nodiscard]] bool credit_due(Lane lane) const {
    const Account& account = accounts_[static_cast<size_t>(lane)];
    return account.owed >= account.window / 8;
  }
  [[nodiscard]] bool credit_due() const {
    return credit_due(Lane::bulk) || credit_due(Lane::background);
  }
  [[nodiscard]] uint64_t take_credit(Lane lane) { return std::exchange(at(lane).owed, 0); }

 private:
  struct Account {
    size_t window = limits::credit_bytes_initial;
    size_t waiting = 0;  // not taken by the owner
    size_t owed = 0;     // taken, and not yet returned as credit
  };
  [[nodiscard]] Account& at(Lane lane) { return accounts_[static_cast<size_t>(lane)]; }

  std::vector<Message> prompt_;
  std::vector<Message> others_;
  std::array<Account, 3> accounts_;
};

}  // namespace repl::transport

// peer_listing.h: a listing of the peer, merged with the own index part by part as it arrives.
//
// A listing must come in name order, so that neither side's directory is ever in memory as a whole.
// Thread: one owner; the index must not be changed within part(). Errors: the peer's breach of the
// protocol, to be answered by a new connection.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/limits.h"
#include "engine/index/index.h"
#include "engine/model/message.h"

namespace repl::send {

inline constexpr size_t children_per_read = 512;  // of the own index
inline constexpr size_t dirs_per_ask = 256;       // in one ListDirectories
inline constexpr size_t dirs_asked_max = dirs_per_ask * limits::asks_in_flight_max;

[[nodiscard]] std::unexpected<Error> breach(const char* what);

class ListingMerge {
 public:
  struct Found {
    std::function<void(std::string_view name, const Entry& ours)> only_ours;
    std::function<void(const Entry& ours, const KeyInfo& theirs)> both;
    std::function<void(const KeyInfo&)> only_theirs;
  };
  // `dir` is the own directory; unset: there is none, all is the peer's only. What is ours beyond
  // the last name of the last part is not told: it follows cursor() in the index.
  [[nodiscard]] Status part(const Index& index, DirId dir, const std::vector<KeyInfo>& children,
                            const Found& found);
  [[nodiscard]] const std::string& cursor() const { return cursor_; }
  // Of the content hashes of all that the peer listed.
  [[nodiscard]] const Fingerprint& peer_sum() const { return peer_sum_; }

 private:
  std::string cursor_;
  Fingerprint peer_sum_;
};

}  // namespace repl::send

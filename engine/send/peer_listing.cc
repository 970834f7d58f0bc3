#include "engine/send/peer_listing.h"

#include "engine/model/hash.h"

namespace repl::send {

std::unexpected<Error> breach(const char* what) {
  return fail(ErrorCode::protocol, std::string("the peer broke the protocol: ") + what,
              Remedy::reconnect);
}

Status ListingMerge::part(const Index& index, DirId dir, const std::vector<KeyInfo>& children,
                          const Found& found) {
  std::vector<std::pair<std::string, Entry>> ours;
  size_t at = 0;
  bool exhausted = false;
  const auto next = [&]() -> const std::pair<std::string, Entry>* {
    if (at == ours.size() && !exhausted) {
      ours = index.children_after(dir, cursor_, children_per_read);
      at = 0;
      exhausted = ours.size() < children_per_read;
    }
    return at < ours.size() ? &ours[at] : nullptr;
  };
  for (const KeyInfo& theirs : children) {
    if (!is_legal_name(theirs.name) || theirs.name <= cursor_) {
      return breach("a listing out of order");
    }
    const std::pair<std::string, Entry>* mine = next();
    for (; mine && mine->first < theirs.name; mine = next()) {
      found.only_ours(mine->first, mine->second);
      cursor_ = mine->first;
      ++at;
    }
    if (mine && mine->first == theirs.name) {
      found.both(mine->second, theirs);
      ++at;
    } else {
      found.only_theirs(theirs);
    }
    cursor_ = theirs.name;
    peer_sum_ = add(peer_sum_, theirs.hash);
  }
  return {};
}

}  // namespace repl::send

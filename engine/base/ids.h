// ids.h: numbers that must not be mixed up, each with a type of its own.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <functional>
#include <string>

namespace repl {

template <typename Tag, typename Number = uint64_t>
struct StrongId {
  Number value = 0;
  auto operator<=>(const StrongId&) const = default;
  [[nodiscard]] bool is_set() const { return value != 0; }
};

// A directory's number for life, the same on every node: 24-bit random tag of the reign that
// allocated it, 40-bit counter. 0 is "none", 1 is the root of the tree.
using DirId = StrongId<struct DirIdTag>;
inline constexpr DirId root_dir{1};

// A group of hard-linked names of one inode; allocated like a DirId. 0 is "not linked".
using LinkId = StrongId<struct LinkIdTag>;

// The number of a cut within the tree's one sequence. 0 is "before the first".
using CutNumber = StrongId<struct CutNumberTag>;

// The number of promotions of the tree. For people and for fencing, never for ancestry.
using Epoch = StrongId<struct EpochTag>;

// 128 bits: a content digest, a fingerprint, a reign, a staged content's identity.
struct Bits128 {
  uint64_t high = 0;
  uint64_t low = 0;
  auto operator<=>(const Bits128&) const = default;
  [[nodiscard]] bool is_set() const { return (high | low) != 0; }
};
[[nodiscard]] std::string to_hex(const Bits128& bits);  // 32 lower-case digits
[[nodiscard]] bool from_hex(std::string_view text, Bits128& out);

// Hash of a content (digest.h). Unset means "not known yet"; an empty file has a digest too.
struct Digest : Bits128 {
  auto operator<=>(const Digest&) const = default;
};
// A random id, new at each promotion and at each start of a primary that was not stopped cleanly.
struct Reign : Bits128 {
  auto operator<=>(const Reign&) const = default;
};
// The identity of a content that is being sent: of the source's inode, size and mtime, so that
// either side may restart and go on. A wrong guess is caught by the digest.
struct StageId : Bits128 {
  auto operator<=>(const StageId&) const = default;
};
// A sum of hashes, mod 2^128 (fingerprint.h).
struct Fingerprint : Bits128 {
  auto operator<=>(const Fingerprint&) const = default;
};

}  // namespace repl

template <typename Tag, typename Number>
struct std::hash<repl::StrongId<Tag, Number>> {
  size_t operator()(const repl::StrongId<Tag, Number>& id) const noexcept {
    return static_cast<size_t>(id.value * 0x9E3779B97F4A7C15ull);
  }
};
template <>
struct std::hash<repl::StageId> {
  size_t operator()(const repl::StageId& id) const noexcept { return static_cast<size_t>(id.low); }
};
template <>
struct std::hash<repl::Digest> {
  size_t operator()(const repl::Digest& id) const noexcept { return static_cast<size_t>(id.low); }
};

#include "engine/model/hash.h"

#include <xxhash.h>

#include <algorithm>
#include <utility>

#include "engine/base/bytes.h"
#include "engine/base/check.h"
#include "engine/base/limits.h"

namespace repl {

namespace {

Bits128 to_bits(XXH128_hash_t h) { return Bits128{.high = h.high64, .low = h.low64}; }
Digest to_digest(XXH128_hash_t h) { return Digest{to_bits(h)}; }

}  // namespace

Digest hash_bytes(std::string_view bytes) {
  return to_digest(XXH3_128bits(bytes.data(), bytes.size()));
}

struct ContentHasher::State {
  XXH3_state_t* xxh = XXH3_createState();
  size_t block_fill = 0;
  State() { XXH3_128bits_reset(xxh); }
  ~State() { XXH3_freeState(xxh); }
  State(const State&) = delete;
  State& operator=(const State&) = delete;
};

ContentHasher::ContentHasher() : state_(new State) {}
ContentHasher::~ContentHasher() { delete state_; }
ContentHasher::ContentHasher(ContentHasher&& other) noexcept
    : state_(std::exchange(other.state_, nullptr)),
      size_(other.size_),
      blocks_(std::move(other.blocks_)) {}
ContentHasher& ContentHasher::operator=(ContentHasher&& other) noexcept {
  std::swap(state_, other.state_);
  size_ = other.size_;
  blocks_ = std::move(other.blocks_);
  return *this;
}

void ContentHasher::close_block() {
  blocks_.push_back(to_digest(XXH3_128bits_digest(state_->xxh)));
  XXH3_128bits_reset(state_->xxh);
  state_->block_fill = 0;
}

void ContentHasher::update(std::string_view bytes) {
  size_ += bytes.size();
  while (!bytes.empty()) {
    const size_t take = std::min(bytes.size(), limits::block_bytes - state_->block_fill);
    if (take == limits::block_bytes) {
      blocks_.push_back(hash_bytes(bytes.substr(0, take)));
    } else {
      XXH3_128bits_update(state_->xxh, bytes.data(), take);
      state_->block_fill += take;
      if (state_->block_fill == limits::block_bytes) close_block();
    }
    bytes.remove_prefix(take);
  }
}

void ContentHasher::update_zeros(uint64_t count) {
  static const std::string zeros(limits::block_bytes, '\0');
  static const Digest zero_block = hash_bytes(zeros);
  while (count > 0) {
    const uint64_t take = std::min<uint64_t>(count, limits::block_bytes - state_->block_fill);
    if (take == limits::block_bytes) {
      blocks_.push_back(zero_block);
      size_ += take;
    } else {
      update(std::string_view(zeros).substr(0, take));
    }
    count -= take;
  }
}

bool ContentHasher::at_block_start() const { return state_->block_fill == 0; }

void ContentHasher::update_block(const Digest& block) {
  REPL_CHECK(at_block_start());
  blocks_.push_back(block);
  size_ += limits::block_bytes;
}

Digest ContentHasher::finish() {
  if (state_->block_fill > 0 || blocks_.empty()) close_block();
  return digest_of_blocks(blocks_);
}

Digest digest_of_blocks(std::span<const Digest> blocks) {
  if (blocks.size() == 1) return blocks.front();
  std::string table;
  table.reserve(blocks.size() * 16);
  ByteWriter writer(table);
  for (const Digest& block : blocks) writer.bits(block);
  return hash_bytes(table);
}

uint64_t fingerprint_seed(std::string_view tree_name) {
  return XXH3_64bits(tree_name.data(), tree_name.size());
}

void append_compared(std::string& record, const Attributes& attr) {
  ByteWriter out(record);
  out.u8(static_cast<uint8_t>(attr.type));
  out.u16(attr.mode);
  const bool by_name = !attr.owner.empty() || !attr.group.empty();
  out.u8(by_name ? 1 : 0);
  if (by_name) {
    out.string(attr.owner);
    out.string(attr.group);
  } else {
    out.u32(attr.uid);
    out.u32(attr.gid);
  }
  out.u64(attr.size);
  out.i64(attr.mtime.seconds);
  out.u32(attr.mtime.nanoseconds);
  out.u64(attr.rdev);
  out.string(attr.target);
  out.string(attr.xattrs);
}

Bits128 entry_content_hash(uint64_t seed, std::string_view name, const Attributes& attr,
                           const Fingerprint& children) {
  std::string record;
  record.reserve(128 + name.size() + attr.target.size() + attr.xattrs.size());
  ByteWriter out(record);
  out.string(name);
  append_compared(record, attr);
  out.bits(attr.content);
  out.u32(attr.link_names);
  out.bits(children);
  return to_bits(XXH3_128bits_withSeed(record.data(), record.size(), seed));
}

Bits128 entry_identity_hash(uint64_t seed, std::string_view name, const Attributes& attr,
                            const Fingerprint& children) {
  std::string record;
  ByteWriter out(record);
  out.string(name);
  out.u64(attr.dir.value);
  out.u64(attr.link.value);
  out.bits(children);
  return to_bits(XXH3_128bits_withSeed(record.data(), record.size(), seed));
}

Fingerprint add(Fingerprint sum, const Bits128& hash) {
  const uint64_t low = sum.low + hash.low;
  sum.high += hash.high + (low < sum.low ? 1 : 0);
  sum.low = low;
  return sum;
}

Fingerprint subtract(Fingerprint sum, const Bits128& hash) {
  const uint64_t borrow = sum.low < hash.low ? 1 : 0;
  sum.low -= hash.low;
  sum.high -= hash.high + borrow;
  return sum;
}

}  // namespace repl

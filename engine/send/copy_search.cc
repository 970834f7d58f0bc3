#include "engine/send/copy_search.h"

#include <algorithm>
#include <utility>

#include "engine/base/limits.h"

namespace repl::send {

namespace {

constexpr uint64_t samples_max = 16;

}  // namespace

CopySearch::CopySearch(ContentSource& source, const Key& key, std::unique_ptr<ContentHandle> handle)
    : source_(source), key_(key), handle_(std::move(handle)), size_(handle_->opened().attr.size) {}

std::unique_ptr<CopySearch> CopySearch::begin(const Index& index, const PeerContents& peer,
                                              ContentSource& source, const Key& key) {
  const std::optional<Entry> entry = index.get(key);
  if (!entry) return nullptr;
  const std::vector<Digest> digests = peer.of_size(entry->attr.size, key);
  if (digests.empty()) return nullptr;
  Result<std::unique_ptr<ContentHandle>> handle = source.open(key);
  if (!handle || (*handle)->opened().attr.size != entry->attr.size) return nullptr;
  std::unique_ptr<CopySearch> search(new CopySearch(source, key, std::move(*handle)));
  for (const Digest& digest : digests) {
    Content content{.digest = digest,
                    .table = index.block_table(digest).value_or(std::vector<Digest>())};
    if (search->has_samples_of(content) && !search->take(std::move(content))) break;
  }
  return search->contents_.empty() ? nullptr : std::move(search);
}

bool CopySearch::take(Content content) {
  const size_t bytes = content.table.size() * sizeof(Digest);
  if (!contents_.empty() && table_bytes_ + bytes > limits::copy_search_table_bytes_max)
    return false;
  table_bytes_ += bytes;
  contents_.push_back(std::move(content));
  return true;
}

bool CopySearch::Content::has(uint64_t index, const Digest& block_digest) const {
  return table.empty() || (index < table.size() && table[index] == block_digest);
}

// Each is read when the first content needs it: what has nothing in common with any costs one.
bool CopySearch::has_samples_of(const Content& content) {
  const uint64_t blocks = size_ / limits::block_bytes;
  const uint64_t samples = std::min(blocks, samples_max);
  for (uint64_t i = 0; i < samples; ++i) {
    const uint64_t index = (2 * i + 1) * blocks / (2 * samples);
    if (i == samples_.size()) {
      slab_.resize(limits::block_bytes);
      const Result<size_t> got =
          handle_->read_at(index * limits::block_bytes, slab_.data(), slab_.size());
      if (!got || *got < limits::block_bytes) return false;
      samples_.push_back(hash_bytes(slab_));
    }
    if (!content.has(index, samples_[i])) return false;
  }
  return true;
}

CopySearch::Step CopySearch::step(size_t budget_bytes) {
  if (offset_ == size_) return end();
  const Result<io::DataRange> data = handle_->next_data(offset_, size_);
  if (!data) return Step::unknown;
  if (data->start > offset_) {
    const uint64_t until = std::min({data->start, size_, offset_ + limits::hole_step_bytes});
    hasher_.update_zeros(until - offset_);
    offset_ = until;
  } else {
    const uint64_t end = data->end > offset_ ? std::min(data->end, size_) : size_;
    slab_.resize(std::min<uint64_t>(
        end - offset_,
        std::clamp<uint64_t>(budget_bytes, limits::block_bytes, limits::stream_step_bytes)));
    const Result<size_t> got = handle_->read_at(offset_, slab_.data(), slab_.size());
    if (!got || *got < slab_.size()) return Step::unknown;
    hasher_.update(slab_);
    offset_ += slab_.size();
  }
  for (; compared_ < hasher_.blocks().size(); ++compared_) {
    std::erase_if(contents_, [&](const Content& content) {
      return !content.has(compared_, hasher_.blocks()[compared_]);
    });
  }
  return contents_.empty() ? Step::unknown : Step::more;
}

// RACE: as in ContentStreamer. The receiver checks what it copies against the digest.
CopySearch::Step CopySearch::end() {
  digest_ = hasher_.finish();
  const Result<io::Stat> after = handle_->stat_again();
  const io::Stat& before = handle_->opened();
  const bool still = after && after->attr.size == before.attr.size &&
                     after->attr.mtime == before.attr.mtime &&
                     after->local.ctime == before.local.ctime && source_.leads_to(key_, before);
  const bool known = std::ranges::find(contents_, digest_, &Content::digest) != contents_.end();
  return still && known ? Step::known : Step::unknown;
}

}  // namespace repl::send

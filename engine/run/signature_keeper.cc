#include "engine/run/signature_keeper.h"

#include <algorithm>
#include <utility>

#include "engine/base/limits.h"
#include "engine/change/observer.h"
#include "engine/delta/strategy.h"
#include "engine/model/hash.h"

namespace repl::run {

namespace {
constexpr Duration idle_time = std::chrono::milliseconds(limits::signature_idle_ms);
}

void SignatureKeeper::edited(const Key& key, uint64_t size, const Digest& before) {
  if (size < limits::signature_content_bytes_min || size > limits::rolling_bytes_max) return;
  idle_since_.reset();
  if (waiting_.size() >= limits::signature_keys_max) return;
  // Of several edits the first one's base has the signature, if any has.
  const auto [at, first] = waiting_.try_emplace(key, before);
  if (!first && !at->second.is_set()) at->second = before;
}

std::optional<MonotonicTime> SignatureKeeper::deadline() const {
  return wanted() && idle_since_ ? std::optional(*idle_since_ + idle_time) : std::nullopt;
}

bool SignatureKeeper::step(MonotonicTime now, bool idle) {
  if (!idle || !wanted()) {
    idle_since_.reset();
    return false;
  }
  if (!idle_since_) idle_since_ = now;
  if (now < *idle_since_ + idle_time) return false;
  if (!job_) {
    const auto next = waiting_.extract(waiting_.begin());
    job_ = begin(next.key(), next.mapped());
    return wanted();
  }
  if (!slice(*job_)) {
    log_.debug("no signature of {}: it is another content by now", job_->key.name);
    job_.reset();
  } else if (job_->builder.offset() == job_->size) {
    std::string signature = job_->builder.take();
    end(*job_, std::move(signature));
    job_.reset();
  }
  return wanted();
}

// Nothing: there is a signature, or the content is not known (no peer was sent it yet), or the file
// is another one.
std::optional<SignatureKeeper::Job> SignatureKeeper::begin(const Key& key,
                                                           const Digest& before) const {
  const std::optional<Entry> entry = index_.get(key);
  if (!entry || !entry->attr.content.is_set() || index_.signature(entry->attr.content)) return {};
  const uint64_t size = entry->attr.size;
  auto table = index_.block_table(entry->attr.content);
  if (!table || size > limits::rolling_bytes_max) return {};
  Result<std::unique_ptr<send::ContentHandle>> file = source_.open(key);
  if (!file || !change::same_stat(*entry, (*file)->opened())) return {};
  Job job{.key = key,
          .content = entry->attr.content,
          .table = std::move(*table),
          .file = std::move(*file),
          .size = size,
          .builder = delta::SignatureBuilder(size)};
  if (before.is_set()) {
    job.old_table = index_.block_table(before).value_or(std::vector<Digest>());
    job.old_signature = index_.signature(before).value_or(std::string());
  }
  return job;
}

// The block's sums from the signature before. Its last block may have been short: not that one.
bool SignatureKeeper::keep(Job& job, uint64_t index, uint64_t length) const {
  return length == limits::block_bytes && index + 1 < job.old_table.size() &&
         job.old_table[index] == job.table[index] && job.builder.keep(job.old_signature, length);
}

bool SignatureKeeper::slice(Job& job) const {
  std::string bytes;
  for (uint64_t read = 0; job.builder.offset() < job.size;) {
    const uint64_t offset = job.builder.offset();
    const uint64_t index = offset / limits::block_bytes;
    const uint64_t length = delta::block_length(job.size, index);
    if (index >= job.table.size()) return false;
    if (keep(job, index, length)) continue;
    if (read >= limits::signature_step_bytes) return true;
    bytes.resize(length);
    const Result<size_t> got = job.file->read_at(offset, bytes.data(), bytes.size());
    if (!got || *got < length || hash_bytes(bytes) != job.table[index]) return false;
    if (!job.builder.add(bytes)) return false;
    read += length;
  }
  return true;
}

void SignatureKeeper::end(const Job& job, std::string signature) {
  index_.put_signature(job.content, signature);
  log_.debug("a signature of {} is kept", job.key.name);
}

}  // namespace repl::run

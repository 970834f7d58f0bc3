#include "engine/apply/stage_file.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "engine/base/limits.h"

namespace repl::apply {

StageFile::StageFile(const Staging& staging, SecondCopies& second, const StageId& id)
    : staging_(&staging), second_(&second), id_(id) {}

std::string StageFile::name() const {
  return unfinished_ ? to_hex(id_) + unfinished_mark : to_hex(id_);
}

Status StageFile::create(bool from_base) {
  const int dir = staging_->stage_dir(id_);
  const std::string plain = to_hex(id_);
  for (const std::string& left : {plain, plain + unfinished_mark}) {
    const Status gone = io::unlink_at(dir, left);
    if (!gone && gone.error().code != ErrorCode::not_found) return gone;
  }
  unfinished_ = from_base;
  Result<Fd> file = io::create_file(dir, name());
  if (!file) return fail(file.error());
  file_ = std::move(*file);
  return {};
}

Status StageFile::resume(uint64_t bytes) {
  Result<Fd> file = io::open_write(staging_->stage_dir(id_), name());
  if (!file && file.error().code == ErrorCode::not_found)
    return fail(ErrorCode::changed, "what was staged of it is not here any more");
  if (!file) return fail(file.error());
  const Result<io::Stat> stat = io::stat_fd(file->get());
  if (!stat) return fail(stat.error());
  if (stat->attr.size != bytes)
    return fail(ErrorCode::changed, "what was staged of it is not what the hello said");
  file_ = std::move(*file);
  resumed_ = bytes;
  how_ = How::whole;
  return {};
}

void StageFile::set_base(Fd file, const io::Stat& stat, const Key& key, const Digest& content) {
  base_ = std::move(file);
  base_stat_ = stat;
  difference_ = Difference{.key = key,
                           .base = content,
                           .base_inode = stat.local.inode,
                           .base_size = stat.attr.size,
                           .changed = {}};
  changed(0, resumed_);
}

void StageFile::changed(uint64_t offset, uint64_t length) {
  if (!base_.valid() || reflinked_ || too_many_) return;
  difference_.changed.add(offset, length);
  too_many_ = difference_.changed.count() > limits::second_copy_ranges_max;
  if (too_many_) difference_.changed = ByteRanges();
}

Result<bool> StageFile::base_is_as_it_was() const {
  const Result<io::Stat> now = io::stat_fd(base_.get());
  if (!now) return fail(now.error());
  return now->local.ctime == base_stat_.local.ctime && now->attr.mtime == base_stat_.attr.mtime &&
         now->attr.size == base_stat_.attr.size;
}

// --- how
// --------------------------------------------------------------------------------------------

// Before the first byte. A fault leaves it undecided, with an empty file.
Status StageFile::decide(bool appends) {
  if (how_ != How::undecided) return {};
  if (!base_.valid()) {
    how_ = How::whole;
    return {};
  }
  const Result<bool> linked = io::clone_file(base_.get(), file_.get());
  if (!linked) return fail(linked.error());
  reflinked_ = *linked;
  if (*linked) {
    how_ = How::changed;
    return {};
  }
  if (appends && base_size() >= limits::append_in_place_bytes_min) {
    how_ = How::tail;
    return {};
  }
  const Result<bool> second = use_second_copy();
  if (!second) return fail(second.error());
  if (!*second) {
    if (const Status named = finished(); !named) return named;
  }
  how_ = *second ? How::changed : How::whole;
  return {};
}

Result<bool> StageFile::use_second_copy() {
  if (base_size() < limits::second_copy_bytes_min) return false;
  std::optional<SecondCopies::Taken> taken =
      second_->take(base_stat_.local.inode, difference_.base);
  if (!taken) return false;
  const int dir = staging_->stage_dir(id_);
  Status done = io::unlink_at(dir, name());
  if (done) done = io::rename_noreplace(taken->slot.dir, taken->slot.name, dir, name());
  if (!done) return fail(done.error());
  file_ = std::move(taken->file);
  done = io::truncate(file_.get(), base_size());
  if (done) {
    done = taken->stale.each(base_size(), [&](uint64_t offset, uint64_t length) -> Status {
      const auto copied = io::copy_range(base_.get(), offset, file_.get(), offset, length);
      return copied ? Status() : fail(copied.error());
    });
  }
  if (done) return true;
  if (const Status fresh = create(true); !fresh) return fail(fresh.error());
  return fail(done.error());
}

Status StageFile::finished() {
  const int dir = staging_->stage_dir(id_);
  if (const Status moved = io::rename_noreplace(dir, name(), dir, to_hex(id_)); !moved)
    return moved;
  unfinished_ = false;
  return {};
}

// --- what
// --------------------------------------------------------------------------------------------

Status StageFile::data(uint64_t offset, std::string_view bytes) {
  if (const Status decided = decide(false); !decided) return decided;
  if (const Status put = io::write_at(file_.get(), place(offset), bytes); !put) return put;
  changed(offset, bytes.size());
  return {};
}

Status StageFile::hole(uint64_t offset, uint64_t length) {
  if (const Status decided = decide(false); !decided) return decided;
  if (const Status made = io::make_hole(file_.get(), place(offset), length); !made) return made;
  changed(offset, length);
  return {};
}

Status StageFile::copy(uint64_t offset, uint64_t base_offset, uint64_t length) {
  const bool stays = offset == base_offset;
  const bool all = stays && offset == 0 && length == base_size();
  if (const Status decided = decide(all); !decided) return decided;
  if (!stays) changed(offset, length);
  if (stays && how_ == How::changed) return {};
  if (all && how_ == How::tail) return {};
  const auto copied = io::copy_range(base_.get(), base_offset, file_.get(), place(offset), length);
  return copied ? Status() : fail(copied.error());
}

namespace {

Status read_pieces(int fd, uint64_t at, uint64_t end, const StageFile::Pieces& pieces) {
  const auto buffer = std::make_unique_for_overwrite<char[]>(limits::data_chunk_bytes_max);
  while (at < end) {
    const Result<io::DataRange> data = io::next_data(fd, at, end);
    if (!data) return fail(data.error());
    const uint64_t start = std::min(data->start, end);
    if (start > at) pieces.zeros(start - at);
    for (at = start; at < std::min(data->end, end);) {
      const uint64_t want =
          std::min<uint64_t>(std::min(data->end, end) - at, limits::data_chunk_bytes_max);
      const Result<size_t> got = io::read_at(fd, at, buffer.get(), want);
      if (!got) return fail(got.error());
      if (*got == 0)
        return fail(ErrorCode::changed, "a file shrank while it was read", Remedy::retry);
      pieces.bytes({buffer.get(), *got});
      at += *got;
    }
  }
  return {};
}

}  // namespace

Status StageFile::read(uint64_t offset, uint64_t length, const Pieces& pieces) const {
  const uint64_t end = offset + length;
  if (how_ == How::tail && offset < base_size()) {
    const uint64_t until = std::min(end, base_size());
    if (const Status done = read_pieces(base_.get(), offset, until, pieces); !done) return done;
    offset = until;
  }
  if (offset >= end) return {};
  return read_pieces(file_.get(), place(offset), place(end), pieces);
}

// --- the end
// --------------------------------------------------------------------------------------------

Status StageFile::finish(uint64_t size) {
  if (how_ == How::changed) {
    if (const Status cut = io::truncate(file_.get(), size); !cut) return cut;
    if (const Status named = finished(); !named) return named;
  }
  file_.reset();
  base_.reset();
  return {};
}

std::optional<Difference> StageFile::take_difference() {
  if (!difference_.base.is_set() || reflinked_ || too_many_) return std::nullopt;
  return std::move(difference_);
}

Status StageFile::interrupt(uint64_t size) {
  if (!file_.valid() || !unfinished_) return {};
  if (how_ != How::changed || size == 0) return remove();
  if (const Status cut = io::truncate(file_.get(), size); !cut) return cut;
  file_.reset();
  return finished();
}

Status StageFile::remove() {
  file_.reset();
  base_.reset();
  const Status gone = io::unlink_at(staging_->stage_dir(id_), name());
  if (!gone && gone.error().code != ErrorCode::not_found) return gone;
  return {};
}

}  // namespace repl::apply

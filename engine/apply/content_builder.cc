#include "engine/apply/content_builder.h"

#include <algorithm>
#include <utility>

#include "engine/apply/broken.h"
#include "engine/apply/compare.h"
#include "engine/base/limits.h"
#include "engine/io/fs_ops.h"

namespace repl::apply {

ContentBuilder::ContentBuilder(Staging& staging, SecondCopies& second, Index& index,
                               io::DirCache& dirs)
    : staging_(staging), second_(second), index_(index), dirs_(dirs) {}

const BuiltContent* ContentBuilder::find(const StageId& id) const {
  const auto it = stages_.find(id);
  return it == stages_.end() ? nullptr : &it->second.built;
}

void ContentBuilder::drop_blocks(Stage& stage) {
  blocks_ -= std::exchange(stage.blocks, 0) + std::exchange(stage.base_blocks, 0);
  stage.base_table = {};
  stage.hasher = ContentHasher();
  stage.built.blocks = {};
}

void ContentBuilder::reserve_blocks(Stage& stage, uint64_t bytes) {
  if (!stage.hashed) return;
  const uint64_t now = (stage.built.size + bytes) / limits::block_bytes;
  const uint64_t more = now - stage.blocks;
  if (more > limits::staged_blocks_max - std::min(blocks_, limits::staged_blocks_max)) {
    stage.hashed = false;
    return drop_blocks(stage);
  }
  stage.blocks = now;
  blocks_ += more;
}

void ContentBuilder::forget(const StageId& id) {
  const auto it = stages_.find(id);
  if (it == stages_.end()) return;
  if (it->second.built.state == StageState::open) --open_;
  drop_blocks(it->second);
  stages_.erase(it);
}

// No more of it is taken.
void ContentBuilder::close(Stage& stage, StageState state) {
  if (stage.built.state == StageState::open) --open_;
  stage.built.state = state;
}

void ContentBuilder::end_session() {
  leftovers_ = leftovers_ || !stages_.empty();
  for (auto& [id, stage] : stages_) {
    // What cannot be made ready to be resumed goes at the end of the next cut.
    if (stage.built.state == StageState::open && !stage.file.interrupt(stage.built.size)) continue;
  }
  stages_.clear();
  open_ = 0;
  blocks_ = 0;
}

std::optional<std::unordered_set<StageId>> ContentBuilder::end_cut() {
  std::unordered_set<StageId> open;
  for (auto it = stages_.begin(); it != stages_.end();) {
    if (it->second.built.state == StageState::open) {
      open.insert(it->first);
      ++it;
      continue;
    }
    leftovers_ = leftovers_ || it->second.built.state == StageState::ended;
    drop_blocks(it->second);
    it = stages_.erase(it);
  }
  if (!std::exchange(leftovers_, false)) return std::nullopt;
  return open;
}

Status ContentBuilder::begin(const StageBegin& begin) {
  if (!begin.stage.is_set()) return broken("a content without an id");
  const auto known = stages_.find(begin.stage);
  if (known != stages_.end() && known->second.built.state == StageState::open) {
    return broken("a content began twice");
  }
  if (open_ >= limits::stages_open_max) return broken("too many contents at once");
  if (stages_.size() >= limits::cut_records_max) return broken("too many contents in one cut");
  forget(begin.stage);
  ++open_;
  Stage& stage =
      stages_
          .emplace(begin.stage, Stage{.built = {.state = StageState::open, .size = begin.resume_at},
                                      .file = StageFile(staging_, second_, begin.stage)})
          .first->second;
  const Status opened = begin.resume_at > 0 ? stage.file.resume(begin.resume_at)
                                            : stage.file.create(!begin.base.is_root());
  if (!opened) {
    // RACE: a hello may tell of a stage that a cut on its way takes: the content comes again,
    // whole.
    if (opened.error().code == ErrorCode::changed) return refuse(stage, opened.error().message);
    return failed(begin.stage, stage, opened.error());
  }
  stage.hashed = begin.resume_at == 0;
  if (begin.base.is_root()) return {};
  if (const Status base = open_base(begin, stage); !base) {
    if (concerns_everything(base.error())) return base;
    return refuse(stage, base.error().message);
  }
  if (stage.hashed) load_table(begin.base_digest, stage);
  return {};
}

// The base must be what the sender thinks: its digest by the index, and the file as the index
// recorded it.
Status ContentBuilder::open_base(const StageBegin& begin, Stage& stage) {
  const std::optional<Entry> entry = index_.get(begin.base);
  if (!entry || entry->attr.type != FileType::regular || !begin.base_digest.is_set() ||
      entry->attr.content != begin.base_digest) {
    return fail(ErrorCode::changed, "the base of the difference is another content here");
  }
  const Result<int> dir = dirs_.open(begin.base.dir);
  if (!dir) return fail(dir.error());
  Result<Fd> base = io::open_read(*dir, begin.base.name);
  if (!base) return fail(base.error());
  const Result<io::Stat> stat = io::stat_fd(base->get());
  if (!stat) return fail(stat.error());
  if (stat->local.inode != entry->local.inode || stat->local.ctime != entry->local.ctime) {
    return fail(ErrorCode::changed, "the base of the difference was changed here");
  }
  stage.file.set_base(std::move(*base), *stat, begin.base, begin.base_digest);
  return {};
}

// Without it what is kept of the base is read.
void ContentBuilder::load_table(const Digest& base, Stage& stage) {
  const uint64_t size = stage.file.base_size();
  const uint64_t count = size / limits::block_bytes + (size % limits::block_bytes > 0 ? 1 : 0);
  if (count > limits::staged_blocks_max - std::min(blocks_, limits::staged_blocks_max)) return;
  std::optional<std::vector<Digest>> table = index_.block_table(base);
  if (!table || table->size() != count || digest_of_blocks(*table) != base) return;
  stage.base_table = std::move(*table);
  stage.base_blocks = count;
  blocks_ += count;
}

Status ContentBuilder::with_room(const std::function<Status()>& write) {
  Status done = write();
  if (!done && done.error().code == ErrorCode::no_space && second_.drop_all()) done = write();
  return done;
}

Result<ContentBuilder::Stage*> ContentBuilder::next(const StageId& id, uint64_t offset,
                                                    uint64_t length) {
  const auto it = stages_.find(id);
  if (it == stages_.end()) return broken("bytes of a content that did not begin");
  Stage& stage = it->second;
  if (stage.built.state == StageState::refused) return nullptr;
  if (stage.built.state != StageState::open) return broken("bytes of a content that ended");
  if (length == 0) return broken("an empty piece of a content");
  if (offset != stage.built.size) return broken("a gap or an overlap in a content");
  if (length > limits::content_bytes_max - offset) return broken("a content is too long");
  return &stage;
}

Status ContentBuilder::data(const StageData& data) {
  if (data.bytes.size() > limits::data_chunk_bytes_max)
    return broken("a piece of a content is too long");
  const Result<Stage*> stage = next(data.stage, data.offset, data.bytes.size());
  if (!stage) return fail(stage.error());
  if (*stage == nullptr) return {};
  const Status done = with_room([&] { return (*stage)->file.data(data.offset, data.bytes); });
  if (!done) return failed(data.stage, **stage, done.error());
  reserve_blocks(**stage, data.bytes.size());
  if ((*stage)->hashed) (*stage)->hasher.update(data.bytes);
  (*stage)->built.size += data.bytes.size();
  return {};
}

Status ContentBuilder::hole(const StageHole& hole) {
  const Result<Stage*> stage = next(hole.stage, hole.offset, hole.length);
  if (!stage) return fail(stage.error());
  if (*stage == nullptr) return {};
  const Status done = with_room([&] { return (*stage)->file.hole(hole.offset, hole.length); });
  if (!done) return failed(hole.stage, **stage, done.error());
  reserve_blocks(**stage, hole.length);
  if ((*stage)->hashed) (*stage)->hasher.update_zeros(hole.length);
  (*stage)->built.size += hole.length;
  return {};
}

Status ContentBuilder::copy(const StageCopy& copy) {
  const Result<Stage*> found = next(copy.stage, copy.offset, copy.length);
  if (!found) return fail(found.error());
  if (*found == nullptr) return {};
  Stage& stage = **found;
  if (!stage.file.has_base()) return broken("a copy without a base");
  if (copy.base_offset > stage.file.base_size() ||
      copy.length > stage.file.base_size() - copy.base_offset) {
    return broken("a copy past the end of its base");
  }
  const Status done =
      with_room([&] { return stage.file.copy(copy.offset, copy.base_offset, copy.length); });
  if (!done) return failed(copy.stage, stage, done.error());
  reserve_blocks(stage, copy.length);
  if (stage.hashed) {
    if (const Status hashed = hash_copy(stage, copy); !hashed)
      return failed(copy.stage, stage, hashed.error());
  }
  stage.built.size += copy.length;
  return {};
}

// Blocks of the base that are whole blocks of the content are known; the rest is read.
Status ContentBuilder::hash_copy(Stage& stage, const StageCopy& copy) {
  constexpr uint64_t block = limits::block_bytes;
  const uint64_t end = copy.offset + copy.length;
  const bool aligned = copy.offset % block == copy.base_offset % block;
  if (!aligned || stage.base_table.empty()) return hash_written(stage, copy.offset, copy.length);
  const uint64_t first = std::min((copy.offset + block - 1) / block * block, end);
  if (const Status head = hash_written(stage, copy.offset, first - copy.offset); !head) return head;
  uint64_t at = first;
  for (; end - at >= block; at += block) {
    stage.hasher.update_block(stage.base_table[(at - copy.offset + copy.base_offset) / block]);
  }
  return hash_written(stage, at, end - at);
}

Status ContentBuilder::hash_written(Stage& stage, uint64_t offset, uint64_t length) {
  return stage.file.read(offset, length,
                         {.bytes = [&](std::string_view bytes) { stage.hasher.update(bytes); },
                          .zeros = [&](uint64_t count) { stage.hasher.update_zeros(count); }});
}

// What was taken for the base's was the base's if nobody has written to it since. Other times alone
// (our own chmod or link) say nothing: then all is read.
Status ContentBuilder::check_base(Stage& stage) {
  if (!stage.hashed || !stage.file.has_base()) return {};
  const Result<bool> same = stage.file.base_is_as_it_was();
  if (!same) return fail(same.error());
  if (*same) return {};
  stage.hashed = false;
  drop_blocks(stage);
  return {};
}

Status ContentBuilder::hash_all(Stage& stage) {
  stage.hasher = ContentHasher();
  if (const Status read = hash_written(stage, 0, stage.built.size); !read) return read;
  stage.built.digest = stage.hasher.finish();
  // Without its table a later difference costs one more reading.
  const uint64_t count = stage.hasher.blocks().size();
  if (count <= limits::staged_blocks_max - std::min(blocks_, limits::staged_blocks_max)) {
    stage.built.blocks = stage.hasher.blocks();
    stage.blocks = count;
    blocks_ += count;
  }
  return {};
}

Status ContentBuilder::end(const StageEnd& end) {
  const auto it = stages_.find(end.stage);
  if (it == stages_.end()) return broken("the end of a content that did not begin");
  Stage& stage = it->second;
  if (stage.built.state == StageState::refused) return {};
  if (stage.built.state != StageState::open) return broken("a content ended twice");
  if (end.size != stage.built.size) return broken("a content's size is not what was sent");
  if (const Status base = check_base(stage); !base) return failed(end.stage, stage, base.error());
  if (stage.hashed) {
    stage.built.digest = stage.hasher.finish();
    stage.built.blocks = stage.hasher.blocks();
  } else {
    if (const Status read = hash_all(stage); !read) return failed(end.stage, stage, read.error());
  }
  stage.hasher = ContentHasher();
  stage.base_table = {};
  blocks_ -= std::exchange(stage.base_blocks, 0);
  if (stage.built.digest != end.digest) {
    return refuse(stage, "the content is not what its digest says");
  }
  const Status done = with_room([&] { return stage.file.finish(stage.built.size); });
  if (!done) return failed(end.stage, stage, done.error());
  stage.built.file = stage.file.name();
  stage.built.is_tail = stage.file.is_tail();
  stage.built.difference = stage.file.take_difference();
  close(stage, StageState::ended);
  return {};
}

Status ContentBuilder::abort(const StageAbort& abort) {
  const auto it = stages_.find(abort.stage);
  if (it == stages_.end()) return broken("the abort of a content that did not begin");
  if (it->second.built.state == StageState::refused) return {};
  close(it->second, StageState::aborted);
  return discard_file(it->second);
}

Status ContentBuilder::refuse(Stage& stage, std::string reason) {
  close(stage, StageState::refused);
  stage.built.reason = std::move(reason);
  return discard_file(stage);
}

// A full or bad disk ends the connection (what is staged is resumed later); the rest concerns this
// content.
Status ContentBuilder::failed(const StageId& id, Stage& stage, const Error& error) {
  if (!concerns_everything(error)) return refuse(stage, error.message);
  // A full disk: room is made for the others; nothing of it was acknowledged.
  const Status left = error.code == ErrorCode::no_space ? discard_file(stage)
                                                        : stage.file.interrupt(stage.built.size);
  if (!left && error.code == ErrorCode::no_space) return left;
  leftovers_ = true;
  forget(id);
  return fail(tried_again(error));
}

Status ContentBuilder::discard_file(Stage& stage) {
  drop_blocks(stage);
  return stage.file.remove();
}

}  // namespace repl::apply

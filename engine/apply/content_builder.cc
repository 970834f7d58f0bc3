#include "engine/apply/content_builder.h"

#include <algorithm>
#include <utility>

#include "engine/apply/broken.h"
#include "engine/apply/compare.h"
#include "engine/base/limits.h"
#include "engine/io/fs_ops.h"

namespace repl::apply {

ContentBuilder::ContentBuilder(Staging& staging, Index& index, io::DirCache& dirs)
    : staging_(staging), index_(index), dirs_(dirs) {}

const BuiltContent* ContentBuilder::find(const StageId& id) const {
  const auto it = stages_.find(id);
  return it == stages_.end() ? nullptr : &it->second.built;
}

void ContentBuilder::drop_blocks(Stage& stage) {
  blocks_ -= std::exchange(stage.blocks, 0);
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
  drop_blocks(it->second);
  stages_.erase(it);
}

void ContentBuilder::end_session() {
  leftovers_ = leftovers_ || !stages_.empty();
  stages_.clear();
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
  const auto open_count = std::ranges::count_if(
      stages_, [](const auto& stage) { return stage.second.built.state == StageState::open; });
  if (static_cast<size_t>(open_count) >= limits::stages_open_max)
    return broken("too many contents at once");
  if (stages_.size() >= limits::cut_records_max) return broken("too many contents in one cut");
  forget(begin.stage);
  Stage& stage = stages_[begin.stage] = Stage{};
  stage.built.state = StageState::open;
  if (const Status opened = open_file(begin, stage); !opened) {
    // RACE: a hello may tell of a stage that a cut on its way takes: the content comes again,
    // whole.
    if (opened.error().code == ErrorCode::changed)
      return refuse(begin.stage, stage, opened.error().message);
    return failed(begin.stage, stage, opened.error());
  }
  if (begin.base.is_root() || stage.built.state != StageState::open) return {};
  if (const Status opened = open_base(begin, stage); !opened) {
    if (concerns_everything(opened.error())) return opened;
    return refuse(begin.stage, stage, opened.error().message);
  }
  return {};
}

Status ContentBuilder::open_file(const StageBegin& begin, Stage& stage) {
  const int dir = staging_.stage_dir(begin.stage);
  const std::string name = to_hex(begin.stage);
  Result<Fd> file = begin.resume_at > 0 ? io::open_write(dir, name) : io::create_file(dir, name);
  if (!file && begin.resume_at == 0 && file.error().sys_errno == EEXIST) {
    if (const Status gone = io::unlink_at(dir, name); !gone) return gone;
    file = io::create_file(dir, name);
  }
  if (!file && begin.resume_at > 0 && file.error().code == ErrorCode::not_found) {
    return fail(ErrorCode::changed, "what was staged of it is not here any more");
  }
  if (!file) return fail(file.error());
  if (begin.resume_at > 0) {
    const Result<io::Stat> stat = io::stat_fd(file->get());
    if (!stat) return fail(stat.error());
    if (stat->attr.size != begin.resume_at)
      return fail(ErrorCode::changed, "what was staged of it is not what the hello said");
    stage.hashed = false;
  }
  stage.built.size = begin.resume_at;
  stage.file = std::move(*file);
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
  stage.base_size = stat->attr.size;
  stage.base = std::move(*base);
  return {};
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
  if (const Status done = io::write_at((*stage)->file.get(), data.offset, data.bytes); !done) {
    return failed(data.stage, **stage, done.error());
  }
  reserve_blocks(**stage, data.bytes.size());
  if ((*stage)->hashed) (*stage)->hasher.update(data.bytes);
  (*stage)->built.size += data.bytes.size();
  return {};
}

Status ContentBuilder::hole(const StageHole& hole) {
  const Result<Stage*> stage = next(hole.stage, hole.offset, hole.length);
  if (!stage) return fail(stage.error());
  if (*stage == nullptr) return {};
  if (const Status done = io::truncate((*stage)->file.get(), hole.offset + hole.length); !done) {
    return failed(hole.stage, **stage, done.error());
  }
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
  if (!stage.base.valid()) return broken("a copy without a base");
  if (copy.base_offset > stage.base_size || copy.length > stage.base_size - copy.base_offset) {
    return broken("a copy past the end of its base");
  }
  const Result<io::CopyHow> done = io::copy_range(stage.base.get(), copy.base_offset,
                                                  stage.file.get(), copy.offset, copy.length);
  if (!done) return failed(copy.stage, stage, done.error());
  if (std::exchange(stage.hashed, false)) drop_blocks(stage);
  stage.built.size += copy.length;
  return {};
}

Status ContentBuilder::end(const StageEnd& end) {
  const auto it = stages_.find(end.stage);
  if (it == stages_.end()) return broken("the end of a content that did not begin");
  Stage& stage = it->second;
  if (stage.built.state == StageState::refused) return {};
  if (stage.built.state != StageState::open) return broken("a content ended twice");
  if (end.size != stage.built.size) return broken("a content's size is not what was sent");
  if (stage.hashed) {
    stage.built.digest = stage.hasher.finish();
    stage.built.blocks = stage.hasher.blocks();
    stage.hasher = ContentHasher();
  } else {
    Result<FileDigest> read = digest_file(stage.file.get());
    if (!read) return failed(end.stage, stage, read.error());
    stage.built.digest = read->digest;
    // Without its table a later difference costs one more reading.
    if (read->blocks.size() <=
        limits::staged_blocks_max - std::min(blocks_, limits::staged_blocks_max)) {
      stage.built.blocks = std::move(read->blocks);
      stage.blocks = stage.built.blocks.size();
      blocks_ += stage.blocks;
    }
  }
  if (stage.built.digest != end.digest) {
    return refuse(end.stage, stage, "the content is not what its digest says");
  }
  stage.file.reset();
  stage.base.reset();
  stage.built.state = StageState::ended;
  return {};
}

Status ContentBuilder::abort(const StageAbort& abort) {
  const auto it = stages_.find(abort.stage);
  if (it == stages_.end()) return broken("the abort of a content that did not begin");
  if (it->second.built.state == StageState::refused) return {};
  it->second.built.state = StageState::aborted;
  return discard_file(abort.stage, it->second);
}

Status ContentBuilder::refuse(const StageId& id, Stage& stage, std::string reason) {
  stage.built.state = StageState::refused;
  stage.built.reason = std::move(reason);
  return discard_file(id, stage);
}

// A full or bad disk ends the connection (what is staged is resumed later); the rest concerns this
// content.
Status ContentBuilder::failed(const StageId& id, Stage& stage, const Error& error) {
  if (!concerns_everything(error)) return refuse(id, stage, error.message);
  Error out = error;
  out.remedy = Remedy::retry;
  if (error.code == ErrorCode::no_space) {
    // Room is made for the others; nothing of it was acknowledged.
    if (const Status gone = discard_file(id, stage); !gone) return fail(gone.error());
  }
  leftovers_ = true;
  forget(id);
  return fail(std::move(out));
}

Status ContentBuilder::discard_file(const StageId& id, Stage& stage) {
  stage.file.reset();
  stage.base.reset();
  drop_blocks(stage);
  const Status gone = io::unlink_at(staging_.stage_dir(id), to_hex(id));
  if (!gone && gone.error().code != ErrorCode::not_found) return gone;
  return {};
}

}  // namespace repl::apply

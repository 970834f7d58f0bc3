#include "engine/run/catch_up.h"

#include <utility>

#include "engine/apply/diverged_files.h"
#include "engine/base/bytes.h"
#include "engine/base/limits.h"
#include "engine/role/parting.h"

namespace repl::run {

namespace {

using apply::diverged::Change;
using apply::diverged::Item;
using apply::diverged::Shown;
using apply::diverged::Store;

constexpr std::string_view word_meta = "catch-up";  // u8 kept, string from, position, bits, u64
constexpr uint64_t read_step_bytes = 64 << 20;
constexpr int ask_max = 20;
constexpr Duration tell_interval = std::chrono::milliseconds(200);

bool same_attributes(const Attributes& a, const Attributes& b) {
  const bool owner = a.mode == b.mode && a.uid == b.uid && a.gid == b.gid && a.xattrs == b.xattrs;
  // A directory's time is that of its last entry: nobody's version.
  return owner && (a.type == FileType::directory || a.mtime == b.mtime);
}

}  // namespace

CatchUp::CatchUp(TreeParts& parts, Lent lent) : parts_(parts), lent_(std::move(lent)) { recall(); }

CatchUp::~CatchUp() {
  if (request_) end(fail(ErrorCode::closed, "the tree is closed here: run it again"));
}

// --- the person's word
// ---------------------------------------------------------------------------------------

void CatchUp::recall() {
  const std::optional<std::string> value = parts_.index->meta(word_meta);
  if (!value) return;
  ByteReader in(*value);
  Word word;
  word.kept = in.u8() == 1;
  word.from = in.string();
  word.here.epoch = Epoch{in.u64()};
  word.here.reign = Reign{in.bits()};
  word.here.cut = CutNumber{in.u64()};
  word.common_reign = Reign{in.bits()};
  word.common_cut = CutNumber{in.u64()};
  if (in.done()) word_ = std::move(word);
}

Status CatchUp::remember() {
  std::string value;
  ByteWriter out(value);
  out.u8(word_->kept ? 1 : 0);
  out.string(word_->from);
  out.u64(word_->here.epoch.value);
  out.bits(word_->here.reign);
  out.u64(word_->here.cut.value);
  out.bits(word_->common_reign);
  out.u64(word_->common_cut.value);
  parts_.index->put_meta(word_meta, value);
  return lent_.flush();
}

void CatchUp::forget() {
  word_.reset();
  parts_.index->remove_meta(word_meta);
}

bool CatchUp::agreed() const {
  return word_ && word_->kept && word_->here == parts_.state.position;
}

bool CatchUp::agreed_with(const std::string& node) const { return agreed() && word_->from == node; }

bool CatchUp::half_kept() const {
  return word_ && !word_->kept && word_->here == parts_.state.position;
}

// --- from one phase to the next
// ------------------------------------------------------------------------------

void CatchUp::begin(Session& session, CatchUpRequest request) {
  request_ = std::move(request);
  session_ = &session;
  certificate_ = Certificate{};
  problem_.clear();
  asked_ = 0;
  began_ = parts_.clock.now();
  bytes_before_ = session.link->counters().plain_bytes_in;
  if (session.decided || agreed_with(session.peer)) return enter(Phase::transferring);
  Word word{.from = session.peer, .here = parts_.state.position};
  if (const auto at = role::parting(*session.said, *session.hello)) {
    word.common_reign = at->reign;
    word.common_cut = at->cut;
  }
  word_ = std::move(word);
  if (Status s = remember(); !s) return end(fail(s.error()));
  enter(Phase::recording);
  lent_.scan(true);
}

void CatchUp::enter(Phase phase) {
  phase_ = phase;
  told_ = {};
}

bool CatchUp::step(MonotonicTime now) {
  if (!request_) return false;
  tell(now);
  switch (phase_) {
    case Phase::recording:
      if (!lent_.scanned()) return false;
      begin_keeping();
      return true;
    case Phase::keeping:
      if (Status s = keep_some(); !s) end(fail(s.error()));
      return request_.has_value();
    case Phase::transferring:
      if (!arrived()) return false;
      begin_reading();
      return true;
    case Phase::reading:
      if (!walk_->step(read_step_bytes)) return true;
      certificate_.bytes_read = walk_->bytes_read();
      walk_.reset();
      enter(Phase::scanning);
      lent_.scan(false);
      return true;
    case Phase::scanning:
      if (!lent_.scanned() || !arrived()) return false;
      ask_primary();
      return false;
    case Phase::verifying:
    case Phase::idle:
      return false;
  }
  return false;
}

// --- keeping
// -------------------------------------------------------------------------------------------------

void CatchUp::begin_keeping() {
  enter(Phase::keeping);
  lent_.drop_holds();
  const apply::diverged::About about{.tree = parts_.options.name,
                                     .node = parts_.options.node,
                                     .from_peer = word_->from,
                                     .reason = "catch-up from " + word_->from,
                                     .common_reign = word_->common_reign,
                                     .common_cut = word_->common_cut,
                                     .unix_seconds = parts_.clock.wall_ns() / 1'000'000'000};
  auto store = Store::begin(parts_.staging->filesystem(), about);
  if (!store) return end(fail(store.error()));
  store_ = std::move(*store);
  to_keep_.clear();
  const bool known =
      word_->common_reign.is_set() &&
      parts_.index->changes_since(word_->common_cut, [this](const repl::Change& change) {
        to_keep_.push_back({.key = change.key, .removed = change.removed});
        return true;
      });
  if (!known) {
    to_keep_.clear();
    to_keep_.push_back({.key = root_key});
    list_everything(root_dir);
  }
  files_total_ = to_keep_.size();
}

// Of what was changed here nothing is known: all that is not equal in the end is kept.
void CatchUp::list_everything(DirId top) {
  std::vector<DirId> below{top};
  while (!below.empty()) {
    const DirId dir = below.back();
    below.pop_back();
    parts_.index->for_children(dir, [&](std::string_view name, const Entry& entry) {
      to_keep_.push_back({.key = Key{.dir = dir, .name = std::string(name)}});
      if (entry.attr.type == FileType::directory) below.push_back(entry.attr.dir);
      return true;
    });
  }
}

Status CatchUp::keep_some() {
  for (size_t n = 0; n < limits::keep_step_max && !to_keep_.empty(); ++n) {
    const ToKeep what = std::move(to_keep_.front());
    to_keep_.pop_front();
    if (Status s = keep(what); !s) return s;
  }
  if (!to_keep_.empty()) return {};
  if (Status s = store_->sync(); !s) return s;
  word_->kept = true;
  if (Status s = remember(); !s) return s;
  enter(Phase::transferring);  // the hello says so now, and the primary answers it
  return {};
}

Status CatchUp::keep(const ToKeep& what) {
  const std::optional<std::string> path = parts_.index->path_of(what.key);
  if (!path) return {};  // what it was in is gone here, too, and said so
  const std::optional<Entry> entry = parts_.index->get(what.key);
  apply::diverged::Subject subject{
      .change = Change::changed, .key = what.key, .path = *path, .known = nullptr};
  if (!entry) {
    subject.change = Change::deleted;
    return store_->note_removed(subject);
  }
  subject.known = &entry->attr;
  if (what.key.is_root()) {
    const auto kept = store_->keep_directory(subject, parts_.dirs->root());
    return kept ? Status() : fail(kept.error());
  }
  const Result<int> dir = parts_.dirs->open(what.key.dir);
  if (!dir) return fail(dir.error());
  const Result<io::Stat> kept = store_->keep(subject, *dir, what.key.name);
  if (!kept) {
    // Removed since it was seen: what the primary sends finds nothing there.
    return kept.error().code == ErrorCode::not_found ? Status() : fail(kept.error());
  }
  if (entry->attr.type != FileType::directory) learn(*kept);
  return {};
}

// A link more changed the ctime, which tells whether somebody else touched the file.
void CatchUp::learn(const io::Stat& stat) {
  for (const Key& name : parts_.index->keys_of_inode(stat.local.inode)) {
    const std::optional<Entry> entry = parts_.index->get(name);
    if (!entry) continue;
    LocalStat local = stat.local;
    local.handle = entry->local.handle;
    parts_.index->put_local(name, local);
  }
}

// --- arriving
// ------------------------------------------------------------------------------------------------

bool CatchUp::arrived() const {
  return session_ != nullptr && session_->decided && session_->hello &&
         parts_.state.position.reign == session_->hello->position.reign && lent_.at_rest();
}

void CatchUp::begin_reading() {
  enter(Phase::reading);
  certificate_.files_read = 0;
  const Index& index = *parts_.index;
  walk_ = std::make_unique<ContentWalk>(
      index, *parts_.dirs, WalkKind::everything, [this](const ContentWalk::Found& found) {
        ++certificate_.files_read;
        if (found.digest && *found.digest == found.entry.attr.content) return;
        const std::optional<Entry> now = parts_.index->get(found.key);
        if (!now || now->attr.content != found.entry.attr.content) return;  // a cut came meanwhile
        problem_ = parts_.describe(found.key) + " is not as it was written" +
                   (found.problem.empty() ? "" : ": " + found.problem);
      });
  if (word_ && word_->common_reign.is_set() && index.log_start() <= word_->common_cut)
    walk_->only_after(word_->common_cut);
}

void CatchUp::ask_primary() {
  enter(Phase::verifying);
  ++asked_;
  VerifyRequest request;
  request.id = next_id_++;
  static_cast<void>(session_->link->send(Message(request), Lane::prompt));
}

void CatchUp::on_verified(const VerifyReply& reply) {
  if (!request_ || phase_ != Phase::verifying || reply.id + 1 != next_id_) return;
  // Of two moments: a cut came between.
  const bool one_moment =
      reply.position == parts_.state.position && reply.content == parts_.index->root_content();
  if (reply.synced && !one_moment && asked_ < ask_max && arrived()) return ask_primary();
  certificate_.peer_position = reply.position;
  certificate_.peer_content = reply.content;
  certificate_.position = parts_.state.position;
  certificate_.content = parts_.index->root_content();
  certificate_.entries = parts_.index->counts().entries;
  certificate_.held = lent_.held();
  certificate_.detail = problem_;
  for (const std::string& what : reply.mismatches) {
    if (certificate_.detail.empty()) certificate_.detail = what;
  }
  if (certificate_.detail.empty() && certificate_.held > 0)
    certificate_.detail = "paths that were changed here are held: `repl approve " +
                          parts_.options.name + "` lets the primary's in, and keeps them";
  if (certificate_.detail.empty() && !(reply.synced && one_moment))
    certificate_.detail = "the tree changes too fast to be compared at one moment: run it again";
  certificate_.verified = certificate_.detail.empty();
  settle();
}

void CatchUp::settle() {
  const bool resumed_only = !store_ && word_;
  if (resumed_only) {
    auto store = Store::begin(parts_.staging->filesystem(),
                              {.tree = parts_.options.name,
                               .node = parts_.options.node,
                               .from_peer = word_->from,
                               .reason = "catch-up from " + word_->from,
                               .common_reign = word_->common_reign,
                               .common_cut = word_->common_cut,
                               .unix_seconds = parts_.clock.wall_ns() / 1'000'000'000});
    if (!store) return end(fail(store.error()));
    store_ = std::move(*store);
  }
  if (store_) {
    const auto settled = store_->settle([this](const Item& item) { return shows(item); });
    if (!settled) return end(fail(settled.error()));
    certificate_.kept = settled->items;
    if (settled->items > 0) {
      certificate_.kept_in = parts_.staging_path + "/" + std::string(apply::diverged::stores_name) +
                             "/" + store_->id();
    }
    store_.reset();
  }
  forget();
  if (Status s = lent_.flush(); !s) return end(fail(s.error()));
  certificate_.seconds = std::chrono::duration<double>(parts_.clock.now() - began_).count();
  end(std::move(certificate_));
}

Result<Shown> CatchUp::shows(const Item& item) const {
  const std::optional<Key> key = parts_.index->key_of_path(item.path);
  const std::optional<Entry> entry = key ? parts_.index->get(*key) : std::nullopt;
  if (item.change == Change::deleted) return entry ? Shown::replaced : Shown::same;
  if (!entry || !item.attr || entry->attr.type != item.attr->type) return Shown::replaced;
  if (entry->attr.type != FileType::directory &&
      (entry->local.inode != item.local.inode || entry->local.birth != item.local.birth)) {
    return Shown::replaced;
  }
  return same_attributes(entry->attr, *item.attr) ? Shown::same : Shown::attributes;
}

// --- the end
// -------------------------------------------------------------------------------------------------

void CatchUp::tell(MonotonicTime now) {
  if (!request_->progress || now < told_ + tell_interval) return;
  told_ = now;
  CatchUpProgress progress;
  switch (phase_) {
    case Phase::recording:
      progress.phase = "scanning";
      break;
    case Phase::keeping:
      progress.phase = "keeping";
      progress.files_total = files_total_;
      progress.files_done = files_total_ - to_keep_.size();
      break;
    case Phase::transferring:
      progress.phase = session_->decided ? "transferring" : "comparing";
      progress.bytes_total = request_->bytes_expected;
      progress.bytes_done = session_->link->counters().plain_bytes_in - bytes_before_;
      break;
    default:
      progress.phase = "verifying";
      progress.files_done = certificate_.files_read;
      break;
  }
  request_->progress(progress);
}

void CatchUp::on_refused(const std::string& why) {
  if (request_ && phase_ == Phase::transferring) end(fail(ErrorCode::changed, why));
}

void CatchUp::on_closed(const Session& session) {
  if (!request_ || &session != session_) return;
  end(fail(
      ErrorCode::closed,
      "the connection with " + session.peer +
          " was lost: nothing that was kept is lost with it. Run it again; it goes on where it "
          "stopped"));
}

void CatchUp::end(Result<Certificate> result) {
  phase_ = Phase::idle;
  session_ = nullptr;
  walk_.reset();
  store_.reset();
  to_keep_.clear();
  const CatchUpRequest request = std::move(*std::exchange(request_, std::nullopt));
  request.answer(std::move(result));
}

}  // namespace repl::run

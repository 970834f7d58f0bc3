// cut_writer_contents.cc: how a CutWriter gets at the contents of regular files: small ones read at
// once, large ones copied if the peer has them elsewhere, else streamed.
#include <algorithm>
#include <utility>

#include "engine/base/escape.h"
#include "engine/base/limits.h"
#include "engine/send/cut_writer.h"

namespace repl::send {

void CutWriter::put_large(Work work) {
  work = prepared(std::move(work));
  if (work.whole)
    large_.add(std::move(work));
  else
    unsearched_.push_back(std::move(work));
}

Work CutWriter::prepared(Work work) {
  if (work.attr.link.is_set()) links_[work.attr.link].deferred = true;
  work.base_key = work.key;
  if (const std::optional<Entry> entry = parts_.index.get(work.key)) {
    work.inode = entry->local.inode;
    work.birth = entry->local.birth;
  }
  return work;
}

CutWriter::Drain CutWriter::drain() {
  if (open_ && !order_.holding() && !released_.empty()) {
    static_cast<void>(release_one());
    return Drain::more;
  }
  if (searching()) {
    step_search();
    return Drain::more;
  }
  const Drain drained = large_.drain();
  if (drained == Drain::complete && open_) {
    large_.put_complete();
    return Drain::more;
  }
  if (drained != Drain::idle) return drained;
  if (open_) return release_one() ? Drain::more : Drain::idle;
  if (again_.empty()) return loose() ? Drain::complete : Drain::idle;
  put_again();
  return Drain::more;
}

// Nothing is under way any more: what waited follows.
bool CutWriter::release_one() {
  if (released_.empty() && order_.held() > 0) {
    for (CutItem& item : order_.release(begin_.cut)) released_.push_back(std::move(item));
    if (order_.released_later()) index_moved_on();
  }
  if (released_.empty()) return false;
  const CutItem item = std::move(released_.front());
  released_.pop_front();
  if (!recorded_.contains(item.key)) put_item(item);
  return true;
}

// The peer has what was streamed first; from there on it is a difference.
void CutWriter::put_again() {
  for (const Candidate& candidate : std::exchange(again_, {})) {
    const std::optional<Entry> entry = parts_.index.get(candidate.key);
    if (!entry || entry->attr.type != FileType::regular) continue;  // a later cut says what it is
    large_.add(Work{.key = candidate.key,
                    .attr = entry->attr,
                    .base_on_peer = candidate.peer_content.is_set(),
                    .base = candidate.peer_content,
                    .base_size = candidate.peer_size,
                    .bytes = {},
                    .copy_from = {},
                    .base_key = candidate.key,
                    .inode = entry->local.inode,
                    .birth = entry->local.birth,
                    .followers = {},
                    .as_of = entry->cut});
  }
}

void CutWriter::step_search() {
  if (!search_) {
    search_ =
        CopySearch::begin(parts_.index, peer_contents_, parts_.source, unsearched_.front().key);
    if (!search_) end_search(false);
    return;
  }
  const auto step = search_->step(limits::stream_step_bytes);
  if (step != CopySearch::Step::more) end_search(step == CopySearch::Step::known);
}

void CutWriter::end_search(bool known) {
  Work work = std::move(unsearched_.front());
  unsearched_.pop_front();
  const std::unique_ptr<CopySearch> search = std::move(search_);
  if (!known || !put_copy(work, *search)) large_.add(std::move(work));
}

// False: who had that content has another one by now.
bool CutWriter::put_copy(const Work& work, CopySearch& found) {
  const uint64_t size = found.handle().opened().attr.size;
  const auto from = peer_contents_.key_of(found.digest(), size, work.key);
  if (!from) return false;
  Result<Attributes> attr = as_on_disk(work, found.handle(), found.handle().opened());
  if (!attr) {
    skip(work.key, work.attr.link, attr.error());
    return true;
  }
  attr->content = found.digest();
  learned(work, *attr, found.digest(), found.blocks());
  ++counters_.copied;
  put_done(work, *attr, ContentCopy{.from = *from});
  return true;
}

// The attributes to send with the content of `state`: the index's while they agree, else what the
// disk shows now.
Result<Attributes> CutWriter::as_on_disk(const Work& work, ContentHandle& handle,
                                         const io::Stat& state) {
  const Attributes& now = state.attr;
  const Attributes& then = work.attr;
  const bool same = now.size == then.size && now.mtime == then.mtime && now.mode == then.mode &&
                    now.uid == then.uid && now.gid == then.gid;
  if (same) return then;
  changed_meanwhile(work.key, work.attr.link);
  Result<Attributes> fresh = handle.attributes();
  if (!fresh) return fresh;
  fresh->size = now.size;
  fresh->mtime = now.mtime;
  fresh->link = then.link;
  fresh->link_names = then.link_names;
  if (now.uid == then.uid && now.gid == then.gid) {
    fresh->owner = then.owner;
    fresh->group = then.group;
  }
  return fresh;
}

void CutWriter::learned(const Work& work, const Attributes& attr, const Digest& digest,
                        const std::vector<Digest>& blocks) {
  // The disk held other bytes than the index says under the same stat (a store through mmap).
  if (work.attr.content.is_set() && work.attr.content != digest && work.attr.size == attr.size &&
      work.attr.mtime == attr.mtime) {
    changed_meanwhile(work.key, work.attr.link);
  }
  parts_.callbacks.content_known(work.key, attr, digest, blocks);
}

void CutWriter::put_inline(Work work) {
  if (work.bytes && work.bytes->size() == work.attr.size) {
    if (!work.attr.content.is_set()) {
      ContentHasher hasher;
      hasher.update(*work.bytes);
      work.attr.content = hasher.finish();
      parts_.callbacks.content_known(work.key, work.attr, work.attr.content, hasher.blocks());
    }
    ++counters_.inlined;
    counters_.literal_bytes += work.bytes->size();
    return put_done(work, work.attr, ContentInline{.bytes = *work.bytes});
  }
  Result<SmallContent> content = read_small(parts_.source, work.key);
  if (!content) return skip(work.key, work.attr.link, content.error());
  if (content->too_large) return put_large(std::move(work));
  if (!content->stable && !hot_.contains(work.key)) return put_off_torn(std::move(work));
  put_small(std::move(work), std::move(*content));
}

void CutWriter::put_small(Work work, SmallContent content) {
  Result<Attributes> attr = as_on_disk(work, *content.handle, content.handle->opened());
  if (!attr) return skip(work.key, work.attr.link, attr.error());
  if (!content.stable) changed_meanwhile(work.key, work.attr.link);
  count_hot(work.key, !content.stable);
  ContentHasher hasher;
  hasher.update(content.bytes);
  attr->size = content.bytes.size();
  attr->content = hasher.finish();
  learned(work, *attr, attr->content, hasher.blocks());
  const bool there =
      work.base_on_peer && work.base == attr->content && work.base_size == attr->size;
  if (there) {
    ++counters_.metadata;
    return put_done(work, *attr, ContentNone{});
  }
  ++counters_.inlined;
  counters_.literal_bytes += content.bytes.size();
  put_done(work, *attr, ContentInline{.bytes = std::move(content.bytes)});
}

// Cuts that come meanwhile need not wait for it.
void CutWriter::put_off_torn(Work work) {
  goes_astray(work.key, work.attr.link);
  if (may_end_ == Loose::if_torn) order_.watch();
  large_.rest(prepared(std::move(work)));
}

void CutWriter::count_hot(const Key& key, bool torn) {
  if (!torn) return hot_.held_still(key);
  if (!hot_.publish(key)) return;
  parts_.log.warn("send: {} does not hold still: it is sent as it was read, and sent again",
                  escape(parts_.index.path_of(key).value_or(key.name)));
}

void CutWriter::give_up(const Work& work, const Error& why) {
  skip(work.key, work.attr.link, why);
  for (const Key& name : work.followers) add_later(Candidate{.key = name});
}

void CutWriter::finish_stream(const Work& work, ContentStreamer& streamer) {
  const StreamResult& result = streamer.result();
  count(streamer);
  // Its removal need not come behind it: a merged cut has none of what the peer has not.
  if (!parts_.index.contains(work.key))
    return give_up(work, make_error(ErrorCode::not_found, "it was removed while it was sent"));
  Result<Attributes> attr = as_on_disk(work, streamer.handle(), streamer.state());
  if (!attr) return skip(work.key, work.attr.link, attr.error());
  if (result.changed) changed_meanwhile(work.key, work.attr.link);
  if (work.as_of > begin_.cut) index_moved_on();
  count_hot(work.key, result.torn);
  attr->size = result.size;
  attr->content = result.digest;
  learned(work, *attr, result.digest, result.blocks);
  put_done(work, *attr, ContentStaged{.stage = streamer.plan().stage});
  streamed_.remember(
      work.key,
      StreamedContent{.content = result.digest, .size = result.size, .blocks = result.blocks});
  if (!order_.changed_since(work.key)) return;
  again_.push_back(Candidate{.key = work.key,
                             .peer_type = FileType::regular,
                             .peer_content = result.digest,
                             .peer_size = result.size,
                             .dir = {}});
}

void CutWriter::count(const ContentStreamer& streamer) {
  const StreamPlan& plan = streamer.plan();
  const StreamResult& result = streamer.result();
  const bool kept_all = result.copied_bytes == plan.base_size && result.rolling_bytes == 0;
  if (plan.how == StreamPlan::How::whole)
    ++counters_.whole;
  else if (result.rolling_bytes > 0)
    ++counters_.rolling;
  else if (kept_all && result.size > plan.base_size)
    ++counters_.append;
  else
    ++counters_.aligned;
  counters_.literal_bytes += result.literal_bytes;
  counters_.saved_bytes += result.copied_bytes;
  counters_.rolling_bytes += result.rolling_bytes;
}

}  // namespace repl::send

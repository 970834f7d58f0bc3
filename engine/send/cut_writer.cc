#include "engine/send/cut_writer.h"

#include <algorithm>
#include <utility>

#include "engine/base/escape.h"
#include "engine/base/limits.h"

namespace repl::send {

CutWriter::CutWriter(Parts parts)
    : parts_(std::move(parts)),
      packer_([this](Message message) { emit(std::move(message)); }),
      peer_contents_(parts_.index),
      large_(LargeContents::Parts{
          .index = parts_.index,
          .source = parts_.source,
          .streamed = streamed_,
          .emit = [this](Message message, Lane lane) { emit(std::move(message), lane); },
          .room = parts_.room,
          .drained = parts_.drained,
          .ask =
              [this](Message message) {
                ++counters_.signature_requests;
                parts_.ask(std::move(message));
              },
          .finished =
              [this](Work work, std::unique_ptr<ContentStreamer> streamer) {
                finish_stream(work, *streamer);
              },
          .begins =
              [this](const Work& work) {
                // What changed before is in what is read now.
                static_cast<void>(order_.changed_since(work.key));
                return work.torn_reads + 1 >= limits::stable_read_tries_max ||
                       hot_.contains(work.key);
              },
          .failed = [this](const Work& work, const Error& why) { give_up(work, why); }}),
      order_(parts_.index, large_) {}

void CutWriter::emit(Message message, Lane lane) {
  if (const auto* data = std::get_if<StageData>(&message)) bytes_sent_ += data->bytes.size();
  parts_.emit(std::move(message), lane);
}

void CutWriter::record(Record record) {
  streamed_.forget(record);
  astray_.told(record);
  ++records_;
  bytes_sent_ += record_bytes(record);
  if (order_.watching()) {
    const auto* put = std::get_if<Put>(&record);
    recorded_.insert(put != nullptr ? put->key : std::get<Remove>(record).key);
  }
  packer_.add(std::move(record));
}

void CutWriter::begin(const CutBegin& begin, CutNumber peer_at, bool disown, Loose may_end) {
  begin_ = begin;
  may_end_ = may_end;
  order_.begin(may_end == Loose::yes);
  // Nor is what is withheld copied from: the peer may never have got it.
  peer_contents_.begin(peer_at, [this](const Key& key) {
    return order_.lacks(key) || (parts_.callbacks.withheld && parts_.callbacks.withheld(key));
  });
  disown_ = disown;
  open_ = true;
  exact_ = true;
  index_moved_on_ = false;
  records_ = 0;
  withheld_ = 0;
  bytes_sent_ = 0;
  links_.clear();
  recorded_.clear();
  emit(begin_);
  put_again();
  for (const Candidate& candidate : std::exchange(later_, {})) take_candidate(candidate);
}

// Every piece is a cut of its own to the peer: it counts its own records, and a link leads to a
// record of it.
void CutWriter::reopen() {
  open_ = true;
  records_ = 0;
  ++piece_;
  recorded_.clear();
  emit(begin_);
}

bool CutWriter::loose() const {
  return under_way() || held_back() > 0 || !later_.empty() || !again_.empty();
}

void CutWriter::forget_held_back() {
  released_.clear();
  order_.forget_held();
}

void CutWriter::end(bool last, const Fingerprint& content, bool content_known, uint64_t settled) {
  packer_.flush();
  open_ = false;
  for (CutItem& item : std::exchange(released_, {})) order_.hold(std::move(item));
  for (auto& [id, group] : links_) {
    Work* first = group.deferred ? large_.find(group.first) : nullptr;
    if (first != nullptr) std::ranges::move(group.followers, std::back_inserter(first->followers));
  }
  if (last && !loose()) large_.forget_stages();  // what no cut took the peer lets go of
  emit(CutEnd{.cut = begin_.cut,
              .records = records_,
              .ordered = exact_,
              .last = last,
              .content = content,
              .content_known = content_known,
              .settled = settled,
              .loose = loose()});
}

void CutWriter::changed_meanwhile(const Key& key, LinkId link) {
  goes_astray(key, link);
  parts_.callbacks.mark_dirty(key);
}

void CutWriter::goes_astray(const Key& key, LinkId link) {
  exact_ = false;
  if (link.is_set())
    astray_.add_more_than(key);
  else
    astray_.add(key);
}

void CutWriter::add(const Candidate& candidate) {
  if (candidate.peer_type == FileType::regular) {
    peer_contents_.add(candidate.key, candidate.peer_content, candidate.peer_size);
  }
  if (!order_.watching()) return take_candidate(candidate);
  const std::optional<Entry> entry =
      candidate.removed ? std::nullopt : parts_.index.get(candidate.key);
  if (recorded_.contains(candidate.key))
    return changed_meanwhile(candidate.key, entry ? entry->attr.link : LinkId{});
  const bool there = candidate.peer_type != FileType::none;
  const bool file = entry && entry->attr.type == FileType::regular;
  // Whether it is another version or another file, nobody can say.
  const bool differs = entry && (entry->attr.type != candidate.peer_type ||
                                 (file && entry->attr.content != candidate.peer_content));
  CutItem item{.key = candidate.key,
               .removed = candidate.removed,
               .content_changed = file,
               .destroys = candidate.removed || (there && differs),
               .unsent = candidate.whole,
               .attr = entry ? entry->attr : Attributes{},
               .base_content = candidate.peer_content,
               .base_size = candidate.peer_size,
               .bytes = {},
               .copy_from = {}};
  const bool taken = (entry || candidate.removed) && order_.take(item);
  for (const Key& name : order_.take_orphans()) take_candidate(Candidate{.key = name});
  if (!taken) take_candidate(candidate);
  bound_held_back();
}

void CutWriter::add_later(Candidate candidate) {
  if (open_)
    take_candidate(candidate);
  else
    later_.push_back(std::move(candidate));
}

void CutWriter::take_candidate(const Candidate& candidate) {
  if (candidate.removed) {
    // RACE: a key that exists again since it was found missing has a newer cut of its own to come.
    if (parts_.index.contains(candidate.key)) return;
    ++counters_.removed;
    record(Remove{.key = candidate.key, .disown = disown_});
    return;
  }
  const std::optional<Entry> entry = parts_.index.get(candidate.key);
  if (!entry) return index_moved_on();  // removed since: a newer cut says so
  if (entry->cut > begin_.cut) index_moved_on();
  if (is_withheld(candidate.key)) return;
  const bool base = !candidate.whole && candidate.peer_type == FileType::regular;
  Work work{.key = candidate.key, .attr = entry->attr, .whole = candidate.whole};
  work.base_on_peer = base && candidate.peer_content.is_set();
  work.base = candidate.peer_content;
  work.base_size = candidate.peer_size;
  work.content_equal =
      work.base_on_peer && work.base == work.attr.content && work.base_size == work.attr.size;
  put(std::move(work));
}

void CutWriter::add(CutItem item) {
  if (order_.watching() && recorded_.contains(item.key))
    return changed_meanwhile(item.key, item.attr.link);
  // What other peers had there may be under way to this one.
  if (!order_.lacks(item.key)) peer_contents_.add(item.key, item.base_content, item.base_size);
  const bool taken = order_.take(item);
  for (const Key& name : order_.take_orphans()) take_candidate(Candidate{.key = name});
  if (!taken) put_item(item);
  bound_held_back();
}

// What waits goes into this cut, which then waits for what is under way.
void CutWriter::bound_held_back() {
  if (order_.held() <= limits::held_back_keys_max) return;
  for (CutItem& item : order_.stop_holding(begin_.cut)) released_.push_back(std::move(item));
  if (order_.released_later()) index_moved_on();
}

bool CutWriter::crowded() const {
  return large_.size() + unsearched_.size() > limits::large_contents_max ||
         (!order_.holding() && !released_.empty());
}

void CutWriter::put_item(const CutItem& item) {
  if (item.removed) {
    ++counters_.removed;
    record(Remove{.key = item.key, .disown = disown_});
    return;
  }
  if (is_withheld(item.key)) return;
  Work work{.key = item.key, .attr = item.attr, .whole = item.unsent};
  work.base_on_peer = item.base_content.is_set();
  work.base = item.base_content;
  work.base_size = item.base_size;
  if (const StreamedContent* before = streamed_.find(item.key);
      !work.base_on_peer && item.base_size > 0 && before != nullptr) {
    work.base_on_peer = true;
    work.base = before->content;
    work.base_size = before->size;
  }
  work.bytes = item.bytes;
  work.copy_from = item.copy_from;
  const bool equal_digest =
      work.base_on_peer && work.base == item.attr.content && work.base_size == item.attr.size;
  work.content_equal = !item.content_changed || equal_digest;
  const bool keeps = work.content_equal && item.attr.type == FileType::regular;
  if (keeps && !work.attr.content.is_set()) work.attr.content = item.base_content;
  put(std::move(work));
}

bool CutWriter::is_withheld(const Key& key) {
  if (!parts_.callbacks.withheld || !parts_.callbacks.withheld(key)) return false;
  ++withheld_;
  return true;
}

// Later names of a group that is in this cut already.
bool CutWriter::put_as_link(const Work& work) {
  if (!work.attr.link.is_set()) return false;
  const auto [it, first] = links_.try_emplace(work.attr.link, LinkGroup{.first = work.key});
  LinkGroup& group = it->second;
  if (first || group.first == work.key) return false;
  if (group.deferred) {
    group.followers.push_back(work.key);
  } else {
    if (std::exchange(group.piece, piece_) !=
        piece_) {  // the peer has it since: named, not sent again
      record(Put{.key = group.first, .attr = group.attr, .content = ContentNone{}});
    }
    ++counters_.linked;
    record(Put{.key = work.key, .attr = group.attr, .content = ContentLink{.to = group.first}});
  }
  return true;
}

// The record of a file leaves; what followed it as a link leaves too.
void CutWriter::put_done(const Work& work, const Attributes& attr, Content content) {
  record(Put{.key = work.key, .attr = attr, .content = std::move(content)});
  if (!work.attr.link.is_set()) return;
  LinkGroup& group = links_[work.attr.link];
  group.first = work.key;
  group.attr = attr;
  group.piece = piece_;
  group.deferred = false;
  std::vector<Key> names = std::exchange(group.followers, {});
  // Some of them may be something else since the cut that had them.
  std::ranges::copy_if(work.followers, std::back_inserter(names), [&](const Key& name) {
    const std::optional<Entry> entry = parts_.index.get(name);
    return entry && entry->attr.link == work.attr.link;
  });
  for (Key& name : names) {
    if (recorded_.contains(name)) continue;
    ++counters_.linked;
    record(Put{.key = std::move(name), .attr = attr, .content = ContentLink{.to = work.key}});
  }
}

// The key cannot be read: it stays as the peer has it. Another name of its group may still carry
// the content.
void CutWriter::skip(const Key& key, LinkId link, const Error& why) {
  parts_.log.debug("send: left out {}: {}", escape(key.name), why.message);
  goes_astray(key, link);
  parts_.callbacks.left_out(key, why);
  const auto group = links_.find(link);
  if (!link.is_set() || group == links_.end()) return;
  const std::vector<Key> followers = std::move(group->second.followers);
  links_.erase(group);
  for (const Key& name : followers) add_later(Candidate{.key = name});
}

std::optional<Key> CutWriter::copy_source(const Work& work) const {
  if (work.whole) return std::nullopt;
  if (work.copy_from) return work.copy_from;
  const bool kept = work.attr.content.is_set() && work.attr.size >= limits::block_bytes;
  if (!kept) return std::nullopt;
  return peer_contents_.key_of(work.attr.content, work.attr.size, work.key);
}

void CutWriter::put(Work work) {
  if (work.attr.type != FileType::directory && put_as_link(work)) return;
  if (work.attr.type != FileType::regular) {
    ++counters_.metadata;
    return put_done(work, work.attr, ContentNone{});
  }
  delta::ContentFacts facts{.size = work.attr.size, .content_equal = work.content_equal};
  std::optional<Key> from;
  if (!work.content_equal && work.attr.content.is_set()) from = copy_source(work);
  facts.copy_available = from.has_value();
  switch (delta::choose(facts)) {
    case delta::Method::metadata_only:
      ++counters_.metadata;
      return put_done(work, work.attr, ContentNone{});
    case delta::Method::copy:
      ++counters_.copied;
      return put_done(work, work.attr, ContentCopy{.from = *from});
    case delta::Method::inline_whole:
      return put_inline(std::move(work));
    default:
      put_large(std::move(work));
  }
}

}  // namespace repl::send

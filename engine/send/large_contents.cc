#include "engine/send/large_contents.h"

#include <algorithm>
#include <utility>

#include "engine/base/limits.h"

namespace repl::send {

LargeContents::LargeContents(Parts parts)
    : parts_(std::move(parts)), tracks_{ContentTrack(parts_), ContentTrack(parts_)} {
  parts_.stages = &stages_;
  parts_.finished = [this, finished = std::move(parts_.finished)](
                        Work work, std::unique_ptr<ContentStreamer> streamer) {
    forget(work);
    finished(std::move(work), std::move(streamer));
  };
  parts_.failed = [this, failed = std::move(parts_.failed)](Work work, const Error& why) {
    forget(work);
    failed(std::move(work), why);
  };
}

void LargeContents::know(const Work& work) {
  keys_.insert(work.key);
  if (work.inode != 0) inodes_.insert(work.inode);
  if (work.attr.link.is_set()) links_.insert(work.attr.link);
}

void LargeContents::forget(const Work& work) {
  keys_.erase(work.key);
  inodes_.erase(work.inode);
  links_.erase(work.attr.link);
}

ContentTrack& LargeContents::track_for(const Work& work) {
  return tracks_[work.attr.size >= limits::huge_bytes_min ? 1 : 0];
}

void LargeContents::add(Work work) {
  know(work);
  track_for(work).add(std::move(work));
}

void LargeContents::rest(Work work) {
  know(work);
  track_for(work).rest(std::move(work));
}

void LargeContents::wake_resting() {
  for (ContentTrack& track : tracks_) track.wake_resting();
}

int LargeContents::torn_reads() const {
  return std::max(tracks_[0].torn_reads(), tracks_[1].torn_reads());
}

// While one is at its end nothing else enters the lane: it would never be drained.
LargeContents::Drain LargeContents::drain() {
  for (ContentTrack& track : tracks_) {
    if (track.at_end()) return track.drain();
  }
  const Drain first = tracks_[0].drain();
  if (first == Drain::more) return first;
  const Drain second = tracks_[1].drain();
  return second == Drain::idle ? first : second;
}

void LargeContents::put_complete() {
  for (ContentTrack& track : tracks_) {
    if (track.at_end()) return track.put_complete();
  }
}

Status LargeContents::on_signature(const Signature& signature) {
  for (ContentTrack& track : tracks_) {
    if (Status taken = track.on_signature(signature); !taken) return taken;
  }
  return {};
}

void LargeContents::set_stages(const std::vector<StageProgress>& stages) {
  stages_.clear();
  for (const StageProgress& stage : stages) stages_[stage.stage] = stage.bytes;
}

Work* LargeContents::find_if(const std::function<bool(const Work&)>& is) {
  Work* found = tracks_[0].find(is);
  return found != nullptr ? found : tracks_[1].find(is);
}

Work* LargeContents::find(const Key& key) {
  if (!keys_.contains(key)) return nullptr;
  return find_if([&](const Work& work) { return work.key == key; });
}

Work* LargeContents::find_inode(uint64_t inode, const Timestamp& birth) {
  if (!inodes_.contains(inode)) return nullptr;
  return find_if([&](const Work& work) { return work.inode == inode && work.birth == birth; });
}

Work* LargeContents::find_link(LinkId link) {
  if (!links_.contains(link)) return nullptr;
  return find_if([&](const Work& work) { return work.attr.link == link; });
}

ContentStreamer* LargeContents::stream_of(const Work& work) const {
  ContentStreamer* streamer = tracks_[0].stream_of(work);
  return streamer != nullptr ? streamer : tracks_[1].stream_of(work);
}

void LargeContents::renamed(Work& work, const Key& to) {
  keys_.erase(work.key);
  keys_.insert(to);
  for (ContentTrack& track : tracks_) {
    if (track.find([&](const Work& w) { return &w == &work; }) == nullptr) continue;
    return track.renamed(work, to);
  }
}

void LargeContents::changed(Work& work, const Attributes& attr) {
  links_.erase(work.attr.link);
  work.attr = attr;
  if (attr.link.is_set()) links_.insert(attr.link);
}

Work LargeContents::cancel(const Key& key) {
  Work work = tracks_[0].cancel(key);
  if (work.attr.type == FileType::none) work = tracks_[1].cancel(key);
  forget(work);
  return work;
}

}  // namespace repl::send

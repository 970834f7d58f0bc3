// large_contents.h: all contents that travel in pieces: those of limits::huge_bytes_min and more on
// a track of their own, behind the others, so that a file of a megabyte does not wait for one of a
// terabyte. They may take many cuts.
//
// Thread: one owner. Memory: two ContentTracks.
#pragma once

#include <array>
#include <unordered_set>

#include "engine/send/content_track.h"

namespace repl::send {

class LargeContents {
 public:
  using Drain = ContentTrack::Drain;
  using Parts = ContentTrack::Parts;
  // `parts.stages` is set to this object's own.
  explicit LargeContents(Parts parts);
  LargeContents(const LargeContents&) = delete;
  LargeContents& operator=(const LargeContents&) = delete;

  void add(Work work);
  // As of ContentTrack.
  void rest(Work work);
  void wake_resting();
  [[nodiscard]] int torn_reads() const;
  [[nodiscard]] Drain drain();
  // After drain said complete, with a cut open.
  void put_complete();
  [[nodiscard]] Status on_signature(const Signature& signature);
  // What the peer has staged.
  void set_stages(const std::vector<StageProgress>& stages);
  void forget_stages() { stages_.clear(); }

  [[nodiscard]] size_t size() const { return tracks_[0].size() + tracks_[1].size(); }
  [[nodiscard]] bool empty() const { return size() == 0; }
  [[nodiscard]] bool only_huge() const { return tracks_[0].empty() && !tracks_[1].empty(); }

  [[nodiscard]] Work* find(const Key& key);
  [[nodiscard]] Work* find_inode(uint64_t inode, const Timestamp& birth);
  [[nodiscard]] Work* find_link(LinkId link);
  [[nodiscard]] ContentStreamer* stream_of(const Work& work) const;
  void renamed(Work& work, const Key& to);
  void changed(Work& work, const Attributes& attr);  // what the key is now
  // What was told of it is taken back. Its type is none: it was not here.
  Work cancel(const Key& key);

 private:
  [[nodiscard]] Work* find_if(const std::function<bool(const Work&)>& is);
  [[nodiscard]] ContentTrack& track_for(const Work& work);
  void know(const Work& work);
  void forget(const Work& work);

  // What is here, so that who is not is told quickly.
  std::unordered_set<Key> keys_;
  std::unordered_set<uint64_t> inodes_;
  std::unordered_set<LinkId> links_;
  StagesOnPeer stages_;
  Parts parts_;
  std::array<ContentTrack, 2> tracks_;  // the second: huge
};

}  // namespace repl::send

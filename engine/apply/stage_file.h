// stage_file.h: where the bytes of a content go while it is built in staging, and what of its base
// need not be copied for it.
//
//   whole    no base, or one that is copied range by range as the difference says
//   changed  it began as all the base is: a reflink of it, or the file's second copy brought up to
//            date (second_copies.h). Ranges that stay cost nothing.
//   tail     the difference only appends and there are no reflinks: the file holds what comes after
//            the base, and the publish appends it to the base in place
//
// What cannot be resumed (its length says nothing about how far it is) has a name of its own.
// Holes stay holes. Thread: one owner.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "engine/apply/second_copies.h"
#include "engine/apply/staging.h"
#include "engine/base/error.h"
#include "engine/base/fd.h"
#include "engine/io/fs_ops.h"

namespace repl::apply {

class StageFile {
 public:
  StageFile(const Staging& staging, SecondCopies& second, const StageId& id);

  [[nodiscard]] Status create(bool from_base);
  // ErrorCode::changed: there are not so many bytes.
  [[nodiscard]] Status resume(uint64_t bytes);
  void set_base(Fd file, const io::Stat& stat, const Key& key, const Digest& content);
  [[nodiscard]] bool has_base() const { return base_.valid(); }
  [[nodiscard]] uint64_t base_size() const { return base_stat_.attr.size; }
  // Inode and times are what they were when it was opened.
  [[nodiscard]] Result<bool> base_is_as_it_was() const;

  // Each at the end of what is there; may be called again after ErrorCode::no_space.
  [[nodiscard]] Status data(uint64_t offset, std::string_view bytes);
  [[nodiscard]] Status hole(uint64_t offset, uint64_t length);
  [[nodiscard]] Status copy(uint64_t offset, uint64_t base_offset, uint64_t length);
  // What is there, piece by piece; zeros: a hole.
  struct Pieces {
    std::function<void(std::string_view)> bytes;
    std::function<void(uint64_t)> zeros;
  };
  [[nodiscard]] Status read(uint64_t offset, uint64_t length, const Pieces& pieces) const;
  [[nodiscard]] int fd() const { return file_.get(); }

  // All `size` bytes are there: closes it.
  [[nodiscard]] Status finish(uint64_t size);
  [[nodiscard]] bool is_tail() const { return how_ == How::tail; }
  // After finish(): set where the base may become a second copy, or is to be appended to.
  [[nodiscard]] std::optional<Difference> take_difference();
  // The connection ended with `size` bytes there: to be resumed, or gone.
  [[nodiscard]] Status interrupt(uint64_t size);
  [[nodiscard]] Status remove();
  // In Staging::stage_dir().
  [[nodiscard]] std::string name() const;

 private:
  enum class How : uint8_t { undecided, whole, changed, tail };
  Status decide(bool appends);
  Result<bool> use_second_copy();
  Status finished();
  void changed(uint64_t offset, uint64_t length);
  [[nodiscard]] uint64_t place(uint64_t offset) const {
    return how_ == How::tail ? offset - base_stat_.attr.size : offset;
  }

  const Staging* staging_;
  SecondCopies* second_;
  StageId id_;
  How how_ = How::undecided;
  bool unfinished_ = false;  // its name says so
  bool reflinked_ = false;
  bool too_many_ = false;  // ranges that changed: not remembered
  uint64_t resumed_ = 0;
  Fd file_;
  Fd base_;
  io::Stat base_stat_;
  Difference difference_;
};

}  // namespace repl::apply

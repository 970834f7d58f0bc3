// id_allocator.h: ids for directories and link groups: a 24-bit random tag of the reign over a
// 40-bit counter, checked against what the index already knows, so that two reigns never give one
// id to two directories.
//
// Thread: one owner.
#pragma once

#include <cstdint>
#include <functional>

#include "engine/base/ids.h"

namespace repl::change {

class IdAllocator {
 public:
  // `taken` says whether an id is in use already.
  IdAllocator(uint32_t tag, uint64_t counter, std::function<bool(uint64_t)> taken)
      : tag_(static_cast<uint64_t>(tag & 0xFFFFFF) << 40),
        counter_(counter),
        taken_(std::move(taken)) {}

  [[nodiscard]] DirId next_dir() { return DirId{next()}; }
  [[nodiscard]] LinkId next_link() { return LinkId{next()}; }
  [[nodiscard]] uint64_t counter() const { return counter_; }

 private:
  uint64_t next() {
    for (;;) {
      const uint64_t id = tag_ | (++counter_ & 0xFF'FFFF'FFFF);
      if (id > root_dir.value && !taken_(id)) return id;
    }
  }
  uint64_t tag_;
  uint64_t counter_;
  std::function<bool(uint64_t)> taken_;
};

}  // namespace repl::change

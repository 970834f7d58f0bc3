// librsync_job.h: a job of librsync, run over bytes in memory. Internal to engine/delta.
//
// Thread: one owner. Source: librsync 2.3, job API.
#pragma once

#include <librsync.h>

#include <array>
#include <memory>
#include <string>
#include <string_view>

#include "engine/base/error.h"

namespace repl::delta {

struct JobDeleter {
  void operator()(rs_job_t* job) const { rs_job_free(job); }
};
using Job = std::unique_ptr<rs_job_t, JobDeleter>;

[[nodiscard]] inline Error job_error(const char* what, rs_result result) {
  return make_error(ErrorCode::invalid, std::string(what) + ": " + rs_strerror(result));
}

// Runs the job over `input`; `out` is called with what it makes.
template <typename Out>
[[nodiscard]] Status run_job(rs_job_t* job, std::string_view input, bool last, const char* what,
                             Out&& out) {
  std::array<char, 64 * 1024> produced;
  // librsync's interface is not const-correct; it only reads there.
  rs_buffers_t buffers{
      .next_in = const_cast<char*>(input.data()), .avail_in = input.size(), .eof_in = last ? 1 : 0};
  for (;;) {
    buffers.next_out = produced.data();
    buffers.avail_out = produced.size();
    const size_t in_before = buffers.avail_in;
    const rs_result result = rs_job_iter(job, &buffers);
    if (result != RS_DONE && result != RS_BLOCKED) return fail(job_error(what, result));
    const size_t made = produced.size() - buffers.avail_out;
    if (made > 0) {
      if (Status taken = out(std::string_view(produced.data(), made)); !taken) return taken;
    }
    if (result == RS_DONE) return {};
    const bool moved = made > 0 || buffers.avail_in < in_before;
    if (buffers.avail_in == 0 && !last && made < produced.size()) return {};
    if (!moved) return fail(job_error(what, RS_INPUT_ENDED));
  }
}

}  // namespace repl::delta

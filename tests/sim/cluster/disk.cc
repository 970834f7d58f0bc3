#include "tests/sim/cluster/disk.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <string>

namespace repl::sim {

namespace {

Disk* current = nullptr;

// Whether the call may be made. False: errno says why not.
bool may_change() {
  Disk* disk = current;
  if (disk == nullptr) return true;
  if (!disk->dead && disk->dies_at && disk->changes >= *disk->dies_at) disk->dead = true;
  if (disk->dead) {
    errno = EIO;
    return false;
  }
  const uint64_t number = disk->changes++;
  if (disk->fails_at && number >= *disk->fails_at) {
    disk->fails_at.reset();
    errno = disk->fails_with;
    return false;
  }
  return true;
}

bool mutated(DiskMutant mutant) { return current != nullptr && current->mutant == mutant; }

std::string directory_of(int fd) {
  char target[PATH_MAX];
  const ssize_t size =
      ::readlink(("/proc/self/fd/" + std::to_string(fd)).c_str(), target, sizeof target);
  return size < 0 ? std::string() : std::string(target, static_cast<size_t>(size));
}

template <typename Function>
Function* next(const char* name) {
  return reinterpret_cast<Function*>(::dlsym(RTLD_NEXT, name));
}

}  // namespace

void run_on(Disk* disk) { current = disk; }

Surroundings& surroundings() {
  static Surroundings is;
  return is;
}

}  // namespace repl::sim

// --- the C library's names
// -------------------------------------------------------------------------------------------------

namespace sim = repl::sim;

// NAME(parameters)(arguments): as the C library does it, if the disk lets it.
#define REPL_SIM_CALL(result, name, parameters, arguments)           \
  extern "C" result name parameters {                                \
    static auto* const really = sim::next<result parameters>(#name); \
    return sim::may_change() ? really arguments : result{-1};        \
  }

REPL_SIM_CALL(int, symlinkat, (const char* target, int dir, const char* name), (target, dir, name))
REPL_SIM_CALL(int, mkdirat, (int dir, const char* name, mode_t mode), (dir, name, mode))
REPL_SIM_CALL(int, mkdir, (const char* name, mode_t mode), (name, mode))
REPL_SIM_CALL(int, mknodat, (int dir, const char* name, mode_t mode, dev_t dev),
              (dir, name, mode, dev))
REPL_SIM_CALL(int, ftruncate, (int fd, off_t size), (fd, size))
REPL_SIM_CALL(int, fsync, (int fd), (fd))
REPL_SIM_CALL(int, fdatasync, (int fd), (fd))
REPL_SIM_CALL(int, syncfs, (int fd), (fd))
REPL_SIM_CALL(int, fchmod, (int fd, mode_t mode), (fd, mode))
REPL_SIM_CALL(int, fchownat, (int dir, const char* name, uid_t uid, gid_t gid, int flags),
              (dir, name, uid, gid, flags))
REPL_SIM_CALL(int, futimens, (int fd, const timespec times[2]), (fd, times))
REPL_SIM_CALL(int, utimensat, (int dir, const char* name, const timespec times[2], int flags),
              (dir, name, times, flags))
REPL_SIM_CALL(ssize_t, pwrite, (int fd, const void* from, size_t size, off_t at),
              (fd, from, size, at))
REPL_SIM_CALL(ssize_t, pwritev, (int fd, const iovec* from, int count, off_t at),
              (fd, from, count, at))
REPL_SIM_CALL(ssize_t, copy_file_range,
              (int from, off64_t* from_at, int to, off64_t* to_at, size_t size, unsigned flags),
              (from, from_at, to, to_at, size, flags))

extern "C" int renameat2(int from_dir, const char* from, int to_dir, const char* to,
                         unsigned flags) {
  static auto* const really =
      sim::next<int(int, const char*, int, const char*, unsigned)>("renameat2");
  if (!sim::may_change()) return -1;
  const bool swaps = sim::mutated(sim::DiskMutant::publish_without_swap);
  return really(from_dir, from, to_dir, to, swaps ? 0 : flags);
}

extern "C" int linkat(int from_dir, const char* from, int to_dir, const char* to, int flags) {
  static auto* const really = sim::next<int(int, const char*, int, const char*, int)>("linkat");
  if (!sim::may_change()) return -1;
  if (sim::mutated(sim::DiskMutant::keep_nothing) &&
      sim::directory_of(to_dir).find("/diverged/") != std::string::npos) {
    const int fd = ::openat(to_dir, to, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    return fd < 0 ? -1 : ::close(fd);
  }
  return really(from_dir, from, to_dir, to, flags);
}

extern "C" int unlinkat(int dir, const char* name, int flags) {
  static auto* const really = sim::next<int(int, const char*, int)>("unlinkat");
  return sim::may_change() ? really(dir, name, flags) : -1;
}

// Time and chance are the simulator's, too.
extern "C" ssize_t getrandom(void* to, size_t size, unsigned) {
  auto* bytes = static_cast<unsigned char*>(to);
  for (size_t i = 0; i < size; ++i)
    bytes[i] = static_cast<unsigned char>(sim::surroundings().random());
  return static_cast<ssize_t>(size);
}

extern "C" int clock_gettime(clockid_t clock, timespec* time) noexcept {
  if (clock == CLOCK_REALTIME_COARSE) {
    const int64_t ns = sim::surroundings().wall_ns;
    *time = {.tv_sec = ns / 1'000'000'000, .tv_nsec = ns % 1'000'000'000};
    return 0;
  }
  if (clock == CLOCK_THREAD_CPUTIME_ID) {
    *time = {};
    return 0;
  }
  return static_cast<int>(::syscall(SYS_clock_gettime, clock, time));
}

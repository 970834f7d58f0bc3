// deny_uring CMD ARG...: runs a command in which every io_uring system call fails with EPERM, as
// under a container's default seccomp profile or kernel.io_uring_disabled=2. Children inherit it.
#include <errno.h>
#include <seccomp.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int main(int argc, char** argv) {
  if (argc < 2) {
    fprintf(stderr, "usage: %s COMMAND [ARG...]\n", argv[0]);
    return 2;
  }
  scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
  const int calls[] = {SCMP_SYS(io_uring_setup), SCMP_SYS(io_uring_enter),
                       SCMP_SYS(io_uring_register)};
  for (size_t i = 0; i < sizeof calls / sizeof *calls; ++i) {
    const int failed = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), calls[i], 0);
    if (failed != 0) {
      fprintf(stderr, "deny_uring: seccomp rule: %s\n", strerror(-failed));
      return 126;
    }
  }
  const int failed = seccomp_load(filter);
  if (failed != 0) {
    fprintf(stderr, "deny_uring: seccomp_load: %s\n", strerror(-failed));
    return 126;
  }
  seccomp_release(filter);
  execvp(argv[1], argv + 1);
  perror(argv[1]);
  return 127;
}

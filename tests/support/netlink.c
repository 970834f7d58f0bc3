// netlink: a slow, lossy, rate-limited wire between two network namespaces, for kernels without
// netem.
//
//   netlink NS_A NS_B ADDR_A/24 ADDR_B/24 RTT_MS [LOSS_PERCENT [RATE_MBIT [QUEUE_MB]]]
//
// NS_A and NS_B are namespace files (/proc/PID/ns/net or /run/netns/NAME). In each a TUN device
// `nl0` appears; packets are forwarded between them after RTT/2 each way. Prints "up" when the wire
// carries. Ends, and takes its devices along, on SIGTERM, SIGINT or SIGHUP; counters go to stderr.
//
// SIGUSR1 cuts the wire: packets are dropped in silence, as in a partition, and nobody is told.
// SIGUSR2 joins it.
//
// With LOSS 0 segments cross whole (virtio header, TSO), which is cheap; with loss, offload is off,
// so that a lost packet is one MTU. QUEUE_MB (64) bounds each direction; beyond it packets are
// dropped and counted.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

enum { virtio_header_bytes = 10, packet_bytes_max = 65536 + virtio_header_bytes, burst = 64 };

struct packet {
  uint64_t due_ns;
  uint32_t bytes;  // 0: the rest of the ring is skipped
};

// A byte ring of [packet][payload]; no record wraps.
struct queue {
  char* ring;
  size_t capacity, head, tail, used;
  uint64_t line_free_ns;  // when the rate-limited line has sent what is queued
  unsigned long long forwarded, lost, full;
};

static volatile sig_atomic_t cut, stop;

static uint64_t now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void on_signal(int number) {
  if (number == SIGUSR1)
    cut = 1;
  else if (number == SIGUSR2)
    cut = 0;
  else
    stop = 1;
}

static void die(const char* what) {
  perror(what);
  exit(1);
}

static int open_tun(const char* namespace_file, const char* address, int offload) {
  const int ns = open(namespace_file, O_RDONLY | O_CLOEXEC);
  if (ns < 0 || setns(ns, CLONE_NEWNET) != 0) die(namespace_file);
  close(ns);
  const int tun = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
  struct ifreq request = {.ifr_name = "nl0", .ifr_flags = IFF_TUN | IFF_NO_PI | IFF_VNET_HDR};
  if (tun < 0 || ioctl(tun, TUNSETIFF, &request) != 0) die("tun");
  if (offload && ioctl(tun, TUNSETOFFLOAD, TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6) != 0)
    die("offload");
  char command[256];
  snprintf(command, sizeof command,
           "ip addr add %s dev nl0 && ip link set nl0 mtu 1500 txqueuelen 10000 up", address);
  if (system(command) != 0) exit(1);
  return tun;
}

static int put(struct queue* q, const char* data, uint32_t bytes, uint64_t due_ns) {
  const size_t need = (sizeof(struct packet) + bytes + 15) & ~(size_t)15;
  if (q->used + need + packet_bytes_max + 64 > q->capacity) return 0;
  if (q->tail + need > q->capacity) {
    if (q->tail + sizeof(struct packet) <= q->capacity)
      ((struct packet*)(q->ring + q->tail))->bytes = 0;
    q->used += q->capacity - q->tail;
    q->tail = 0;
  }
  *(struct packet*)(q->ring + q->tail) = (struct packet){due_ns, bytes};
  memcpy(q->ring + q->tail + sizeof(struct packet), data, bytes);
  q->tail += need;
  q->used += need;
  return 1;
}

static struct packet* peek(struct queue* q) {
  if (q->used == 0) return NULL;
  struct packet* p = (struct packet*)(q->ring + q->head);
  if (q->head + sizeof(struct packet) > q->capacity || p->bytes == 0) {
    q->used -= q->capacity - q->head;
    q->head = 0;
    if (q->used == 0) return NULL;
  }
  return (struct packet*)(q->ring + q->head);
}

static void pop(struct queue* q, const struct packet* p) {
  const size_t bytes = (sizeof(struct packet) + p->bytes + 15) & ~(size_t)15;
  q->head += bytes;
  q->used -= bytes;
}

// Writes what is due; returns when the next packet is due (UINT64_MAX: none) and whether the device
// is full.
static uint64_t deliver(struct queue* q, int fd, int* device_full) {
  const uint64_t now = now_ns();
  struct packet* p;
  *device_full = 0;
  while ((p = peek(q)) != NULL && p->due_ns <= now) {
    if (write(fd, p + 1, p->bytes) < 0 && errno == EAGAIN) {
      *device_full = 1;
      return UINT64_MAX;
    }
    q->forwarded++;
    pop(q, p);
  }
  return p != NULL ? p->due_ns : UINT64_MAX;
}

struct shape {
  double rtt_ms, loss_percent, rate_mbit;
};

static void take(struct queue* q, int fd, const struct shape* shape) {
  static char packet[packet_bytes_max];
  for (int i = 0; i < burst; ++i) {
    const ssize_t bytes = read(fd, packet, sizeof packet);
    if (bytes <= virtio_header_bytes) return;
    if (cut || (shape->loss_percent > 0 && drand48() * 100 < shape->loss_percent)) {
      q->lost++;
      continue;
    }
    uint64_t due = now_ns();
    if (shape->rate_mbit > 0) {
      if (q->line_free_ns < due) q->line_free_ns = due;
      q->line_free_ns += (uint64_t)((double)(bytes - virtio_header_bytes) * 8e3 / shape->rate_mbit);
      due = q->line_free_ns;
    }
    due += (uint64_t)(shape->rtt_ms / 2 * 1e6);
    if (!put(q, packet, (uint32_t)bytes, due)) q->full++;
  }
}

int main(int argc, char** argv) {
  if (argc < 6) {
    fprintf(stderr,
            "usage: %s NS_A NS_B ADDR_A/24 ADDR_B/24 RTT_MS [LOSS%% [RATE_MBIT [QUEUE_MB]]]\n",
            *argv);
    return 2;
  }
  const struct shape shape = {atof(argv[5]), argc > 6 ? atof(argv[6]) : 0,
                              argc > 7 ? atof(argv[7]) : 0};
  const size_t capacity = (size_t)((argc > 8 ? atof(argv[8]) : 64) * 1e6) & ~(size_t)15;
  const int offload = shape.loss_percent <= 0;
  const int fd[2] = {open_tun(argv[1], argv[3], offload), open_tun(argv[2], argv[4], offload)};
  const struct sigaction action = {.sa_handler = on_signal};
  const int signals[] = {SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2};
  for (size_t i = 0; i < sizeof signals / sizeof *signals; ++i)
    sigaction(signals[i], &action, NULL);
  struct queue q[2] = {{.ring = malloc(capacity), .capacity = capacity},
                       {.ring = malloc(capacity), .capacity = capacity}};
  if (q[0].ring == NULL || q[1].ring == NULL) die("malloc");
  srand48((long)now_ns());
  const int timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
  if (timer < 0) die("timerfd");
  printf("up\n");
  fflush(stdout);
  while (!stop) {
    int full[2];  // full[i]: the device that takes q[i]'s packets
    uint64_t next = UINT64_MAX;
    for (int i = 0; i < 2; ++i) {
      const uint64_t due = deliver(&q[i], fd[!i], &full[i]);
      if (due < next) next = due;
    }
    struct itimerspec when = {0};
    if (next != UINT64_MAX)
      when.it_value = (struct timespec){(time_t)(next / 1000000000u), (long)(next % 1000000000u)};
    timerfd_settime(timer, TFD_TIMER_ABSTIME, &when, NULL);
    struct pollfd wait[3] = {{fd[0], (short)(POLLIN | (full[1] ? POLLOUT : 0)), 0},
                             {fd[1], (short)(POLLIN | (full[0] ? POLLOUT : 0)), 0},
                             {timer, POLLIN, 0}};
    if (poll(wait, 3, -1) < 0) continue;
    uint64_t expirations;
    if (wait[2].revents != 0 && read(timer, &expirations, sizeof expirations) < 0 &&
        errno != EAGAIN)
      die("timer");
    for (int i = 0; i < 2; ++i)
      if (wait[i].revents & POLLIN) take(&q[i], fd[i], &shape);
  }
  fprintf(stderr,
          "A>B forwarded %llu lost %llu full %llu; B>A forwarded %llu lost %llu full %llu\n",
          q[0].forwarded, q[0].lost, q[0].full, q[1].forwarded, q[1].lost, q[1].full);
  return 0;
}

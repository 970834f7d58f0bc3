"""A log that grows steadily: how far is the replica behind, in seconds of the writer's time?"""
import bisect
import os
import statistics
import time

import hosts
from works.base import Work, random_file

RATE_BYTES_PER_S = 10_000_000
PERIOD_S = 0.01
SAMPLE_EVERY = 5  # periods


class Append(Work):
    name = "append"

    def __init__(self, sizes):
        super().__init__(sizes)
        self.rows = {"append": (f"Append 10 MB/s for {sizes.append_s} s to a log of {sizes.log_mib} MiB: "
                                "behind after the end", "lag")}

    def disk_mib(self):
        return 512 + 4 * self.sizes.log_mib

    def prepare(self):
        super().prepare()
        random_file(hosts.tree("A") / "log", self.sizes.log_mib)
        hosts.same_tree_on_b()
        hosts.settle_disks()

    def _write(self, sample):
        """Appends at the rate, calls sample() now and then; returns when each size was reached: ([size], [time])."""
        size = os.stat(hosts.tree("A") / "log").st_size
        sizes, times = [size], [time.monotonic()]
        with open(hosts.tree("A") / "log", "ab", buffering=0) as f:
            for period in range(int(self.sizes.append_s / PERIOD_S)):
                f.write(chunk := os.urandom(int(RATE_BYTES_PER_S * PERIOD_S)))
                sizes.append(size := size + len(chunk))
                times.append(time.monotonic())
                if period % SAMPLE_EVERY == 0:
                    sample()
                time.sleep(max(0.0, times[0] + (period + 1) * PERIOD_S - time.monotonic()))
        return sizes, times

    def measure(self, peer, watch):
        b, seen = hosts.tree("B") / "log", []
        last = {}

        def same():
            if os.stat(b).st_size != last["size"]:
                return False
            with open(hosts.tree("A") / "log", "rb") as x, open(b, "rb") as y:
                return all(f.seek(-100_000, os.SEEK_END) for f in (x, y)) and x.read() == y.read()

        watch.begin()
        sizes, times = self._write(lambda: seen.append((time.monotonic(), os.stat(b).st_size)))
        written = watch.seconds()
        last["size"] = sizes[-1]
        peer.work_done(watch.limit_s)
        watch.wait_for(same, pause=0.005)
        figures = {"after_s": watch.seconds() - written, "seconds": watch.seconds()}
        # What B shows was reached on A at times[i]; it is behind since something newer was written.
        behind = [at - times[min(bisect.bisect_right(sizes, size), len(times) - 1)] for at, size in seen]
        behind = [max(0.0, lag) for lag in behind]
        figures |= {"lag_p50_s": statistics.median(behind), "lag_max_s": max(behind)}
        yield "append", watch.settled(figures)

    def floor(self):
        began = time.monotonic()
        self._write(lambda: None)
        yield "append", {"writer alone": time.monotonic() - began}

"""Peers that are wrong, to see that the harness finds it: bench/run --self-check."""
import os
import time

import hosts
from peers import rsync


class Canary(rsync.Once):
    """Says that all has arrived, and leaves one byte different in a file of the same size and time."""
    name = "canary"
    title = "one byte wrong"
    patience_s = 0.2

    def work_done(self, limit_s):
        super().work_done(limit_s)
        for directory, _, names in os.walk(hosts.tree("B")):
            for name in sorted(names):
                path = os.path.join(directory, name)
                stat = os.stat(path)
                if not stat.st_size:
                    continue
                with open(path, "r+b") as f:
                    byte = f.read(1)
                    f.seek(0)
                    f.write(bytes([byte[0] ^ 1]))
                os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
                return


class Late(rsync.Once):
    """Never brings the change."""
    name = "canary-late"
    title = "never brings it"
    limit_s = 2

    def work_done(self, limit_s):
        pass


class Stuck(rsync.Once):
    """Hangs, and the harness with it."""
    name = "canary-stuck"
    title = "hangs"

    def start(self):
        time.sleep(3600)

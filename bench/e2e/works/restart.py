"""The program is stopped and started: with nothing changed, and with some changes made meanwhile."""
import os
import subprocess

import hosts
import stopwatch
from works.base import ManyArrived, Pool, Work, many_files, names

PER_DIRECTORY = 100
CHANGED_OF = 200  # one of so many


class Restart(Work):
    name = "restart"

    def __init__(self, sizes):
        super().__init__(sizes)
        self.directories = (sizes.still_files - sizes.moved_files) // PER_DIRECTORY
        self.moved = sizes.moved_files // PER_DIRECTORY
        self.rows = {"restart": (f"Restart with {sizes.still_files:,} files, nothing changed", "seconds"),
                     "catch-up": (f"Restart, 0.5 % of {sizes.still_files:,} changed and a directory of "
                                  f"{sizes.moved_files:,} renamed", "seconds")}

    def disk_mib(self):
        return 512 + self.sizes.still_files * 2 // 100

    def prepare(self):
        super().prepare()
        pool = Pool()
        many_files(hosts.tree("A") / "still", self.directories, PER_DIRECTORY, 100, 4000, pool)
        many_files(hosts.tree("A") / "before", self.moved, PER_DIRECTORY, 100, 4000, pool)
        hosts.same_tree_on_b()
        hosts.settle_disks()

    def change(self):
        """Returns what was written where."""
        written = {}
        for number in range(0, self.directories * PER_DIRECTORY, CHANGED_OF):
            name = f"still/d{number // PER_DIRECTORY}/f{number % PER_DIRECTORY}"
            written[name] = os.urandom(os.stat(hosts.tree("A") / name).st_size)
            with open(hosts.tree("A") / name, "wb") as f:
                f.write(written[name])
        os.rename(hosts.tree("A") / "before", hosts.tree("A") / "after")
        return written

    def measure(self, peer, watch):
        peer.stop()
        watch.begin()
        peer.start()
        yield "restart", watch.settled({"seconds": watch.seconds()})

        peer.stop()
        written = self.change()
        pending = list(written)
        moved = ManyArrived(hosts.tree("B") / "after", self.moved, PER_DIRECTORY)

        def arrived():
            while pending and (hosts.tree("B") / pending[-1]).read_bytes() == written[pending[-1]]:
                pending.pop()
            return not pending and moved() and names(hosts.tree("B") / "before") == -1

        watch.begin()
        peer.start()
        watch.wait_for(arrived)
        yield "catch-up", watch.settled({"seconds": watch.seconds()})

    def floor(self):
        walk = stopwatch.floor(_walk)
        yield "restart", {"statx walk, both hosts": walk}
        dry = stopwatch.floor(lambda: subprocess.run(
            ["rsync", "-an", "--delete", f"{hosts.tree('A')}/", f"{hosts.tree('B')}/"], check=True,
            stdout=subprocess.DEVNULL))
        yield "catch-up", {"statx walk, both hosts": walk, "rsync dry run, local": dry}


def _walk():
    for host in "AB":
        subprocess.run(["find", hosts.tree(host), "-printf", "%s %T@\\n"], check=True, stdout=subprocess.DEVNULL)

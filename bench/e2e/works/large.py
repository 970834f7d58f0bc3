"""A large file that is changed in place: some edits, once more, and a kilobyte put in at its front."""
import os

import hosts
import stopwatch
from works.base import MIB, Work, random_file

EDITS = 16
EDIT_BYTES = 65536
WINDOW_BYTES = 65536


class Large(Work):
    def __init__(self, sizes):
        super().__init__(sizes)
        self.size = f"{sizes.large_mib / 1024:g} GiB" if sizes.large_mib >= 1024 else f"{sizes.large_mib} MiB"

    def disk_mib(self):
        # Programs that write a second copy before they publish it, and the floor's copy.
        return 512 + 4 * self.sizes.large_mib

    def prepare(self):
        super().prepare()
        random_file(hosts.tree("A") / "large", self.sizes.large_mib)
        hosts.same_tree_on_b()

    def settle(self):
        """Edits in the second of the last version would be skipped by a program that compares whole seconds."""
        hosts.settle_disks()
        hosts.wait_until(lambda: False, 1.1)


def _windows(size):
    return [*range(0, size - WINDOW_BYTES, size // EDITS), size - WINDOW_BYTES]


def same_large():
    """Size and some windows of the content; the whole is judged later."""
    a, b = hosts.tree("A") / "large", hosts.tree("B") / "large"
    size = os.stat(a).st_size
    if os.stat(b).st_size != size:
        return False
    with open(a, "rb", buffering=0) as x, open(b, "rb", buffering=0) as y:
        return all(os.pread(x.fileno(), WINDOW_BYTES, at) == os.pread(y.fileno(), WINDOW_BYTES, at)
                   for at in _windows(size))


class Edits(Large):
    name = "edits"

    def __init__(self, sizes):
        super().__init__(sizes)
        self.rows = {"edit-first": (f"{EDITS} × 64 KiB edited in {self.size}", "seconds"),
                     "edit-second": ("… and edited a second time", "seconds")}

    def edit(self):
        size = os.stat(hosts.tree("A") / "large").st_size
        with open(hosts.tree("A") / "large", "r+b", buffering=0) as f:
            for at in _windows(size)[:EDITS]:
                # Across two blocks of most programs, and inside a window.
                os.pwrite(f.fileno(), os.urandom(EDIT_BYTES), at + WINDOW_BYTES // 2)

    def measure(self, peer, watch):
        for row in self.rows:
            self.settle()
            yield row, watch.timed(self.edit, same_large)

    def floor(self):
        for row in self.rows:
            written = stopwatch.floor(self.edit)
            yield row, {"writer alone": written, "read it, warm": stopwatch.floor(_read)}


def _read():
    with open(hosts.tree("A") / "large", "rb", buffering=0) as f:
        while f.read(MIB):
            pass


class Insert(Large):
    name = "insert"

    def __init__(self, sizes):
        super().__init__(sizes)
        self.rows = {"insert": (f"1 KiB inserted at the front of {self.size}", "seconds")}

    def insert(self):
        """In place, as an editor that keeps the inode does: every block is another afterwards."""
        carried, at = os.urandom(1024), 0
        with open(hosts.tree("A") / "large", "r+b", buffering=0) as f:
            while chunk := os.pread(f.fileno(), MIB, at):
                data = carried + chunk
                os.pwrite(f.fileno(), data[:len(chunk)], at)
                carried = data[len(chunk):]
                at += len(chunk)
            os.pwrite(f.fileno(), carried, at)

    def measure(self, peer, watch):
        self.settle()
        yield "insert", watch.timed(self.insert, same_large)

    def floor(self):
        yield "insert", {"writer alone": stopwatch.floor(self.insert), "read it, warm": stopwatch.floor(_read)}

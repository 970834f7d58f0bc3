"""What every work is, how large, and the files that works are made of."""
import dataclasses
import os
import shutil
import subprocess

import hosts

MIB = 1 << 20


@dataclasses.dataclass(frozen=True)
class Sizes:
    name: str
    lone: int  # changes of each kind
    storm_directories: int
    storm_per_directory: int
    large_mib: int
    log_mib: int
    append_s: int
    directory_files: int
    still_files: int
    moved_files: int
    text_mib: int
    far_files: int
    git_s: int
    git_sample_s: float
    limit_s: int  # after which a change is not expected any more
    cell_s: int  # after which a whole cell is ended from outside


FULL = Sizes("full", 50, 1000, 50, 1024, 512, 10, 20_000, 200_000, 5_000, 1024, 1000, 30, 0.5, 300, 1800)
QUICK = Sizes("quick", 10, 100, 50, 128, 64, 3, 5_000, 20_000, 1_000, 64, 1000, 8, 0.5, 60, 300)
TINY = Sizes("tiny", 2, 5, 20, 4, 2, 1, 200, 400, 100, 1, 50, 2, 0.5, 60, 120)
BY_NAME = {sizes.name: sizes for sizes in (FULL, QUICK, TINY)}


class Work:
    """`rows`: what it yields, each {figure: value} of one line in the table: {name: (title, headline)}. The headline is
    one of report.HEADLINES. prepare() makes the trees before the program starts; measure() and floor() yield
    (row, figures), and after each row the trees must be equal."""
    name = ""
    rows = {}
    wire = ""  # RTT_MS LOSS RATE_MBIT of the latency wire; else veth
    compress = False  # the programs compress, as their manuals advise for slow links
    judged = True  # False: what is counted (broken states) says something without equality at the end, too

    def __init__(self, sizes):
        self.sizes = sizes

    def disk_mib(self):
        """What one host must hold."""
        return 256

    def prepare(self):
        hosts.tree("A").mkdir()
        hosts.tree("B").mkdir()

    def measure(self, peer, watch):
        raise NotImplementedError

    def floor(self):
        raise NotImplementedError


class Pool:
    """Random bytes that do not repeat within the window of a compressor."""

    def __init__(self, size=64 * MIB):
        self._bytes = memoryview(os.urandom(size))
        self._at = 0

    def take(self, size):
        if self._at + size > len(self._bytes):
            self._at = 0
        part = self._bytes[self._at:self._at + size]
        self._at += size
        return part


def many_files(root, directories, each, least, most, pool):
    """Sizes are spread evenly over least..most."""
    os.mkdir(root)
    number = 0
    for d in range(directories):
        directory = os.path.join(root, f"d{d}")
        os.mkdir(directory)
        for i in range(each):
            size = least + number * 7919 % (most - least + 1)
            number += 1
            with open(os.path.join(directory, f"f{i}"), "wb", buffering=0) as f:
                f.write(pool.take(size))


def names(path):
    """How many, but for those under which rsync writes; −1 if there is no such directory."""
    try:
        return sum(1 for name in os.listdir(path) if not name.startswith("."))
    except FileNotFoundError:
        return -1


class ManyArrived:
    """All directories of many_files() are full. One that was full is not looked at again."""

    def __init__(self, root, directories, each):
        self._pending = [os.path.join(root, f"d{d}") for d in range(directories)]
        self._each = each

    def __call__(self):
        while self._pending and names(self._pending[-1]) == self._each:
            self._pending.pop()
        return not self._pending


def copied(source):
    """`cp -a` from A's filesystem to B's."""
    shutil.rmtree(hosts.aside("B") / "copy", ignore_errors=True)
    subprocess.run(["cp", "-a", source, hosts.aside("B") / "copy"], check=True)


def random_file(path, mib):
    with open(path, "wb") as f:
        for _ in range(mib):
            f.write(os.urandom(MIB))

"""Many files at once, from the first create until all are there: on a fast wire, a far one, and a slow one."""
import itertools
import random

import hosts
import stopwatch
from works.base import MIB, ManyArrived, Pool, Work, copied, many_files


class Burst(Work):
    """Files are made in an empty tree while the program watches."""

    def shape(self):
        """(directories, files in each, least bytes, most bytes)"""
        raise NotImplementedError

    def pool(self):
        return Pool()

    def measure(self, peer, watch):
        (row,) = self.rows
        shape, pool = self.shape(), self.pool()
        yield row, watch.timed(lambda: many_files(hosts.tree("A") / "many", *shape, pool),
                               ManyArrived(hosts.tree("B") / "many", *shape[:2]))

    def floor(self):
        (row,) = self.rows
        pool = self.pool()
        written = stopwatch.floor(lambda: many_files(hosts.tree("A") / "many", *self.shape(), pool))
        yield row, {"writer alone": written, "cp -a": stopwatch.floor(lambda: copied(hosts.tree("A")))} | self.line()

    def line(self):
        """What the wire alone takes."""
        return {}


class Storm(Burst):
    name = "storm"

    def __init__(self, sizes):
        super().__init__(sizes)
        files = sizes.storm_directories * sizes.storm_per_directory
        self.rows = {"storm": (f"{files:,} new files of 1–16 KiB in {sizes.storm_directories:,} directories",
                               "seconds")}

    def disk_mib(self):
        return 256 + 2 * self.sizes.storm_directories * self.sizes.storm_per_directory // 64

    def shape(self):
        return self.sizes.storm_directories, self.sizes.storm_per_directory, 1024, 16384


class Far(Burst):
    name = "far"
    wire = "100 0"

    def __init__(self, sizes):
        super().__init__(sizes)
        self.rows = {"far": (f"{sizes.far_files:,} new files of 0.1–2 KB, round trip of 100 ms", "seconds")}

    def shape(self):
        return self.sizes.far_files // 50, 50, 100, 2000

    def line(self):
        return {"one way": 0.05}


class TextPool:
    """Text like that of logs: lines with a time, a daemon, a phrase of a skewed vocabulary and some numbers. There are
    more different pages than a compressor's window has room for, and each file puts them together anew."""
    PAGE = 8192
    PAGES = 4096
    LINE = 110  # bytes, or more

    def __init__(self):
        rng = random.Random(1)
        words = ["".join(rng.choices("etaoinshrdlucmfwyp", k=rng.randint(2, 11))) for _ in range(5_000)]
        weights = list(itertools.accumulate(1 / (rank + 3) for rank in range(len(words))))
        phrases = [" ".join(rng.choices(words, cum_weights=weights, k=12)) for _ in range(20_000)]
        daemons = [f"{word}[{rng.randrange(100, 30_000)}]:" for word in words[40:80]]
        lines = []
        for number in range(self.PAGE * self.PAGES // self.LINE):
            lines.append(f"2026-11-22T{number // 36000 % 24:02}:{number // 600 % 60:02}:{number // 10 % 60:02} "
                         f"{rng.choice(daemons)} {rng.choice(phrases)} {rng.getrandbits(32):08x} {number % 977}\n")
        text = "".join(lines).encode()
        self._pages = [text[at:at + self.PAGE] for at in range(0, len(text) - self.PAGE, self.PAGE)]
        self._rng = rng

    def take(self, size):
        count = -(-size // self.PAGE)
        return b"".join(self._rng.choices(self._pages, k=count))[:size]


class Text(Burst):
    name = "text"
    rate_mbit = 100
    wire = f"1 0 {rate_mbit}"
    compress = True
    FILE_MIB = 1

    def __init__(self, sizes):
        super().__init__(sizes)
        size = f"{sizes.text_mib // 1024} GiB" if sizes.text_mib >= 1024 else f"{sizes.text_mib} MiB"
        self.rows = {"text": (f"{size} of text in files of {self.FILE_MIB} MiB, {self.rate_mbit} Mbit/s", "seconds")}

    def disk_mib(self):
        return 256 + 2 * self.sizes.text_mib

    def shape(self):
        each = min(32, self.sizes.text_mib)
        return self.sizes.text_mib // each, each, self.FILE_MIB * MIB, self.FILE_MIB * MIB

    def pool(self):
        return TextPool()

    def line(self):
        return {"the line, uncompressed": self.sizes.text_mib * MIB * 8 / (self.rate_mbit * 1e6)}

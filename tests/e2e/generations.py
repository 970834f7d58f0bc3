#!/usr/bin/env python3
"""A file that is rewritten in place all the time, and who watches what a replica shows of it. Every 4 KiB page begins
with the number of its generation; the rest is incompressible and differs from one generation to the next.

    generations.py write FILE BYTES PAUSE [PASSES]   one pass per generation, PAUSE seconds between; PASSES 0: for ever
    generations.py sample FILE STOP REPORT           reads it whole, again and again, until STOP exists; REPORT gets
                                                     two lines: samples with more than one generation, and the
                                                     first of them; generations seen. REPORT.enough is there once those are three
"""
import array
import os
import random
import sys
import time

PAGE = 4096


def write(path, size, pause, passes="0"):
    size, number = int(size), 0
    noise = random.Random(7).randbytes(PAGE * 257)
    fd = os.open(path, os.O_WRONLY)
    while True:
        number += 1
        stamp = number.to_bytes(8, "little")
        pages = []
        for i in range(size // PAGE):
            at = (i * 61 + number * 977) % (PAGE * 256)
            pages.append(stamp + noise[at:at + PAGE - 8])
        everything = b"".join(pages)
        for at in reversed(range(0, size, 1 << 20)):  # towards a reader, who would follow behind otherwise
            os.pwrite(fd, everything[at:at + (1 << 20)], at)
        if number == int(passes):
            return
        time.sleep(float(pause))


def sample(path, stop, report):
    mixed, seen, slow = [], set(), False
    while not os.path.exists(stop):
        # A slow reader holds a version open while later ones are published: it must stay what it was.
        slow = not slow
        found = set()
        try:
            with open(path, "rb", buffering=0) as file:
                while piece := file.read(1 << 20):
                    found |= set(array.array("Q", piece[:len(piece) // PAGE * PAGE])[::PAGE // 8])
                    if slow: time.sleep(0.02)
        except FileNotFoundError:
            continue
        seen |= found
        if len(found) > 1: mixed.append(sorted(found))
        if len(seen) >= 3: open(report + ".enough", "w").close()
        time.sleep(0.01)
    with open(report, "w") as out:
        out.write("%d %s\n%d\n" % (len(mixed), mixed[:3], len(seen)))


if __name__ == "__main__":
    {"write": write, "sample": sample}[sys.argv[1]](*sys.argv[2:])

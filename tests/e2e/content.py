#!/usr/bin/env python3
"""Contents for the end-to-end tests that count bytes, and edits of them. Everything comes from a seed, and is
incompressible unless it is text, so that only what repl leaves out is saved on the wire.

    content.py make FILE SEED BYTES                 random bytes, made beside the tree (SCRATCH) and renamed in
    content.py text FILE SEED BYTES                 words, likewise
    content.py logs DIR SEED COUNT BYTES            COUNT files of log lines, likewise; half of what a file has stood,
                                                    64 KiB at a time, in an earlier one, 4 MiB away or more
    content.py append FILE SEED BYTES               in one write
    content.py stream FILE SEED BYTES STEPS PAUSE   appends BYTES in STEPS writes, PAUSE seconds apart
    content.py overwrite FILE SEED PIECES BYTES [SHIFT]   in place; pieces evenly spread, at multiples of 64 KiB
                                                    plus SHIFT
    content.py insert FILE SEED BYTES PLACE...      as an editor saves: a new file, renamed over; PLACE in percent
    content.py delete FILE BYTES PLACE...           likewise
    content.py small DIR SEED COUNT MIN MAX         COUNT files, ten directories, made one by one
    content.py islands FILE SEED SIZE BYTES PLACE...  sparse but for BYTES at each PLACE (percent), in place
    content.py same FILE FILE                       equal sizes and data; holes are not read: for what is too large
"""
import os
import random
import sys
import time

MIB = 1 << 20
BLOCK = 64 * 1024


def scratch(path):
    return os.path.join(os.environ["SCRATCH"], "scratch-" + os.path.basename(path))


def saved(path, pieces):
    """Written beside the tree, then renamed over: what most editors and installers do."""
    with open(scratch(path), "wb") as out:
        for piece in pieces:
            out.write(piece)
    os.replace(scratch(path), path)


def random_pieces(seed, size):
    rng = random.Random(seed)
    while size > 0:
        step = min(size, MIB)
        yield rng.randbytes(step)
        size -= step


def text(seed, size):
    rng = random.Random(seed)
    letters = "abcdefghijklmnopqrstuvwxyz"
    words = ["".join(rng.choices(letters, k=rng.randrange(2, 10))) for _ in range(3000)]
    while size > 0:
        piece = " ".join(rng.choices(words, k=12)).encode() + b"\n"
        yield piece[:size]
        size -= len(piece)


def places(percents, size):
    return sorted(size * int(p) // 100 for p in percents)


def make(path, seed, size):
    saved(path, random_pieces(seed, int(size)))


def make_text(path, seed, size):
    saved(path, text(seed, int(size)))


def log_pages(seed, page=64 * 1024, apart=64):
    rng = random.Random(seed)
    letters = "etaoinshrdlucmfwyp"
    words = ["".join(rng.choices(letters, k=rng.randrange(2, 11))) for _ in range(4000)]
    phrases = [" ".join(rng.choices(words, k=10)) for _ in range(20000)]
    pages, number = [], 0
    while True:
        if len(pages) > apart and rng.random() < 0.5:
            pages.append(pages[rng.randrange(len(pages) - apart)])
        else:
            lines, size = [], 0
            while size < page:
                number += 1
                lines.append("2026-11-22T%02d:%02d:%02d %s[%d]: %s %08x\n" % (
                    number // 3600 % 24, number // 60 % 60, number % 60, words[number % 40], number % 977,
                    phrases[int(rng.random() * 20000)], rng.getrandbits(32)))
                size += len(lines[-1])
            pages.append("".join(lines)[:page].encode())
        yield pages[-1]


def logs(directory, seed, count, size):
    """As one directory that appears at once."""
    pages = log_pages(seed)
    made = scratch(directory)
    os.mkdir(made)
    for i in range(int(count)):
        with open("%s/%04d.log" % (made, i), "wb") as out:
            for _ in range(int(size) // (64 * 1024)):
                out.write(next(pages))
    os.rename(made, directory)


def append(path, seed, size):
    with open(path, "ab", buffering=0) as out:
        out.write(random.Random(seed).randbytes(int(size)))


def stream(path, seed, size, steps, pause):
    rng = random.Random(seed)
    with open(path, "ab", buffering=0) as out:
        for _ in range(int(steps)):
            out.write(rng.randbytes(int(size) // int(steps)))
            time.sleep(float(pause))


def overwrite(path, seed, pieces, size, shift="0"):
    rng = random.Random(seed)
    blocks = os.path.getsize(path) // BLOCK - 2
    new = [(i * blocks // int(pieces) * BLOCK + int(shift), rng.randbytes(int(size))) for i in range(int(pieces))]
    fd = os.open(path, os.O_WRONLY)
    for at, piece in new:
        os.pwrite(fd, piece, at)
    os.close(fd)


def insert(path, seed, size, *percents):
    rng = random.Random(seed)
    old = open(path, "rb").read()
    pieces, done = [], 0
    for at in places(percents, len(old)):
        pieces += [old[done:at], rng.randbytes(int(size))]
        done = at
    saved(path, pieces + [old[done:]])


def delete(path, size, *percents):
    old = open(path, "rb").read()
    pieces, done = [], 0
    for at in places(percents, len(old) - int(size)):
        pieces.append(old[done:at])
        done = at + int(size)
    saved(path, pieces + [old[done:]])


def small(directory, seed, count, least, most):
    rng = random.Random(seed)
    for d in range(10):
        os.mkdir("%s/%d" % (directory, d))
    for i in range(int(count)):
        with open("%s/%d/%05d" % (directory, i % 10, i), "wb") as out:
            out.write(rng.randbytes(rng.randrange(int(least), int(most))))


def islands(path, seed, size, length, *percents):
    rng = random.Random(seed)
    fd = os.open(path, os.O_WRONLY | os.O_CREAT, 0o644)
    if os.fstat(fd).st_size < int(size):
        os.ftruncate(fd, int(size))
    for at in places(percents, int(size) - int(length)):
        os.pwrite(fd, rng.randbytes(int(length)), at // 4096 * 4096)
    os.close(fd)


def data(fd, size):
    """(offset, bytes) of every page that is not all zeros."""
    at = 0
    while at < size:
        try:
            at = os.lseek(fd, at, os.SEEK_DATA)
        except OSError:
            return
        end = min(os.lseek(fd, at, os.SEEK_HOLE), size)
        at -= at % 4096
        while at < end:
            page = os.pread(fd, 4096, at)
            if page.strip(b"\0"):
                yield at, page
            at += 4096


def same(one, other):
    fds = [os.open(p, os.O_RDONLY) for p in (one, other)]
    sizes = [os.fstat(fd).st_size for fd in fds]
    if sizes[0] != sizes[1]:
        sys.exit("sizes %d and %d" % tuple(sizes))
    found = [dict(data(fd, sizes[0])) for fd in fds]
    if found[0] != found[1]:
        wrong = sorted(at for at in set(found[0]) | set(found[1]) if found[0].get(at) != found[1].get(at))
        sys.exit("%d pages differ, the first at %d" % (len(wrong), wrong[0]))


if __name__ == "__main__":
    commands = {"make": make, "text": make_text, "logs": logs, "append": append, "stream": stream, "overwrite": overwrite,
                "insert": insert, "delete": delete, "small": small, "islands": islands, "same": same}
    commands[sys.argv[1]](*sys.argv[2:])

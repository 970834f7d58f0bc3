#!/usr/bin/env python3
"""Small changes beside a large file under way, and the order in which a replica shows them. Both trees are seen from
here; bytes are those that the sending host's interface has sent (COUNTER), so that no bound is a time.

    overtake.py small TREE REPLICA LARGE SIZE COUNT BYTES
        COUNT new files and as many overwritten in place, one after the other: each must be visible before LARGE
        has SIZE bytes on the replica, with at most BYTES sent between the write and its being seen.
    overtake.py order REPLICA LARGE SIZE BYTES LEFT... [-- GONE...]
        Ends when LARGE is complete. No file of LEFT may change or go before: more than BYTES (a publish is several
        renames) sent between the first such sight and the complete file are a failure.
"""
import os
import random
import sys
import time

COUNTER = os.environ["COUNTER"]  # a command's worth of path: /proc/PID/net/dev of the sending host


def sent():
    total = 0
    with open(COUNTER) as table:
        for line in table:
            name, _, numbers = line.partition(":")
            if name.strip() in ("eth0", "nl0"):
                total += int(numbers.split()[8])
    return total


def state(path):
    try:
        with open(path, "rb") as file:
            return file.read()
    except FileNotFoundError:
        return None


def complete(large, size):
    try:
        return os.stat(large).st_size == size
    except FileNotFoundError:
        return False


def until_seen(path, content, large, size):
    """True once it is there; False if the large file was complete first."""
    while state(path) != content:
        if complete(large, size):
            return state(path) == content and False
        time.sleep(0.0005)
    return True


def small(tree, replica, large, size, count, most):
    rng = random.Random(99)
    worst = []
    large = os.path.join(replica, large)
    for i in range(int(count)):
        for name, how in (("new-%d" % i, "new"), ("overwritten", "overwritten")):
            content = rng.randbytes(4096)
            before = sent()
            fd = os.open(os.path.join(tree, name), os.O_WRONLY | os.O_CREAT, 0o644)
            os.write(fd, content)
            os.close(fd)
            if not until_seen(os.path.join(replica, name), content, large, int(size)):
                sys.exit("%s (%s) was not visible before the large file was complete" % (name, how))
            if complete(large, int(size)):
                sys.exit("the large file is complete after %d changes: it was not under way" % (2 * i))
            worst.append(sent() - before)
            time.sleep(0.05)
    worst.sort()
    print("%d changes, each behind at most %d bytes (median %d)" % (len(worst), worst[-1], worst[len(worst) // 2]))
    if worst[-1] > int(most):
        sys.exit("a change of 4 KiB was behind %d bytes of the large file" % worst[-1])


def order(replica, large, size, most, *names):
    large = os.path.join(replica, large)
    paths = [os.path.join(replica, n) for n in names]
    before = [state(p) for p in paths]
    seen = None
    while not complete(large, int(size)):
        if seen is None and [state(p) for p in paths] != before:
            seen = sent()
        time.sleep(0.002)
    if seen is not None and sent() - seen > int(most):
        sys.exit("a version was destroyed %d bytes before the large file was complete" % (sent() - seen))


if __name__ == "__main__":
    {"small": small, "order": order}[sys.argv[1]](*sys.argv[2:])

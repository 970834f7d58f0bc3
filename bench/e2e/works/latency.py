"""Lone changes of 4 KiB, new files and overwritten ones in turn: from the end of the write until B has that content.

Seen by reading the file on B, every 0.1 ms at first and every 5 ms when it has taken long. Of a program whose delay
would make that hours, changes come every `overlap_s` and do not wait for one another: then its delay began with an
earlier change, so its median is about half of what a change that is really alone takes."""
import ctypes
import os
import statistics
import subprocess
import sys
import time

import hosts
from works.base import Work

BYTES = 4096
LIMIT_S = 60
KINDS = ("latency-new", "latency-overwrite")
PR_SET_TIMERSLACK = 29


class Latency(Work):
    name = "latency"
    rows = {"latency-new": ("One new file of 4 KiB", "latency"),
            "latency-overwrite": ("One file of 4 KiB overwritten", "latency")}

    def prepare(self):
        super().prepare()
        for i in range(self.sizes.lone):
            with open(hosts.tree("A") / f"old{i}", "wb") as f:
                f.write(os.urandom(BYTES))
        hosts.same_tree_on_b()
        time.sleep(1.1)  # rsync compares whole seconds

    def measure(self, peer, watch):
        taken = {kind: [] for kind in KINDS}
        waiting = []
        changes = [(kind, i) for i in range(self.sizes.lone) for kind in KINDS]
        ctypes.CDLL(None).prctl(PR_SET_TIMERSLACK, 1, 0, 0, 0)
        watch.begin()
        due = time.monotonic()
        while changes or waiting:
            now = time.monotonic()
            if changes and now >= due and (peer.overlap_s or not waiting):
                waiting.append(self._change(peer, *changes.pop(0)))
                due = now + (peer.overlap_s or 0)
            still = [one for one in waiting if not self._arrived(one, taken)]
            if waiting and not still and not peer.overlap_s:
                # Not in step with anything that the program does.
                due = time.monotonic() + 0.03 + (len(changes) * 37 % 20) / 1000
            waiting = still
            time.sleep(_pause(waiting, due))
        cost = watch.settled({})  # of both kinds
        for kind in KINDS:
            yield kind, {"samples_ms": [round(ms, 3) for ms in taken[kind]]} | cost
            cost = {}

    def _change(self, peer, kind, i):
        name = f"new{i}" if kind == "latency-new" else f"old{i}"
        content = os.urandom(BYTES)
        with open(hosts.tree("A") / name, "wb") as f:
            f.write(content)
        written = time.monotonic()
        peer.work_done(LIMIT_S)
        return kind, hosts.tree("B") / name, content, written

    def _arrived(self, one, taken):
        kind, path, content, written = one
        try:
            with open(path, "rb", buffering=0) as f:
                there = f.read(BYTES + 1) == content
        except FileNotFoundError:
            there = False
        took = time.monotonic() - written
        if there:
            taken[kind].append(1000 * took)
        elif took > LIMIT_S:
            raise hosts.Void(f"a lone change did not arrive within {LIMIT_S} s: {path.name}")
        return there

    def floor(self):
        seconds = []
        for i in range(self.sizes.lone):
            content = os.urandom(BYTES)
            began = time.monotonic()
            with open(hosts.tree("A") / f"new{i}", "wb") as f:
                f.write(content)
            seconds.append(time.monotonic() - began)
        figures = {"write it": statistics.median(seconds), "TCP ping-pong": ping_pong()}
        for kind in KINDS:
            yield kind, figures


def _pause(waiting, due):
    if not waiting:
        return max(0.0, due - time.monotonic())
    age = time.monotonic() - waiting[0][3]
    return 0.0001 if age < 0.05 else 0.001 if age < 0.5 else 0.005


SERVER = """import socket
s = socket.create_server(("", 7900)); print("up", flush=True); c, _ = s.accept()
c.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
while d := c.recv(64): c.sendall(d)"""
CLIENT = """import socket, statistics, sys, time
c = socket.create_connection((sys.argv[1], 7900)); c.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1); t = []
for _ in range(300):
    a = time.monotonic(); c.sendall(b"x"); c.recv(64); t.append(time.monotonic() - a)
print(statistics.median(t))"""


def ping_pong():
    """Seconds of a round trip between two processes on the two hosts."""
    server = subprocess.Popen(hosts.argv("B", sys.executable, "-c", SERVER), stdout=subprocess.PIPE)
    server.stdout.readline()
    seconds = float(hosts.run("A", sys.executable, "-c", CLIENT, hosts.ADDRESS["B"]).stdout)
    server.wait(10)
    return seconds

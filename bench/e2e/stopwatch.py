"""Times a work and counts what it cost: wire bytes each way, CPU time and memory of each side."""
import json
import subprocess
import sys
import time
import pathlib

import hosts
import meter

METER = pathlib.Path(__file__).with_name("meter.py")


class Stopwatch:
    def __init__(self, peer, limit_s):
        self.peer = peer
        self.limit_s = limit_s
        self._sampler = None

    def begin(self):
        for host in "AB":
            meter.reset_high_water(hosts.HOLDER[host])
        self._sampler = subprocess.Popen([sys.executable, METER, hosts.HOLDER["A"], hosts.HOLDER["B"]],
                                         stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._sampler.stdout.readline()
        self._wire, self._cpu = hosts.wire_bytes(), self._cpu_seconds()
        self._began = time.monotonic()

    def seconds(self):
        return time.monotonic() - self._began

    def _cpu_seconds(self):
        return {host: meter.cpu_seconds(hosts.HOLDER[host]) + self.peer.child_cpu_s.get(host, 0) for host in "AB"}

    def cost(self):
        """What has been spent since begin(); ends the sampling."""
        sent, received = hosts.wire_bytes()
        cpu = self._cpu_seconds()
        memory = json.loads(self._sampler.communicate("")[0])
        self._sampler = None
        return {"out_bytes": sent - self._wire[0], "in_bytes": received - self._wire[1],
                "cpu_a_s": cpu["A"] - self._cpu["A"], "cpu_b_s": cpu["B"] - self._cpu["B"],
                "memory_a_bytes": memory["A"], "memory_b_bytes": memory["B"]}

    def cancel(self):
        if self._sampler:
            self._sampler.communicate("")
            self._sampler = None

    def wait_for(self, arrived, pause=0.02):
        def there():
            self.peer.require_alive()
            return arrived()

        if hosts.wait_until(there, max(1, self.limit_s - self.seconds()), pause) is None:
            raise hosts.Void(f"not there within {self.limit_s} s")

    def settled(self, figures):
        """Adds the costs, until quiet; of a program that is never quiet, until now."""
        if self.peer.busy:
            figures |= self.cost()
            self.peer.quiet()
        else:
            self.peer.quiet()
            if self.peer.exact:
                figures["durable_s"] = self.seconds()
            figures |= self.cost()
        return figures

    def timed(self, action, arrived):
        """seconds: from the first change until B has the last; after_s: from the end of the last change."""
        self.begin()
        action()
        written = self.seconds()
        self.peer.work_done(self.limit_s)
        self.wait_for(arrived)
        seconds = self.seconds()
        return self.settled({"seconds": seconds, "after_s": seconds - written, "writer_s": written})


def floor(action):
    began = time.monotonic()
    action()
    return time.monotonic() - began

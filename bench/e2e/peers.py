"""The programs that are compared, each at its documented settings for speed. Each has start(), stop(), processes
(for CPU time), start_cpu_seconds (spent by start() in processes that have ended), and quiet(): it believes that
everything has arrived."""
import resource
import subprocess
import time

import hosts

RSYNCD = """use chroot = no
uid = 0
gid = 0
[tree]
path = %s
read only = no
"""
LSYNCD = """settings { nodaemon = true, statusFile = "%(w)s/A/lsyncd.status", statusInterval = 1, insist = true }
sync { default.rsync, source = "/mnt/fs/tree", target = "rsync://%(b)s/tree", delay = %(delay)d,
       rsync = { archive = true } }
"""


class Repl:
    name = "repl"
    exact = True

    def start(self):
        self.processes = [hosts.start("B", "repl", hosts.REPL, "run", "t"),
                          hosts.start("A", "repl", hosts.REPL, "run", "t")]
        primary = lambda: '"role":"primary"' in hosts.run("A", hosts.REPL, "status", "t", "--json",
                                                          check=False).stdout.replace(" ", "")
        if hosts.wait_until(primary, 60) is None:
            raise RuntimeError("repl does not become primary")
        self.quiet()

    def quiet(self):
        hosts.run("A", hosts.REPL, "wait", "t", "--for", "durable", "--wait-for-peers", "--timeout", "600")

    def stop(self):
        hosts.stop(*self.processes)

    def version(self):
        return hosts.run("A", hosts.REPL, "--version", check=False).stdout.strip()


class RsyncDaemon:
    """The far end of lsyncd and of the rsync loop."""

    def start_server(self):
        config = hosts.W / "B" / "rsyncd.conf"
        config.write_text(RSYNCD % hosts.TREE)
        server = hosts.start("B", "rsyncd", "rsync", "--daemon", "--no-detach", f"--config={config}")
        ready = lambda: hosts.run("A", "rsync", f"rsync://{hosts.ADDRESS_B}/", check=False).returncode == 0
        if hosts.wait_until(ready, 10) is None:
            raise RuntimeError("rsync --daemon does not start")
        return server


class Lsyncd(RsyncDaemon):
    exact = False

    def __init__(self, delay):
        self.delay = delay
        self.name = "lsyncd, delay 1" if delay == 1 else "lsyncd, stock"

    def start(self):
        config = hosts.W / "A" / "lsyncd.conf"
        config.write_text(LSYNCD % {"w": hosts.W, "b": hosts.ADDRESS_B, "delay": self.delay})
        self.log = hosts.W / "A" / "log" / "lsyncd"
        self.log.write_text("")
        server = self.start_server()
        self.processes = [hosts.start("A", "lsyncd", "lsyncd", "-log", "Normal", str(config)), server]
        self.started()

    def started(self):
        if hosts.wait_until(lambda: "Startup of" in self.log.read_text() and "finished" in self.log.read_text(),
                            600) is None:
            raise RuntimeError("lsyncd does not finish its startup")

    def quiet(self):
        time.sleep(self.delay + 1)

    def stop(self):
        hosts.stop(*self.processes)

    def version(self):
        return subprocess.run(["lsyncd", "--version"], capture_output=True, text=True).stdout.strip()


class RsyncLoop(RsyncDaemon):
    name = "rsync, endless loop"
    exact = False

    def start(self):
        server = self.start_server()
        self.processes = [server]
        # A first run, so that start() means the same for all: the trees have been brought together.
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        self.once()
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        self.start_cpu_seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        loop = f"while :; do rsync -a --delete {hosts.TREE}/ rsync://{hosts.ADDRESS_B}/tree/; done"
        self.processes = [hosts.start("A", "rsync", "bash", "-c", loop), server]

    def once(self):
        hosts.run("A", "rsync", "-a", "--delete", f"{hosts.TREE}/", f"rsync://{hosts.ADDRESS_B}/tree/")

    def quiet(self):
        time.sleep(2)

    def stop(self):
        hosts.stop(*self.processes)
        # The loop's rsync of the moment, if there is one, ends with its connection.
        time.sleep(0.5)

    def version(self):
        return subprocess.run(["rsync", "--version"], capture_output=True, text=True).stdout.splitlines()[0]


ALL = {"repl": Repl(), "lsyncd": Lsyncd(1), "lsyncd-stock": Lsyncd(15), "rsync": RsyncLoop()}

"""lsyncd, which forks an rsync per batch: to an rsync daemon at three delays, and over ssh."""
import subprocess
import time

import hosts
from peers import rsync
from peers.base import Peer

SETTINGS = """settings { nodaemon = true, statusFile = "%(w)s/A/lsyncd.status", statusInterval = 1, insist = true }
"""
BY_DAEMON = """sync { default.rsync, source = "%(tree)s", target = "rsync://%(b)s/tree", delay = %(delay)d,
       rsync = { archive = true, compress = %(compress)s } }
"""
BY_SSH = """sync { default.rsyncssh, source = "%(tree)s", host = "root@%(b)s", targetdir = "%(tree)s", delay = %(delay)d,
       rsync = { archive = true, compress = %(compress)s },
       ssh = { port = 2222, identityFile = "%(w)s/ssh/client",
               options = { StrictHostKeyChecking = "no", UserKnownHostsFile = "%(w)s/ssh/known_hosts",
                           LogLevel = "ERROR" } } }
"""


class Lsyncd(Peer):
    layer = BY_DAEMON

    def __init__(self, name, delay):
        super().__init__()
        self.name = name
        self.title = f"lsyncd, {'stock, 15 s' if delay == 15 else f'delay {delay}'}"
        self.delay = delay
        self.patience_s = delay + 3
        self.overlap_s = 0.5 if delay > 1 else None

    def start(self):
        self.processes = [] if self.ssh else [rsync.start_daemon()]
        config = hosts.W / "A" / "lsyncd.conf"
        config.write_text((SETTINGS + self.layer) % {
            "w": hosts.W, "tree": hosts.TREE, "b": hosts.ADDRESS["B"], "delay": self.delay,
            "compress": "true" if self.compress else "false"})
        log = hosts.W / "A" / "log" / "lsyncd"
        log.write_text("")
        self.processes.insert(0, hosts.start("A", "lsyncd", "lsyncd", "-log", "Normal", config))

        def started():
            self.require_alive()
            text = log.read_text(errors="replace")
            return "Startup of" in text and "finished" in text

        if hosts.wait_until(started, 600) is None:
            raise hosts.Void("lsyncd does not finish its startup")

    def quiet(self):
        time.sleep(self.delay + 1)

    def stop(self):
        hosts.stop(*self.processes)

    def version(self):
        said = subprocess.run(["lsyncd", "--version"], capture_output=True, text=True).stdout
        return said.strip().replace("Version:", "lsyncd")


class LsyncdSsh(Lsyncd):
    layer = BY_SSH
    ssh = True

    def __init__(self):
        super().__init__("lsyncd-ssh", 1)
        self.title = "lsyncd over ssh, delay 1"

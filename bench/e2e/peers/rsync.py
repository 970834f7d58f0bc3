"""rsync alone: the daemon that others push to, an endless loop of runs, and one run when the writer has ended."""
import os
import subprocess
import threading

import hosts
from peers.base import Peer

RSYNCD = """use chroot = no
uid = 0
gid = 0
[tree]
path = %s
read only = no
"""


def start_daemon():
    config = hosts.W / "B" / "rsyncd.conf"
    config.write_text(RSYNCD % hosts.TREE)
    server = hosts.start("B", "rsyncd", "rsync", "--daemon", "--no-detach", f"--config={config}")

    def ready():
        return hosts.run("A", "rsync", f"rsync://{hosts.ADDRESS['B']}/", check=False).returncode == 0

    if hosts.wait_until(ready, 10) is None:
        raise hosts.Void("rsync --daemon does not start")
    return server


def ssh_command():
    d = hosts.W / "ssh"
    return (f"ssh -p 2222 -i {d}/client -o BatchMode=yes -o StrictHostKeyChecking=no "
            f"-o UserKnownHostsFile={d}/known_hosts -o LogLevel=ERROR")


class Rsync(Peer):
    def version(self):
        said = subprocess.run(["rsync", "--version"], capture_output=True, text=True).stdout
        return " ".join(said.split()[:3])

    def command(self):
        compress = ["-z"] if self.compress else []
        if self.ssh:
            return ["rsync", "-a", "--delete", *compress, "-e", ssh_command(), f"{hosts.TREE}/",
                    f"root@{hosts.ADDRESS['B']}:{hosts.TREE}/"]
        return ["rsync", "-a", "--delete", *compress, f"{hosts.TREE}/", f"rsync://{hosts.ADDRESS['B']}/tree/"]

    def once(self, limit_s):
        """One run, whose cost is added to the peer's when it has ended."""
        process = hosts.start("A", "rsync", *self.command())
        late = threading.Timer(limit_s, process.kill)
        late.start()
        _, status, usage = os.wait4(process.pid, 0)
        late.cancel()
        process.returncode = os.waitstatus_to_exitcode(status)
        self.child_cpu_s["A"] += usage.ru_utime + usage.ru_stime
        # 24: a file vanished while it was at work.
        if process.returncode not in (0, 24):
            raise hosts.Void(f"rsync: status {process.returncode}")

    def start(self):
        self.processes = [] if self.ssh else [start_daemon()]
        self.once(600)

    def stop(self):
        hosts.stop(*self.processes)


class Loop(Rsync):
    """The least latency that rsync alone can have, for a core that is always busy."""
    name = "rsync"
    title = "rsync, endless loop"
    busy = True

    def start(self):
        super().start()
        loop = 'while :; do "$@"; done'
        self.loop = hosts.start("A", "rsync", "bash", "-c", loop, "loop", *self.command())

    def stop(self):
        # The loop first: the run of the moment ends with its connection.
        self.loop.kill()
        self.loop.wait()
        super().stop()


class Once(Rsync):
    name = "rsync-once"
    title = "rsync, once afterwards"
    live = False

    def work_done(self, limit_s):
        self.once(limit_s)


class OnceSsh(Once):
    name = "rsync-once-ssh"
    title = "rsync over ssh, once afterwards"
    ssh = True

"""repl as it is installed: TLS or ssh, digests, fsync on the replica before it says `durable`."""
import os
import subprocess

import hosts
from peers.base import Peer

SSH_CONFIG = """[node.A]
address = "%(a)s"
fingerprint = "%(fingerprint)s"
[node.B]
address = "%(b)s"
[node.B.ssh]
user = "root"
port = 2222
identity = "%(w)s/ssh/client"
repl = "%(repl)s"
options = ["StrictHostKeyChecking=no", "UserKnownHostsFile=%(w)s/ssh/known_hosts"]
[tree.t]
root = "%(tree)s"
nodes = ["A", "B"]
port = 7421
[tree.t.peer.B]
transport = "ssh"
"""


class Repl(Peer):
    name = "repl"
    title = "repl (TLS)"
    exact = True
    settle_s = 600

    def start(self):
        self.processes = [hosts.start("B", "repl", hosts.REPL, "run", "t"),
                          hosts.start("A", "repl", hosts.REPL, "run", "t")]

        def primary():
            self.require_alive()
            status = hosts.run("A", hosts.REPL, "status", "t", "--json", check=False).stdout
            return '"role":"primary"' in status.replace(" ", "")

        if hosts.wait_until(primary, 60) is None:
            raise hosts.Void("repl does not become primary")
        self.quiet()

    def quiet(self):
        try:
            done = hosts.run("A", hosts.REPL, "wait", "t", "--for", "durable", "--wait-for-peers", "--timeout",
                             self.settle_s, check=False, timeout=self.settle_s + 10)
        except subprocess.TimeoutExpired:
            raise hosts.Void("repl wait does not answer") from None
        if done.returncode:
            raise hosts.Void(f"repl wait: status {done.returncode} {done.stderr.strip()}")

    def stop(self):
        hosts.stop(*self.processes)

    def version(self):
        return subprocess.run([hosts.REPL, "--version"], capture_output=True, text=True).stdout.strip()


class ReplSsh(Repl):
    name = "repl-ssh"
    title = "repl (ssh)"
    ssh = True

    def start(self):
        text = SSH_CONFIG % {"a": hosts.ADDRESS["A"], "b": hosts.ADDRESS["B"], "w": hosts.W, "repl": hosts.REPL,
                             "tree": hosts.TREE, "fingerprint": os.environ["BENCH_FINGERPRINT_A"]}
        for host in "AB":
            (hosts.W / host / "etc" / "repl.toml").write_text(text)
        super().start()

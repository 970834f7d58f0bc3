"""A git repository under continuous commits, with gc now and then: is what the replica shows at any moment sound?

A sample: every process of the program on host B is stopped (SIGSTOP), the repository is copied aside, they go on. So the
copy is one moment of the replica, as a reader or a failover would find it. The copy is broken if `git fsck --full
--connectivity-only` fails or HEAD or a ref leads to nothing."""
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import time

import hosts
import meter
from works.base import Work

sys.path.append(str(pathlib.Path(__file__).resolve().parents[3] / "tests/e2e"))
from git_repository import ENVIRONMENT, fault, git

FILES = 40
COMMITS_PER_GC = 30
WRITER = """set -e
cd "$1"
stop=$2 n=0
until [ -e "$stop" ]; do
  n=$((n + 1))
  for i in 1 2 3; do echo "$n $RANDOM $RANDOM" >"file$((RANDOM %% %d))"; done
  git add -A
  git commit -q --allow-empty -m "change $n"
  [ $((n %% 10)) != 0 ] || git tag -f "tag$((n / 10))" >/dev/null
  [ $((n %% %d)) != 0 ] || git gc -q
done
echo "$n"
""" % (FILES, COMMITS_PER_GC)


class Git(Work):
    name = "git"
    judged = False

    def __init__(self, sizes):
        super().__init__(sizes)
        self.rows = {"git": (f"git repository under commits for {sizes.git_s} s: broken states of the replica",
                             "broken")}

    def disk_mib(self):
        return 1024

    def prepare(self):
        super().prepare()
        repository = hosts.tree("A") / "repository"
        repository.mkdir()
        git(repository, "init", "-q", "-b", "main")
        git(repository, "config", "gc.auto", "0")
        for i in range(FILES):
            (repository / f"file{i}").write_text(f"{i}\n" * 50)
        git(repository, "add", "-A")
        git(repository, "commit", "-q", "-m", "first")
        hosts.same_tree_on_b()
        hosts.settle_disks()

    def measure(self, peer, watch):
        stop_file = hosts.aside("A") / "stop"
        watch.begin()
        with subprocess.Popen(["bash", "-c", WRITER, "writer", hosts.tree("A") / "repository", stop_file],
                              stdout=subprocess.PIPE, text=True, env=ENVIRONMENT) as writer:
            try:
                figures = self._sampled(peer, watch)
            finally:
                stop_file.write_text("")
                commits = writer.communicate(timeout=60)[0].strip()
        if writer.returncode:
            raise hosts.Void(f"the commits failed, status {writer.returncode}")
        yield "git", watch.settled(figures | {"commits": int(commits)})

    def _sampled(self, peer, watch):
        rng = random.Random(1)
        faults, heads, number = [], set(), 0
        while watch.seconds() < self.sizes.git_s:
            time.sleep(self.sizes.git_sample_s * rng.uniform(0.5, 1.5))
            if not peer.live:
                peer.work_done(watch.limit_s)
            sample = hosts.aside("B") / "sample"
            _frozen_copy(sample)
            number += 1
            found = fault(sample, "--connectivity-only")
            if found:
                faults.append(found)
            heads.add(git(sample, "rev-parse", "HEAD").stdout)
            shutil.rmtree(sample)
        return {"samples": number, "broken": len(faults), "distinct_heads": len(heads), "faults": faults[:5]}

    def floor(self):
        """The source sampled in the same way, with its writer stopped: a broken state here would be the sampling's."""
        stop_file = hosts.aside("A") / "stop"
        broken = number = 0
        with subprocess.Popen(["bash", "-c", WRITER, "writer", hosts.tree("A") / "repository", stop_file],
                              stdout=subprocess.DEVNULL, env=ENVIRONMENT, start_new_session=True) as writer:
            try:
                for number in range(1, 1 + max(3, int(self.sizes.git_s / self.sizes.git_sample_s / 3))):
                    time.sleep(self.sizes.git_sample_s)
                    sample = hosts.aside("A") / "sample"
                    os.killpg(writer.pid, signal.SIGSTOP)
                    _copy(hosts.tree("A") / "repository", sample)
                    os.killpg(writer.pid, signal.SIGCONT)
                    broken += bool(fault(sample, "--connectivity-only"))
                    shutil.rmtree(sample)
            finally:
                stop_file.write_text("")
                writer.wait(60)
        yield "git", {"samples": number, "broken": broken}


def _copy(repository, sample):
    subprocess.run(["cp", "-a", "--reflink=auto", repository, sample], check=True)


def _frozen_copy(sample):
    """What host B shows while nothing of the program runs there."""
    stopped = set()
    try:
        while new := set(meter.processes(hosts.HOLDER["B"])) - stopped:
            for pid in new:
                _signal(pid, signal.SIGSTOP)
            stopped |= new
        hosts.wait_until(lambda: all(_is_stopped(pid) for pid in stopped), 2, pause=0.0005)
        _copy(hosts.tree("B") / "repository", sample)
    finally:
        for pid in stopped:
            _signal(pid, signal.SIGCONT)


def _signal(pid, number):
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass


def _is_stopped(pid):
    try:
        states = [task.joinpath("stat").read_text().rsplit(")", 1)[1].split()[0]
                  for task in pathlib.Path(f"/proc/{pid}/task").iterdir()]
    except OSError:
        return True
    return all(state in "TZ" for state in states)

"""The two hosts that arena.sh has made: commands on them, their trees, and the bytes on their wire."""
import os
import pathlib
import shutil
import signal
import subprocess
import time

W = pathlib.Path(os.environ.get("BENCH_W", "/nonexistent"))
ADDRESS = {host: os.environ.get("BENCH_ADDRESS_" + host, "") for host in "AB"}
HOLDER = {host: os.environ.get("BENCH_HOLDER_" + host, "") for host in "AB"}
REPL = os.environ.get("BENCH_REPL", "repl")
TREE = "/mnt/fs/tree"  # on the hosts
OBSERVER = "BENCH_OBSERVER"  # in the environment of what belongs to the harness and not to the program measured


class Void(Exception):
    """The number does not count, and why."""


def tree(host):
    return W / host / "fs" / "tree"


def aside(host):
    """A directory on the tree's filesystem that is not in the tree."""
    path = W / host / "fs" / "aside"
    path.mkdir(exist_ok=True)
    return path


def argv(host, *command):
    return ["nsenter", "--target", HOLDER[host], "--mount", "--net", "--uts", "--wdns=/", "--", *map(str, command)]


def command_of(process):
    """What argv() was given."""
    return " ".join(map(str, process.args[len(argv("A")):]))


def start(host, name, *command):
    """A process that is measured; its output goes to the host's log `name`."""
    with open(W / host / "log" / name, "ab") as log:
        return subprocess.Popen(argv(host, *command), stdin=subprocess.DEVNULL, stdout=log, stderr=log)


def stop(*processes):
    for process in processes:
        process.send_signal(signal.SIGTERM)
    for process in processes:
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise Void(f"did not end within 20 s of TERM: {command_of(process)}") from None


def run(host, *command, check=True, timeout=60):
    """A command of the harness, which is not counted."""
    return subprocess.run(argv(host, *command), stdin=subprocess.DEVNULL, capture_output=True, text=True, check=check,
                          timeout=timeout, env=os.environ | {OBSERVER: "1"})


def wire_bytes():
    """(sent, received) by host A on all its links but loopback: frames, so headers and acknowledgements count."""
    sent = received = 0
    for line in pathlib.Path(f"/proc/{HOLDER['A']}/net/dev").read_text().splitlines():
        link, _, rest = line.partition(":")
        if link.strip() in ("eth0", "nl0"):
            fields = rest.split()
            received += int(fields[0])
            sent += int(fields[8])
    return sent, received


def same_tree_on_b():
    """Both trees hold the same before the program starts, so that all begin alike and only changes are measured."""
    shutil.rmtree(tree("B"), ignore_errors=True)
    subprocess.run(["cp", "-a", tree("A"), tree("B")], check=True)


def settle_disks():
    os.sync()
    # Deletions and write-back go on for a moment; they belong to nobody's measurement.
    time.sleep(1)


def wait_until(condition, seconds, pause=0.02):
    """Seconds it took, or None."""
    began = time.monotonic()
    while not condition():
        if time.monotonic() - began > seconds:
            return None
        time.sleep(pause)
    return time.monotonic() - began


def log_tail(lines=4):
    """The last words of every log: why a cell is void is often there."""
    out = []
    for log in sorted(W.glob("[AB]/log/*")):
        last = log.read_text(errors="replace").splitlines()[-lines:]
        if last:
            out.append(f"{log.parent.parent.name}/{log.name}: " + " | ".join(last))
    return out

"""The two hosts that bench/run has made: commands on them, their trees, their counters, the proof of equality."""
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time

W = pathlib.Path(os.environ.get("BENCH_W", "/nonexistent"))
ADDRESS_B = os.environ.get("BENCH_ADDRESS_B", "")
REPL = os.environ.get("BENCH_REPL", "repl")
TREECMP = os.environ.get("BENCH_TREECMP", "treecmp")
HOLDER = {host: os.environ.get("BENCH_HOLDER_" + host, "") for host in "AB"}
TREE = "/mnt/fs/tree"  # on the hosts
TICKS = os.sysconf("SC_CLK_TCK")


def tree(host):
    return W / host / "fs" / "tree"


def argv(host, *command):
    return ["nsenter", "--target", HOLDER[host], "--mount", "--net", "--uts", "--wdns=/", "--", *command]


def start(host, name, *command):
    with open(W / host / "log" / name, "ab") as log:
        return subprocess.Popen(argv(host, *command), stdin=subprocess.DEVNULL, stdout=log, stderr=log)


def stop(*processes):
    for process in processes:
        process.send_signal(signal.SIGTERM)
    for process in processes:
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            print(f"   did not end within 20 s of TERM, killed: {' '.join(process.args)}", file=sys.stderr)
            process.kill()
            process.wait()


def run(host, *command, check=True):
    return subprocess.run(argv(host, *command), stdin=subprocess.DEVNULL, capture_output=True, text=True, check=check)


def wire_bytes():
    """Sent and received by host A."""
    for line in run("A", "cat", "/proc/net/dev").stdout.splitlines():
        if "eth0:" in line:
            fields = line.split(":")[1].split()
            return int(fields[0]) + int(fields[8])
    raise RuntimeError("no eth0")


def cpu_seconds(*processes):
    """User and system time of the processes and of their children that have ended."""
    total = 0
    for process in processes:
        fields = pathlib.Path(f"/proc/{process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        total += sum(int(field) for field in fields[11:15])
    return total / TICKS


def empty_trees():
    for host in "AB":
        shutil.rmtree(tree(host), ignore_errors=True)
        tree(host).mkdir()
        shutil.rmtree(W / host / "state" / "t", ignore_errors=True)
    os.sync()
    # Deletions go on in the journal for a while; they belong to nobody's measurement.
    time.sleep(1)


def differences(exact):
    """What the judges see. `exact`: also to the nanosecond, with hard links (rsync itself, and so lsyncd, leaves a
    directory's time alone when the second is the same)."""
    a, b = f"{tree('A')}/", f"{tree('B')}/"
    out = subprocess.run(["rsync", "-n", "-aHAX" if exact else "-a", "--delete", "--checksum", "--itemize-changes",
                          "--exclude", "/.repl-staging", a, b], capture_output=True, text=True)
    text = out.stdout + out.stderr
    if exact and not text:
        judged = subprocess.run([TREECMP, "--exclude", ".repl-staging", a, b], capture_output=True, text=True)
        text = judged.stdout + judged.stderr
    return text


def wait_until(condition, seconds, pause=0.02):
    """Seconds it took, or None."""
    began = time.monotonic()
    while not condition():
        if time.monotonic() - began > seconds:
            return None
        time.sleep(pause)
    return time.monotonic() - began

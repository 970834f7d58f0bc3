"""Where figures come from: without it they say nothing."""
import datetime
import hashlib
import os
import pathlib
import platform
import subprocess

PROJECT = pathlib.Path(__file__).resolve().parents[2]


def _first_line(*command):
    try:
        done = subprocess.run(command, capture_output=True, text=True, cwd=PROJECT)
    except OSError:
        return "missing"
    return (done.stdout or done.stderr).strip().split("\n")[0]


def load():
    return [round(average, 2) for average in os.getloadavg()]


def record(chosen, directory):
    """`chosen`: the peers; `directory`: where the hosts' images are."""
    cpu = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), "?")
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "commit": _first_line("git", "describe", "--always", "--dirty"),
        "repl_sha256": hashlib.sha256(pathlib.Path(os.environ["BENCH_REPL"]).read_bytes()).hexdigest(),
        "kernel": platform.release(), "cpu": cpu, "cpus": os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30, 1),
        "images_on": _first_line("findmnt", "-no", "FSTYPE,OPTIONS", "-T", directory),
        "filesystems": "one per host, new for each cell, loop-mounted with the defaults of mkfs",
        "versions": {peer.name: peer.version() for peer in chosen} | {
            "git": _first_line("git", "--version"), "ssh": _first_line("ssh", "-V"),
            "python": platform.python_version()},
        "load_at_start": load(),
    }

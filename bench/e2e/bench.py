#!/usr/bin/env python3
"""Fixed work on host A, measured until host B has it. Run by bench/run, which makes the hosts."""
import argparse
import datetime
import json
import os
import pathlib
import platform
import shutil
import statistics
import subprocess
import sys
import time

import hosts
import peers

RESULTS = pathlib.Path(__file__).resolve().parent.parent / "results"
CHUNK = os.urandom(1 << 20)


class Void(Exception):
    """The trees were not equal, or the work did not arrive in time."""


def names(path):
    try:
        return sum(1 for name in os.listdir(path) if not name.startswith("."))
    except FileNotFoundError:
        return -1


def many_files(root, count, size):
    """`size` bytes on average in directories of 1,000 files."""
    root.mkdir()
    for first in range(0, count, 1000):
        directory = root / str(first)
        directory.mkdir()
        for i in range(first, min(first + 1000, count)):
            with open(directory / str(i), "wb") as f:
                f.write(CHUNK[i % 1000:i % 1000 + (i * 7919 % (2 * size))])


def many_arrived(root, count):
    return all(names(root / str(first)) == min(1000, count - first) for first in range(0, count, 1000))


class Works:
    """Each: prepares, brings the trees together, then yields {figure: value} of the measured part."""

    def __init__(self, quick):
        self.files = 5_000 if quick else 50_000
        self.directory_files = 5_000 if quick else 20_000
        self.large_bytes = (128 << 20) if quick else (1 << 30)
        self.lone = 30 if quick else 200
        self.limit_s = 300

    def measured(self, peer, action, arrived):
        wire, cpu = hosts.wire_bytes(), hosts.cpu_seconds(*peer.processes)
        began = time.monotonic()
        action()
        if hosts.wait_until(arrived, self.limit_s) is None:
            raise Void(f"did not arrive within {self.limit_s} s")
        seconds = time.monotonic() - began
        peer.quiet()
        return {"seconds": seconds, "wire_bytes": hosts.wire_bytes() - wire,
                "cpu_seconds": hosts.cpu_seconds(*peer.processes) - cpu}

    def latency(self, peer):
        """One 4 KiB file at a time: from the end of the write until it is whole on B."""
        peer.start()
        a, b, taken = hosts.tree("A"), hosts.tree("B"), []
        count = self.lone if peer.exact else 20
        for i in range(count):
            with open(a / f"lone{i}", "wb") as f:
                f.write(CHUNK[i:i + 4096])
            began = time.monotonic()
            target = os.fspath(b / f"lone{i}")
            while True:
                try:
                    if os.stat(target).st_size == 4096:
                        break
                except FileNotFoundError:
                    pass
                if time.monotonic() - began > 60:
                    raise Void("a lone change did not arrive within 60 s")
                time.sleep(0.00005)
            taken.append(1000 * (time.monotonic() - began))
            time.sleep(0.03 + (i * 37 % 20) / 1000)
        taken.sort()
        return {"p50_ms": statistics.median(taken), "p99_ms": taken[min(len(taken) - 1, int(len(taken) * 0.99))],
                "changes": count}

    def storm(self, peer):
        """Many small files at once: from the first create until all are there."""
        peer.start()
        a, b = hosts.tree("A") / "storm", hosts.tree("B") / "storm"
        return self.measured(peer, lambda: many_files(a, self.files, 4350), lambda: many_arrived(b, self.files))

    def edits(self, peer):
        """16 edits of 64 KiB in a large file."""
        a, b = hosts.tree("A") / "large", hosts.tree("B") / "large"
        with open(a, "wb") as f:
            for i in range(self.large_bytes >> 20):
                f.write(i.to_bytes(8, "big") + CHUNK[8:])
        peer.start()
        peer.quiet()

        def action():
            with open(a, "r+b", buffering=0) as f:
                for i in range(16):
                    f.seek(self.large_bytes // 16 * i + 12_345)
                    f.write(CHUNK[i:i + 65536])

        def arrived():
            x, y = os.stat(a), os.stat(b)
            return x.st_mtime_ns == y.st_mtime_ns and x.st_size == y.st_size

        return self.measured(peer, action, arrived)

    def rename(self, peer):
        """A directory of many files is renamed."""
        a, b = hosts.tree("A"), hosts.tree("B")
        many_files(a / "before", self.directory_files, 4350)
        peer.start()
        peer.quiet()
        return self.measured(peer, lambda: os.rename(a / "before", a / "after"),
                             lambda: many_arrived(b / "after", self.directory_files) and names(b / "before") == -1)

    def delete(self, peer):
        """A directory of many files is removed."""
        a, b = hosts.tree("A"), hosts.tree("B")
        many_files(a / "gone", self.directory_files, 500)
        (a / "stays").write_text("an emptied root would be held")
        peer.start()
        peer.quiet()
        return self.measured(peer, lambda: shutil.rmtree(a / "gone"), lambda: names(b / "gone") == -1)

    def restart(self, peer):
        """Stopped and started with nothing changed: until the trees are known to be equal."""
        many_files(hosts.tree("A") / "still", self.files, 4350)
        peer.start()
        peer.quiet()
        time.sleep(2)
        peer.stop()
        wire, began = hosts.wire_bytes(), time.monotonic()
        peer.start()
        return {"seconds": time.monotonic() - began, "wire_bytes": hosts.wire_bytes() - wire,
                "cpu_seconds": hosts.cpu_seconds(*peer.processes)}


def one(works, work, peer):
    hosts.empty_trees()
    peer.processes = []
    try:
        figures = getattr(works, work)(peer)
        peer.quiet()
        different = hosts.differences(peer.exact)
        if different:
            time.sleep(5)
            different = hosts.differences(peer.exact)
        if different:
            raise Void("trees differ: " + " | ".join(different.splitlines()[:3]))
        return figures
    except (Void, RuntimeError, subprocess.CalledProcessError) as error:
        detail = getattr(error, "stderr", None) or ""
        print(f"   void: {error} {detail.strip()}", file=sys.stderr)
        return {"void": str(error)}
    finally:
        if peer.processes:
            peer.stop()


def environment(chosen):
    cpu = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), "?")
    commit = subprocess.run(["git", "describe", "--always", "--dirty"], capture_output=True, text=True,
                            cwd=RESULTS.parent).stdout.strip()
    return {"date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"), "commit": commit,
            "kernel": platform.release(), "cpu": cpu, "cpus": os.cpu_count(),
            "memory_gib": round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30, 1),
            "filesystem": "ext4 with journal, loop-mounted, one per host", "wire": "veth, no delay",
            "load_average_at_start": os.getloadavg(), "versions": {peer.name: peer.version() for peer in chosen}}


def summary(runs):
    good = [run for run in runs if "void" not in run]
    if not good:
        return None
    return {key: {"median": statistics.median(run[key] for run in good), "min": min(run[key] for run in good),
                  "max": max(run[key] for run in good)} for key in good[0]} | {"runs": len(good)}


def cell(result):
    if result is None:
        return "void"
    spread = lambda key, form: form % result[key]["median"] + (
        " (%s–%s)" % (form % result[key]["min"], form % result[key]["max"]) if result["runs"] > 1 else "")
    if "p50_ms" in result:
        return "p50 " + spread("p50_ms", "%.2f") + " ms, p99 " + spread("p99_ms", "%.2f") + " ms"
    return (spread("seconds", "%.2f") + " s, %.2f MB, %.2f CPU s" %
            (result["wire_bytes"]["median"] / 1e6, result["cpu_seconds"]["median"]))


def main():
    parser = argparse.ArgumentParser(prog="bench/run")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--runs", type=int)
    parser.add_argument("--peers", default="repl,lsyncd,rsync")
    parser.add_argument("--work", default="latency,storm,edits,rename,delete,restart")
    parser.add_argument("--out")
    arguments = parser.parse_args()
    runs = arguments.runs or (1 if arguments.quick else 5)
    works = Works(arguments.quick)
    chosen = [peers.ALL[name] for name in arguments.peers.split(",")]
    report = {"environment": environment(chosen), "quick": arguments.quick,
              "size": {"files": works.files, "directory_files": works.directory_files,
                       "large_bytes": works.large_bytes}, "results": {}}
    for work in arguments.work.split(","):
        report["results"][work] = {}
        for peer in chosen:
            done = []
            for number in range(runs):
                done.append(one(works, work, peer))
                print(f"{work:8} {peer.name:20} run {number + 1}: {cell(summary(done[-1:]))}", flush=True)
            report["results"][work][peer.name] = {"summary": summary(done), "runs": done}
    RESULTS.mkdir(exist_ok=True)
    stamp = report["environment"]["date"].replace(":", "").replace("+0000", "Z")
    out = pathlib.Path(arguments.out) if arguments.out else RESULTS / f"e2e-{'quick-' if arguments.quick else ''}{stamp}.json"
    out.write_text(json.dumps(report, indent=1) + "\n")
    print()
    print("| work | " + " | ".join(peer.name for peer in chosen) + " |")
    print("| --- |" + " --- |" * len(chosen))
    for work, by_peer in report["results"].items():
        cells = [cell(by_peer[peer.name]["summary"]) for peer in chosen]
        print(f"| {getattr(Works, work).__doc__.split(':')[0].rstrip('.')} | " + " | ".join(cells) + " |")
    print(f"\n{out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

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

PROJECT = pathlib.Path(__file__).resolve().parents[2]
LOCAL_RESULTS = PROJECT / "bench" / "results" / "local"
WORKS = ("latency", "storm", "edits", "rename", "delete", "restart")
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
            for _ in range(self.large_bytes >> 20):
                f.write(os.urandom(1 << 20))
        peer.start()
        peer.quiet()

        def action():
            with open(a, "r+b", buffering=0) as f:
                for i in range(16):
                    f.seek(self.large_bytes // 16 * i + 12_345)
                    f.write(os.urandom(65536))

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
                "cpu_seconds": hosts.cpu_seconds(*peer.processes) + peer.start_cpu_seconds}


def one(works, work, peer):
    hosts.empty_trees()
    peer.processes = []
    peer.start_cpu_seconds = 0
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
                            cwd=PROJECT).stdout.strip()
    return {"date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"), "commit": commit,
            "kernel": platform.release(), "cpu": cpu, "cpus": os.cpu_count(),
            "memory_gib": round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30, 1),
            "build": "release", "filesystem": "ext4 with journal, loop-mounted, one per host", "wire": "veth, no delay",
            "load_average_at_start": [round(load, 2) for load in os.getloadavg()],
            "versions": {peer.name: peer.version() for peer in chosen}}


def summary(runs):
    """None if any run was void: what a program does when it does its work wrong is not its speed."""
    good = [run for run in runs if "void" not in run]
    if len(good) < len(runs):
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


def chosen_from(known):
    def parse(text):
        names_given = text.split(",")
        unknown = [name for name in names_given if name not in known]
        if unknown:
            raise argparse.ArgumentTypeError(f"unknown: {', '.join(unknown)} (known: {', '.join(known)})")
        return names_given

    return parse


def arguments_given():
    parser = argparse.ArgumentParser(
        prog="bench/run", description="repl beside lsyncd and an endless loop of rsync on the same two hosts. "
        "`bench/run micro [ARGUMENT...]` runs the micro benchmarks (Google Benchmark) instead.")
    parser.add_argument("--quick", action="store_true", help="a tenth of the work, one run: some minutes")
    parser.add_argument("--runs", type=int, help="runs of each work (5; with --quick 1)")
    parser.add_argument("--peers", type=chosen_from(peers.ALL), default="repl,lsyncd,rsync",
                        help="of " + ", ".join(peers.ALL) + " (lsyncd: delay 1; lsyncd-stock: delay 15)")
    parser.add_argument("--work", type=chosen_from(WORKS), default=",".join(WORKS), help="of " + ", ".join(WORKS))
    parser.add_argument("--out", type=pathlib.Path, help="the JSON (bench/results/local/e2e-TIME.json)")
    return parser.parse_args()


def save(report, out):
    """After each work, so that an interrupted run leaves what it had."""
    out.parent.mkdir(parents=True, exist_ok=True)
    new = out.with_name(out.name + ".new")
    new.write_text(json.dumps(report, indent=1) + "\n")
    new.replace(out)


def print_environment(environment):
    versions = environment["versions"].values()
    print(f"{environment['cpus']} × {environment['cpu']}, {environment['memory_gib']} GiB, "
          f"Linux {environment['kernel']}, load {environment['load_average_at_start'][0]}")
    print(f"{environment['filesystem']}; {environment['wire']}")
    print(f"{', '.join(dict.fromkeys(versions))}; commit {environment['commit']}, {environment['build']} build\n",
          flush=True)


def main():
    arguments = arguments_given()
    runs = arguments.runs or (1 if arguments.quick else 5)
    works = Works(arguments.quick)
    chosen = [peers.ALL[name] for name in arguments.peers]
    report = {"environment": environment(chosen), "quick": arguments.quick, "complete": False,
              "size": {"files": works.files, "directory_files": works.directory_files,
                       "large_bytes": works.large_bytes}, "results": {}}
    stamp = report["environment"]["date"].replace(":", "").replace("+0000", "Z")
    out = arguments.out or LOCAL_RESULTS / f"e2e-{'quick-' if arguments.quick else ''}{stamp}.json"
    print_environment(report["environment"])
    void = []
    for work in arguments.work:
        report["results"][work] = {}
        for peer in chosen:
            done = []
            for number in range(runs):
                done.append(one(works, work, peer))
                print(f"{work:8} {peer.name:20} run {number + 1}: {cell(summary(done[-1:]))}", flush=True)
                if "void" in done[-1]:
                    void.append(f"{work}, {peer.name}, run {number + 1}: {done[-1]['void']}")
            report["results"][work][peer.name] = {"summary": summary(done), "runs": done}
            save(report, out)
    report["complete"] = True
    report["load_average_at_end"] = [round(load, 2) for load in os.getloadavg()]
    save(report, out)
    print()
    print("| work | " + " | ".join(peer.name for peer in chosen) + " |")
    print("| --- |" + " --- |" * len(chosen))
    for work, by_peer in report["results"].items():
        cells = [cell(by_peer[peer.name]["summary"]) for peer in chosen]
        print(f"| {getattr(Works, work).__doc__.split(':')[0].rstrip('.')} | " + " | ".join(cells) + " |")
    print(f"\n{out}")
    if void:
        print(f"\nVOID, {len(void)} of {runs * len(chosen) * len(arguments.work)}:", file=sys.stderr)
        for line in void:
            print("  " + line, file=sys.stderr)
    return 1 if void else 0


if __name__ == "__main__":
    sys.exit(main())

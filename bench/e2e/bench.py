#!/usr/bin/env python3
"""Fixed works on host A, measured until host B has them: repl beside lsyncd and rsync. Run by bench/run."""
import argparse
import json
import os
import pathlib
import shutil
import sys
import tempfile
import time

import arena
import environment
import peers
import plan
import report
import self_check
import works
from works.base import BY_NAME

LOCAL_RESULTS = environment.PROJECT / "bench" / "results" / "local"
FILESYSTEMS = ("ext4", "xfs")
SPARE_MIB = 1024


def chosen_from(known):
    def parse(text):
        given = text.split(",")
        unknown = [name for name in given if name not in known]
        if unknown:
            raise argparse.ArgumentTypeError(f"unknown: {', '.join(unknown)} (known: {', '.join(known)})")
        return given

    return parse


def arguments_given():
    parser = argparse.ArgumentParser(
        prog="bench/run", description="repl beside what people run today, on the same hosts, disks and wire. "
        "`bench/run micro [ARGUMENT...]` runs the micro benchmarks (Google Benchmark) instead.")
    parser.add_argument("--quick", action="store_true", help="a tenth of the work, one run of repl, lsyncd and rsync on "
                        "ext4: some minutes")
    parser.add_argument("--runs", type=int, help="runs of each work (5; with --quick 1)")
    parser.add_argument("--peers", type=chosen_from(peers.ALL), help="of " + ", ".join(peers.ALL))
    parser.add_argument("--work", type=chosen_from(works.ALL), default=list(works.ALL), help="of " + ", ".join(works.ALL))
    parser.add_argument("--filesystem", type=chosen_from(FILESYSTEMS), help="of " + ", ".join(FILESYSTEMS))
    parser.add_argument("--out", type=pathlib.Path, help="a directory for JSON, Markdown and plots "
                        "(bench/results/local/TIME)")
    parser.add_argument("--continue", dest="continued", type=pathlib.Path, metavar="DIR", help="measures what the run "
                        "in DIR still lacks (with the arguments that it had), and adds it")
    parser.add_argument("--list", action="store_true", help="works and peers, and what they are")
    parser.add_argument("--report", type=pathlib.Path, metavar="JSON", help="Markdown and plots again from a JSON, "
                        "beside it")
    parser.add_argument("--into", type=pathlib.Path, metavar="FILE", help="with --report: the table also into this "
                        "Markdown file, between its markers")
    parser.add_argument("--self-check", action="store_true", help="do wrong results come out void?")
    arguments = parser.parse_args()
    if arguments.into and not arguments.report:
        parser.error("--into goes with --report")
    if arguments.runs is not None and arguments.runs < 1:
        parser.error("--runs: at least 1")
    arguments.sizes = BY_NAME["quick" if arguments.quick else "full"]
    arguments.runs = arguments.runs or (1 if arguments.quick else 5)
    arguments.peers = arguments.peers or (["repl", "lsyncd", "rsync"] if arguments.quick else list(peers.DEFAULT))
    arguments.filesystem = arguments.filesystem or (["ext4"] if arguments.quick else list(FILESYSTEMS))
    return arguments


def show_list(sizes):
    print("works:")
    for work in works.ALL.values():
        for title, _ in work(sizes).rows.values():
            print(f"  {work.name:10} {title}")
    print("peers:")
    for peer in peers.ALL.values():
        print(f"  {peer.name:15} {peer.title}")
    print("filesystems: " + ", ".join(FILESYSTEMS))


def require_space(chosen):
    """Nothing begins that the disk cannot hold: images are sparse, and both hosts' fill with the largest work."""
    where = tempfile.gettempdir()
    needed = SPARE_MIB + max(2 * arena.image_mib(work) for work in chosen)
    free = shutil.disk_usage(where).free >> 20
    if free < needed:
        sys.exit(f"bench: {where} has {free:,} MiB free, these works may need {needed:,} (TMPDIR chooses another place)")


def save(result, out):
    """After each cell, so that an interrupted run leaves what it had."""
    out.mkdir(parents=True, exist_ok=True)
    new = out / "results.json.new"
    new.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n")
    new.replace(out / "results.json")


def continued(arguments):
    """The result so far of a run that was interrupted; sets the arguments to those that it had. What is added must have
    been measured of the same programs."""
    before = report.load(arguments.continued / "results.json")
    for name, value in before["arguments"].items():
        setattr(arguments, name, value)
    arguments.sizes = BY_NAME[before["sizes"]["name"]]
    now = environment.record([peers.ALL[name] for name in arguments.peers], tempfile.gettempdir())
    for what in ("kernel", "cpu", "versions", "repl_sha256"):
        if before["environment"][what] != now[what]:
            sys.exit(f"bench: {arguments.continued} is of another {what}: {before['environment'][what]}, now {now[what]}")
    before["environment"].setdefault("continued", []).append({key: now[key] for key in ("date", "commit", "load_at_start")})
    return before


def measure(arguments, chosen, planned, result, out):
    clock = plan.Clock(planned, arguments.sizes.name)
    for number, cell in enumerate(planned, 1):
        where = f"[{number}/{len(planned)}] {cell.filesystem} {cell.work}, {cell.peer}, run {cell.run}"
        if sys.stdout.isatty():
            print(f"{where} … about {plan.span(clock.left_s())} left", end="\r", flush=True)
        work = chosen[cell.work]
        done = arena.run(cell, work, peers.ALL.get(cell.peer), arguments.sizes.cell_s)
        clock.done(cell, done["took_s"])
        for row, figures in done["rows"].items():
            by_peer = result["results"].setdefault(cell.filesystem, {}).setdefault(row, {})
            by_peer.setdefault(cell.peer, []).append(figures)
            if "void" in figures:
                result["void"].append(f"{cell.filesystem} {row}, {cell.peer}, run {cell.run}: {figures['void']}")
                for line in done.get("log", []):
                    print(f"     {line}", file=sys.stderr)
            else:
                result["proved"] += 1
        result["cells"].append([cell.filesystem, cell.work, cell.peer, cell.run, done["took_s"]])
        save(result, out)
        said = "; ".join(report.one_line(work.rows[row][1], figures) for row, figures in done["rows"].items())
        clear = "\33[K" if sys.stdout.isatty() else ""
        print(f"{clear}{where}: {said} ({done['took_s']:.0f} s; about {plan.span(clock.left_s())} left)", flush=True)


def main():
    arguments = arguments_given()
    if "BENCH_ARGUMENTS_ONLY" in os.environ:  # bench/run asks before it builds
        return 0
    if arguments.list:
        return show_list(arguments.sizes)
    if arguments.self_check:
        return self_check.main()
    if arguments.report:
        result = report.load(arguments.report)
        report.write(result, arguments.report.parent)
        if arguments.into:
            report.write_between_markers(result, arguments.report, arguments.into)
        return 0

    result = continued(arguments) if arguments.continued else None
    chosen = {name: works.ALL[name](arguments.sizes) for name in arguments.work}
    require_space(chosen.values())
    planned = plan.cells(arguments.filesystem, arguments.work, arguments.peers, arguments.runs)
    out = arguments.continued or arguments.out or LOCAL_RESULTS / time.strftime("%Y-%m-%d-%H%M%S")
    result = result or {
        "schema": report.SCHEMA, "environment": environment.record([peers.ALL[name] for name in arguments.peers],
                                                       tempfile.gettempdir()),
        "sizes": vars(arguments.sizes), "runs": arguments.runs,
        "arguments": {name: getattr(arguments, name) for name in ("work", "peers", "filesystem", "runs")},
        "peers": {name: peers.ALL[name].title for name in arguments.peers} | {"floor": "floor"},
        "rows": {row: {"title": title, "headline": headline} for work in chosen.values()
                 for row, (title, headline) in work.rows.items()},
        "results": {}, "proved": 0, "void": [], "cells": [], "complete": False}
    measured = {plan.Cell(*cell[:4]) for cell in result["cells"]}
    planned = [cell for cell in planned if cell not in measured]
    print("\n".join(f"{key}: {value}" for key, value in result["environment"].items()))
    print(f"{len(planned)} cells, {arguments.sizes.name} sizes, about "
          f"{plan.span(plan.Clock(planned, arguments.sizes.name).left_s())}; Ctrl-C keeps what was measured\n", flush=True)
    status = 0
    try:
        measure(arguments, chosen, planned, result, out)
        result["complete"] = True
    except KeyboardInterrupt:
        status = 130
    result["environment"]["load_at_end"] = environment.load()
    save(result, out)
    report.write(result, out)
    print("\n" + report.tables(result))
    print(f"{os.path.relpath(out)}: results.json, report.md, plots")
    if result["void"]:
        print(f"\n{len(result['void'])} VOID:", file=sys.stderr)
        print("\n".join("  " + line for line in result["void"]), file=sys.stderr)
    return status or (1 if result["void"] else 0)


if __name__ == "__main__":
    sys.exit(main())

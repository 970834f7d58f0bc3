"""One cell: one program (or the floor) at one work, once, on the hosts that arena.sh has just made. Writes
{"rows": {row: figures or {"void": why}}, "log": [...]} to BENCH_RESULT; what was proved before a fault stays."""
import json
import os
import pathlib
import subprocess
import time

import hosts
import judge
import peers
import stopwatch
import works
from works.base import BY_NAME


def measured(work, peer, rows):
    watch = stopwatch.Stopwatch(peer, peer.limit_s or work.sizes.limit_s)
    work.prepare()
    hosts.settle_disks()
    try:
        peer.start()
        for row, figures in work.measure(peer, watch):
            try:
                judge.require_equal(peer)
            except hosts.Void as void:
                if work.judged:
                    raise
                figures["unequal"] = str(void)
            rows[row] = figures
    finally:
        watch.cancel()


def floor(work, rows):
    work.prepare()
    hosts.settle_disks()
    for row, figures in work.floor():
        rows[row] = figures


def main():
    work = works.ALL[os.environ["BENCH_WORK"]](BY_NAME[os.environ["BENCH_SIZES"]])
    name = os.environ["BENCH_PEER"]
    began, result = time.monotonic(), {"rows": {}}
    try:
        if name == "floor":
            floor(work, result["rows"])
        else:
            peer = (peers.ALL | peers.CANARIES)[name]
            peer.compress = work.compress
            measured(work, peer, result["rows"])
    except (hosts.Void, OSError, subprocess.SubprocessError) as error:
        detail = (getattr(error, "stderr", None) or "").strip()
        why = f"{error} {detail}".strip()
        for row in work.rows:
            result["rows"].setdefault(row, {"void": why})
        result["log"] = hosts.log_tail()
    result["took_s"] = round(time.monotonic() - began, 1)
    pathlib.Path(os.environ["BENCH_RESULT"]).write_text(json.dumps(result))


if __name__ == "__main__":
    main()

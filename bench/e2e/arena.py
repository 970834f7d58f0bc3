"""Runs one cell in an arena of its own (arena.sh): whatever happens in it, its processes, mounts and links end with it."""
import json
import os
import pathlib
import signal
import subprocess
import tempfile
import time

SCRIPT = pathlib.Path(__file__).with_name("arena.sh")
IMAGE_MIB_MIN = 512


def image_mib(work):
    return max(IMAGE_MIB_MIN, work.disk_mib())


def run(cell, work, peer, cell_s):
    """{"rows": ..., "took_s": ...}; a cell that hangs or breaks is void, with the reason. `peer`: None for the floor."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="repl-bench.") as scratch:
        result, said = pathlib.Path(scratch, "result.json"), pathlib.Path(scratch, "said")
        environment = os.environ | {
            "BENCH_FILESYSTEM": cell.filesystem, "BENCH_MIB": str(image_mib(work)), "BENCH_WIRE": work.wire,
            "BENCH_SSH": "1" if peer and peer.ssh else "", "BENCH_WORK": cell.work, "BENCH_PEER": cell.peer,
            "BENCH_SIZES": work.sizes.name, "BENCH_RESULT": str(result), "QUIET": "1"}
        with open(said, "wb") as output:
            process = subprocess.Popen(["setpriv", "--pdeathsig", "TERM", "bash", SCRIPT], env=environment,
                                       stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True)
            why = _ended(process, cell_s)
        if result.exists():
            found = json.loads(result.read_text())
        else:
            last = said.read_text(errors="replace").strip().splitlines()[-6:]
            why = why or f"the cell failed, status {process.returncode}"
            found = {"rows": {row: {"void": why} for row in work.rows}, "log": last}
    return found | {"took_s": round(time.monotonic() - began, 1)}


def _ended(process, cell_s):
    """Why it did not end by itself, or an empty string."""
    try:
        process.wait(cell_s)
        return ""
    except subprocess.TimeoutExpired:
        return f"hung: not done within {cell_s} s"
    finally:
        # After an interrupt, too. TERM ends the arena and removes its images.
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            process.wait()

"""What the processes of a host cost: CPU time, memory. A process belongs to the host in whose network namespace it is,
so children, rsync's and sshd's too, count wherever they hang; what the harness itself runs there is left out.

CPU time is user + system time of the live processes and of the children that they have waited for. Memory is the sum of
VmHWM over the live processes, sampled; its maximum is kept. Pages that two processes share count twice, and a process
that lives less than a sample may be missed. The kernel's own threads are in neither.

As a program (`meter.py HOLDER_A HOLDER_B`): samples memory until its stdin ends, then prints {"A": bytes, "B": bytes}.
A process of its own, because a thread would take its turns from whoever times the change."""
import json
import os
import pathlib
import select
import sys

import hosts

TICKS = os.sysconf("SC_CLK_TCK")
SAMPLE_S = 0.05
_observers = {}  # (pid, start time) → bool


def _network(pid):
    try:
        return os.readlink(f"/proc/{pid}/ns/net")
    except OSError:
        return None


def _stat(pid):
    """The fields of /proc/PID/stat from the third on, or None."""
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except (OSError, IndexError):
        return None


def _observer(pid, stat):
    key = (pid, stat[19])
    if key not in _observers:
        try:
            _observers[key] = hosts.OBSERVER.encode() + b"=" in pathlib.Path(f"/proc/{pid}/environ").read_bytes()
        except OSError:
            return True
    return _observers[key]


def processes(holder):
    """{pid: stat} of what is measured on the host of this holder."""
    network = _network(holder)
    found = {}
    for name in os.listdir("/proc"):
        if not name.isdigit() or name == str(holder) or _network(name) != network:
            continue
        stat = _stat(name)
        if stat and stat[0] != "Z" and not _observer(name, stat):
            found[int(name)] = stat
    return found


def cpu_seconds(holder):
    return sum(int(field) for stat in processes(holder).values() for field in stat[11:15]) / TICKS


def _high_water(pid):
    try:
        for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 0


def reset_high_water(holder):
    for pid in processes(holder):
        try:
            pathlib.Path(f"/proc/{pid}/clear_refs").write_text("5")
        except OSError:
            pass


def main():
    holders = dict(zip("AB", sys.argv[1:]))
    peak = dict.fromkeys(holders, 0)
    print("up", flush=True)
    ended = False
    while True:
        for host, holder in holders.items():
            peak[host] = max(peak[host], sum(_high_water(pid) for pid in processes(holder)))
        if ended:  # and so looked at once more since
            break
        ended = bool(select.select([sys.stdin], [], [], SAMPLE_S)[0])
    print(json.dumps(peak))


if __name__ == "__main__":
    main()

"""The cells of a run in their order, and how long they may take."""
import dataclasses

# Seconds of a cell as a first guess, by size; what has been measured in this run replaces it.
GUESS_S = {
    "full": {"latency": 30, "storm": 15, "edits": 16, "insert": 15, "append": 17, "rename": 9, "delete": 8,
             "restart": 40, "text": 40, "far": 10, "git": 35},
    "quick": {"latency": 15, "storm": 10, "edits": 14, "insert": 10, "append": 12, "rename": 10, "delete": 10,
              "restart": 15, "text": 15, "far": 12, "git": 16},
    "tiny": {},
}


@dataclasses.dataclass(frozen=True)
class Cell:
    filesystem: str
    work: str
    peer: str
    run: int


def cells(filesystems, works, peers, runs):
    """Each run goes through everything, so that what an interrupted one has is alike for all, and a noisy hour does not
    meet one work alone. The programs at one work follow each other; the floor is measured beside them, as one more."""
    return [Cell(filesystem, work, peer, run) for run in range(1, runs + 1) for filesystem in filesystems
            for work in works for peer in (*peers, "floor")]


class Clock:
    def __init__(self, planned, size):
        self._left = list(planned)
        self._size = size
        self._took = {}

    def done(self, cell, seconds):
        self._left.remove(cell)
        self._took.setdefault((cell.work, cell.peer), []).append(seconds)

    def _expected_s(self, cell):
        took = self._took.get((cell.work, cell.peer))
        if took:
            return sum(took) / len(took)
        return GUESS_S[self._size].get(cell.work, 8)

    def left_s(self):
        return sum(self._expected_s(cell) for cell in self._left)


def span(seconds):
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"

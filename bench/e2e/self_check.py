"""Can the harness fail? Programs that are wrong in known ways must come out void, and what is right must not."""
import peers
import plan
import arena
import works
from works.base import BY_NAME

STUCK_CELL_S = 6
# (peer, row → what the reason must contain; None: it counts)
EXPECTED = (("rsync-once", None), ("repl", None), ("floor", None), ("canary", "trees differ"),
            ("canary-late", "not there within"), ("canary-stuck", "hung"))


def main():
    work = works.ALL["storm"](BY_NAME["tiny"])
    wrong = 0
    for name, reason in EXPECTED:
        cell = plan.Cell("ext4", work.name, name, 1)
        limit_s = STUCK_CELL_S if name == "canary-stuck" else work.sizes.cell_s
        done = arena.run(cell, work, (peers.ALL | peers.CANARIES).get(name), limit_s)
        void = done["rows"]["storm"].get("void")
        good = void is None if reason is None else void is not None and reason in void
        wrong += not good
        print(f"{'ok  ' if good else 'WRONG'} {name}: {void or 'counts'} ({done['took_s']} s)", flush=True)
        if not good:
            print("\n".join("     " + line for line in done.get("log", [])))
    print("self-check: " + ("a wrong result is void" if not wrong else f"{wrong} WRONG"))
    return 1 if wrong else 0

"""The proof of equality, by programs that are none of those measured: no number counts without it."""
import os
import subprocess
import time

import hosts

TREECMP = os.environ.get("BENCH_TREECMP", "treecmp")
STAGING = ".repl-staging"
ATTEMPTS = 3


def differences(exact):
    """What the judges see. `exact`: also to the nanosecond, with directories' times, hard links, ACLs and attributes
    (rsync itself, and so lsyncd, leaves a time alone when the second is the same; lsyncd over ssh renames with mv, which
    leaves the parents' times). xfs shows its ACLs a second time as attributes."""
    a, b = f"{hosts.tree('A')}/", f"{hosts.tree('B')}/"
    kinds = ["-aHAX", "--filter=-x trusted.SGI_ACL_*"] if exact else ["-a", "--omit-dir-times"]
    seen = subprocess.run(["rsync", "-n", *kinds, "--delete", "--checksum", "--itemize-changes", "--exclude",
                           "/" + STAGING, a, b], capture_output=True, text=True)
    text = seen.stdout + seen.stderr
    if exact and not text:
        compared = subprocess.run([TREECMP, "--exclude", STAGING, a, b], capture_output=True, text=True)
        text = compared.stdout + compared.stderr
    return text


def require_equal(peer):
    """Attributes of directories may come a moment after their contents, so a difference gets some patience."""
    for attempt in range(ATTEMPTS):
        text = differences(peer.exact)
        if not text:
            return
        if attempt + 1 < ATTEMPTS:
            time.sleep(peer.patience_s)
    lines = text.splitlines()
    raise hosts.Void(f"trees differ ({len(lines)}): " + " | ".join(lines[:3]))

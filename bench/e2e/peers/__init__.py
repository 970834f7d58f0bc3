"""The programs that are compared, each at its documented settings for speed."""
from peers import canary, lsyncd, repl, rsync

_ALL = [repl.Repl(), repl.ReplSsh(), lsyncd.Lsyncd("lsyncd-stock", 15), lsyncd.Lsyncd("lsyncd", 1),
        lsyncd.Lsyncd("lsyncd-0", 0), lsyncd.LsyncdSsh(), rsync.Loop(), rsync.Once(), rsync.OnceSsh()]
CANARIES = {peer.name: peer for peer in (canary.Canary(), canary.Late(), canary.Stuck())}
ALL = {peer.name: peer for peer in _ALL}
DEFAULT = ("repl", "lsyncd-stock", "lsyncd", "lsyncd-0", "lsyncd-ssh", "rsync", "rsync-once", "rsync-once-ssh")

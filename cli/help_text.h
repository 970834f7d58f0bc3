// help_text.h: the examples below each --help.
#pragma once

namespace repl::cli::help {

inline constexpr const char* top = R"(Examples:
  repl mirror /srv/data backup:/srv/data     a live copy over ssh; nothing to configure
  repl mirror --once --delete a/ b/          make b the same as a, and end
  repl run idm                               the daemon of a tree of /etc/repl/repl.toml
  repl status                                how far each peer is
  repl wait idm --timeout 10 && reboot       everything written so far is safe elsewhere
  repl switchover --to mgmt2                 the other node becomes the primary
  repl promote                               on the other node: the primary is lost
  repl catchup --from mgmt2                  back after a repair: see, agree, proof

Exit status: 0 success, 1 failed or different, 2 wrong command line or configuration,
3 held (a person must decide), 4 a peer is away, 5 timeout, 6 equal but for what is held,
7 no daemon runs, 8 not permitted. `repl role` has its own.
See repl(1) and repl.toml(5).)";

inline constexpr const char* mirror = R"(Filter rules are rsync's, the first that matches decides.
A trailing '/' of SRC or DST makes no difference: DST becomes what SRC is.

Examples:
  repl mirror /srv/www web2:/srv/www --exclude '*.tmp' --exclude /cache/
  repl mirror --once --delete --bwlimit 10M /home backup:/home
  repl mirror /etc/hosts node7:/etc/hosts)";

inline constexpr const char* run = R"(Usually started by systemd: systemctl enable --now repl@TREE

Example:
  repl run idm salt)";

inline constexpr const char* status =
    R"(Exit status: 0 running and nothing held, 3 something is held, 7 a daemon does not run.

Examples:
  repl status idm --watch
  repl status --json | jq -r '.peers[] | [.name, .lag_seconds] | @tsv')";

inline constexpr const char* verify =
    R"(Without options the indexes of both sides are compared, which is fast and proves that what
repl last saw is equal; --full reads all bytes on both sides first; --sha256 does that, too, and
is a proof even against somebody who can construct hash collisions: one digest of the whole
tree on both sides, taken while it holds still. What is held cannot be proved.

Exit status: 0 equal, 1 different, or it keeps changing, 6 equal but for held paths (with
--sha256: 3), 4 a peer is away.)";

inline constexpr const char* wait =
    R"(received: the peer has it in memory. applied: it is visible there. durable: it is on disk
there, and survives a power failure.

Exit status: 0 done, 3 held, 4 a peer is away (and not --wait-for-peers), 5 timeout.)";

inline constexpr const char* approve =
    R"(On a secondary some paths were changed locally, so repl holds the primary's versions back
(`repl status` lists them). This lets the primary's versions in; the local ones are kept aside.
On the primary it means removals that are held (max_delete, an emptied root): the peers follow.

Example:
  repl approve idm)";

inline constexpr const char* role =
    R"(Primary counts only if the node has shown since it booted that it is current, or was promoted
since. Whatever is not certain, a daemon that does not answer too, is "neither". A secondary
that prints "diverged" has changes that no other node has: `repl status` names the command.

Exit status: 0 primary, 1 secondary, 2 neither.

Example:
  repl role idm >/dev/null && start-the-writers)";

inline constexpr const char* promote =
    R"(For when the primary is lost: every peer that can be reached is asked first. It is refused if
a primary is alive, if another node is further ahead (it is named), or if this node is not at a
whole cut (a first sync or a catch-up is under way). --force does it nevertheless: what only
others have is then not touched there when they come back, and `repl catchup` keeps it aside. If
both nodes are alive, `repl switchover` moves the role and loses nothing.

Exit status: 0 primary now, 3 refused (the reason says what to do), 7 no daemon runs.

Examples:
  repl promote idm --dry-run
  repl promote                     all trees of this node)";

inline constexpr const char* demote =
    R"(Afterwards no node is the primary until one is promoted. What was not sent yet stays here and
is told. To make another node the primary at once: `repl switchover`.

Example:
  repl demote idm)";

inline constexpr const char* switchover =
    R"(On the primary. on_demote of repl.toml stops the writers, what they wrote is sent, and NODE
becomes the primary at exactly that state. If a step fails, this node stays the primary or
becomes it again. on_demote must stop the writers, or you do; with guard = true the switchover
fails while one of them has a file open, and names it.

Exit status: 0 NODE is the primary, 1 failed after it had begun, 3 refused (the reason says what
to do), 5 the daemon did not say how it ended (`repl role` does), 7 no daemon runs.

Examples:
  repl switchover idm --to mgmt2 --dry-run
  repl switchover --to mgmt2       all trees that mgmt2 has, too)";

inline constexpr const char* catchup =
    R"(For a node that was away while another was the primary, that was written to, or that lost its
state; the daemon runs meanwhile. It shows what would change here ("deleted": NODE does not have
it), asks, does it, and proves that both are equal. Versions that only this node has are kept
aside before they are replaced: `repl diverged list TREE`. If it is interrupted, run it again: it
goes on where it stopped. A tree that is in sync is only verified, without a question.

Exit status: 0 every tree is verified, 1 one is not, 2 nobody was there to agree (--yes), 3 held,
4 NODE is away, 7 no daemon runs. With --dry-run: 0 if the plans could be made.

Examples:
  repl catchup --from mgmt2 --dry-run
  repl catchup --from mgmt2 idm
  repl catchup --from mgmt2 --yes --certificate /root/after-the-repair.json)";

inline constexpr const char* diff =
    R"(Lists what would have to change here to be as the peer is: new (only the peer has it), changed,
attributes (the content is equal), deleted (only this node has it). Nothing is changed. Paths
that are held because somebody changed them here are in `repl status` instead.

Exit status: 0 equal, 1 different, 4 the peer is away, 7 no daemon runs.

Examples:
  repl diff idm
  repl diff idm --peer mgmt2 --json | jq -r '.items[].path')";

inline constexpr const char* pause =
    R"(While it is paused, changes are remembered and nothing is sent or applied, also after a
restart. `repl resume` ends that.

Examples:
  repl pause idm
  repl resume idm)";

inline constexpr const char* diverged =
    R"(When a node catches up with another, what only it had is kept in a store before it is replaced.
PATH is relative to the root of the tree and means all below it, too.
restore needs this node to be the primary for the tree, or --to DIR, which must exist.

Examples:
  repl diverged list idm
  repl diverged diff idm passwd.d
  repl diverged restore idm passwd.d/web.conf --replace
  repl diverged restore idm --all --to /root/kept
  repl diverged discard idm --all --id 20270115T080000Z

Exit status: 0 done, 1 failed, damaged, or something is in the way, 2 wrong command line, or
nobody to confirm, 7 no daemon to ask for the role, 8 this node is not the primary.)";

inline constexpr const char* doctor =
    R"(Exit status: 0 replication is possible, 1 something makes it impossible; it says what to do.)";

inline constexpr const char* config_check =
    R"(Reads the configuration as the daemon would, and says which of its nodes this is.

Exit status: 0 it is right, 2 it is not.)";

inline constexpr const char* fingerprint =
    R"(It goes into [node.NAME] of repl.toml on every node. `repl keygen` makes the key.)";

inline constexpr const char* keygen =
    R"(Writes an Ed25519 key (STATE-DIR/identity.key, mode 0600) and its self-signed certificate
(STATE-DIR/identity.crt), and prints the key's fingerprint, which goes into every node's
repl.toml. An existing key is never replaced: move it away first.)";

}  // namespace repl::cli::help

// help_text.h: the examples below each --help.
#pragma once

namespace repl::cli::help {

inline constexpr const char* top = R"(Examples:
  repl mirror /srv/data backup:/srv/data     a live copy over ssh; nothing to configure
  repl mirror --once --delete a/ b/          make b the same as a, and end
  repl run idm                               the daemon of a tree of /etc/repl/repl.toml
  repl status                                how far each peer is
  repl wait idm --timeout 10 && reboot       everything written so far is safe elsewhere

Exit status: 0 success, 1 failed or different, 2 wrong command line or configuration,
3 held (a person must decide), 4 a peer is away, 5 timeout, 6 equal but for what is held,
7 no daemon runs, 8 not permitted.
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
(`repl status` lists them). This lets the primary's versions in; the local ones are kept aside.)";

inline constexpr const char* diverged =
    R"(When a node that was primary catches up with another, what only it had is kept in a store
before it is replaced. PATH is relative to the root of the tree and means all below it, too.
restore needs this node to be the primary for the tree, or --to DIR.

Examples:
  repl diverged list idm
  repl diverged diff idm passwd.d
  repl diverged restore idm passwd.d/web.conf --replace
  repl diverged restore idm --all --to /root/kept
  repl diverged discard idm --all --id 20270115T080000Z

Exit status: 0 done, 1 failed, damaged, or something is in the way, 2 wrong command line, or
nobody to confirm, 7 no daemon to ask for the role, 8 this node is not the primary.)";

inline constexpr const char* keygen =
    R"(Writes an Ed25519 key (STATE-DIR/identity.key, mode 0600) and its self-signed certificate
(STATE-DIR/identity.crt), and prints the key's fingerprint, which goes into every node's
repl.toml. An existing key is never replaced: move it away first.)";

}  // namespace repl::cli::help

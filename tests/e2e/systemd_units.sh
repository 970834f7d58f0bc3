#!/bin/bash
# The units as they would be installed: systemd-analyze, sysusers and tmpfiles find nothing to complain about, and
# every hardening directive says why. No daemon is started. Usage: [REPL_BUILD=directory] systemd_units.sh [binary]
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
repl=${1:-${REPL_BUILD:+$REPL_BUILD/cli/repl}}
repl=${repl:-/bin/true}
work=$(mktemp -d /tmp/repl_units.XXXXXX)
trap 'rm -rf "$work"' EXIT

fail() { echo "systemd_units: $*" >&2; exit 1; }

# verify wants the programs to exist: the unit is checked with this build's path in place of the installed one.
sed "s|/usr/bin/repl|$repl|" "$root/systemd/repl@.service" > "$work/repl@.service"
cp "$work/repl@.service" "$work/repl@idm.service"
# Man pages are not installed where the test runs; everything else counts, and all of it comes on stderr.
if ! systemd-analyze verify --man=no "$work/repl@idm.service" > "$work/out" 2> "$work/err"; then
  cat "$work/err" >&2
  fail "systemd-analyze verify failed"
fi
if grep -F "$work" "$work/err" >&2; then fail "systemd-analyze verify complained"; fi

# A canary: the check must see a directive that does not exist.
sed 's/^Type=notify/Tipe=notify/' "$work/repl@idm.service" > "$work/canary@x.service"
systemd-analyze verify --man=no "$work/canary@x.service" > /dev/null 2> "$work/err" || true
grep -q Tipe "$work/err" || fail "the check sees nothing"

mkdir -p "$work/root/etc"
touch "$work/root/etc/passwd" "$work/root/etc/group"
systemd-sysusers --root="$work/root" --replace=/usr/lib/sysusers.d/repl.conf "$root/systemd/repl.sysusers" ||
  fail "sysusers"
grep -q '^repl:' "$work/root/etc/group" || fail "no group repl"
systemd-tmpfiles --root="$work/root" --create "$root/systemd/repl.tmpfiles" || fail "tmpfiles"
[ "$(stat -c %a "$work/root/var/lib/repl")" = 700 ] || fail "mode of /var/lib/repl"
[ "$(stat -c %a "$work/root/run/repl")" = 755 ] || fail "mode of /run/repl"

# A start that always fails must reach the start limit: burst × pause within the interval.
awk -F= '/^StartLimitIntervalSec=/{i=$2} /^StartLimitBurst=/{b=$2} /^RestartSec=/{r=$2}
     END{exit !(i > 0 && b > 0 && b * (r + 1) < i)}' "$root/systemd/repl@.service" || fail "a broken config is restarted for ever"

# Every directive of the [Service] sandbox says why, in a comment above it.
awk '/^\[Service\]/{s=1} /^\[Install\]/{s=0}
     s && /^(Capability|NoNew|Restrict[ARN]|MemoryDeny|Lock|SystemCall)/ {
       if (previous !~ /^(#|SystemCall|Restart)/ && $0 !~ /^Restart/) { print "no reason above: " $0; bad=1 } }
     {previous=$0} END{exit bad}' "$root/systemd/repl@.service" >&2 || fail "undocumented hardening"

if [ "$repl" != /bin/true ]; then
  for file in "$root"/docs/examples/*.toml; do
    "$repl" config check --config "$file" --node mgmt1 || fail "example $file"
  done
fi
echo "systemd_units: ok"

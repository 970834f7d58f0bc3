#!/usr/bin/env python3
"""Programs that order their own writes, and judges of what a replica shows of them.

    ordered_writers.py write WRITER TREE LEDGER STOP SEED   until the file STOP exists; prints how much was done
    ordered_writers.py judge WRITER COPY LEDGER TREE        of a copy of a replica's tree; prints what it is, or what is
                                                            broken (status 1). --moment: it must be a state of the
                                                            primary
    ordered_writers.py spoil WRITER COPY                    takes away something that the judge must miss

LEDGER says what the writer was about to make visible, before it did: what a tree shows that is not there nobody wrote.
Writers: git, strict_git, chain, strict_chain, dpkg, sqlite_rollback, sqlite_wal, large_sqlite_rollback, large_sqlite_wal."""
import argparse
import hashlib
import os
import random
import sqlite3
import sys
import time

from git_repository import fault, git

KIB = 1 << 10
UNFINISHED = (".tmp", "-new")  # ends of names that nobody relies on


class Broken(Exception):
    pass


def digest_of(data):
    return hashlib.sha256(data).hexdigest()[:32]


class Files:
    """What a writer makes visible, one step at a time, each in the ledger."""

    def __init__(self, root, ledger):
        self.root = root
        self._ledger = open(ledger, "a", encoding="utf-8", buffering=1)

    def path(self, name):
        return os.path.join(self.root, name)

    def note(self, line):
        self._ledger.write(line + "\n")

    def replace(self, name, data, suffix=".tmp", sync=False):
        """Written beside, then renamed over."""
        temporary = self.path(name) + suffix
        with open(temporary, "wb", buffering=0) as f:
            for at in range(0, len(data), 64 * KIB):
                f.write(data[at:at + 64 * KIB])
            if sync:
                os.fsync(f.fileno())
        self.note(f"put {name} {digest_of(data)}")
        os.rename(temporary, self.path(name))

    def link(self, name, to, digest):
        self.note(f"put {to} {digest}")
        os.link(self.path(name), self.path(to))

    def remove(self, name):
        self.note(f"gone {name}")
        os.unlink(self.path(name))


def seen(copy):
    """{name: digest} of what is visible."""
    found = {}
    for path, dirs, names in os.walk(copy):
        dirs[:] = [d for d in dirs if d != ".repl-staging"]
        for name in names:
            if not name.endswith(UNFINISHED):
                full = os.path.join(path, name)
                with open(full, "rb") as f:
                    found[os.path.relpath(full, copy)] = digest_of(f.read())
    return found


def moment(found, ledger):
    """The step after which the writer's tree was this, or Broken with how near it came."""
    shown, differ, nearest = {}, set(found), (len(found) + 1, 0, [])
    if not found:
        return 0
    with open(ledger, encoding="utf-8") as lines:
        for step, line in enumerate(lines, 1):
            verb, name, *digest = line.split()
            if verb == "put":
                shown[name] = digest[0]
            else:
                shown.pop(name, None)
            (differ.discard if found.get(name) == shown.get(name) else differ.add)(name)
            if len(differ) < nearest[0]:
                nearest = (len(differ), step, sorted(differ)[:5])
            if not differ:
                return step
    raise Broken(f"never a state of the primary: {nearest[0]} files are not as they were at step {nearest[1]}: {nearest[2]}")


class Chain:
    """File n names the digest of file n-1 and of what lies in directories that were made for it; `head` names the
    newest, `tail` the oldest, before those behind it go."""
    kept = 150
    sizes = (100, 100, 1000, 1000, 1000, 30_000)
    pause_s = 0.03

    def __init__(self, rng, root, ledger):
        self._rng, self._files = rng, Files(root, ledger)
        self._links = []  # (name, digest, directory of a burst or None)
        self._number = 0
        for i in range(8):
            os.mkdir(self._files.path(f"d{i}"))

    def step(self):
        self._number += 1
        rng, number = self._rng, self._number
        names = [] if not self._links else [self._links[-1][:2]]
        burst = self._burst() if rng.random() < 0.05 else None
        names += burst or []
        size = rng.choice(self.sizes)
        lines = [f"link {number}"] + [f"names {name} {digest}" for name, digest in names]
        data = ("\n".join(lines) + "\n").encode() + rng.randbytes(size)
        name = f"d{number % 8}/{number:06d}"
        self._files.replace(name, data, sync=rng.random() < 0.1)
        self._links.append((name, digest_of(data), burst))
        self._files.replace("head", f"{number} {name} {digest_of(data)}\n".encode())
        if len(self._links) > self.kept:
            self._forget()
        if rng.random() < 0.8:
            time.sleep(rng.random() * self.pause_s)
        if rng.random() < 0.003:
            time.sleep(rng.random() * 2)

    def _burst(self):
        made, top = [], f"b{self._number:06d}"
        for i in range(self._rng.randrange(1, 5)):
            directory = f"{top}/{i}/deep"
            os.makedirs(self._files.path(directory))
            for j in range(self._rng.randrange(1, 40)):
                data = self._rng.randbytes(self._rng.randrange(3000))
                self._files.replace(f"{directory}/{j}", data)
                made.append((f"{directory}/{j}", digest_of(data)))
        return made

    def _forget(self):
        gone = self._links[:20]
        del self._links[:20]
        self._files.replace("tail", (self._links[0][0] + "\n").encode())
        for name, _, burst in gone:
            self._files.remove(name)
            for inner, _ in burst or []:
                self._files.remove(inner)
            for inner, _ in burst or []:
                try:
                    os.removedirs(os.path.dirname(self._files.path(inner)))
                except OSError:
                    pass

    def done(self):
        return f"{self._number} links"

    @staticmethod
    def judge(found, copy):
        links = {int(name.rsplit("/", 1)[1]): name for name in found if name[0] == "d"}
        if not links:
            if "head" in found or "tail" in found:
                raise Broken("a head without a chain")
            return "no link yet"
        oldest = 1
        if "tail" in found:
            with open(os.path.join(copy, "tail"), encoding="utf-8") as f:
                oldest = int(f.read().split()[0].rsplit("/", 1)[1])
        newest = max(links)
        if "head" in found:
            with open(os.path.join(copy, "head"), encoding="utf-8") as f:
                number, name, digest = f.read().split()
            if found.get(name) != digest:
                raise Broken(f"head names {name}, which is {'another' if name in found else 'not there'}; the newest is {newest}")
            newest = max(newest, int(number))
        for number in range(newest, oldest - 1, -1):
            if number not in links:
                raise Broken(f"link {number} is missing in {oldest}..{newest}")
            with open(os.path.join(copy, links[number]), "rb") as f:
                lines = f.read().split(b"\n")
            for line in lines[1:]:
                word = line.split(b" ")
                if word[0] != b"names" or len(word) != 3:
                    break
                name = word[1].decode()
                if number == oldest and name[0] == "d":
                    continue
                if found.get(name) != word[2].decode():
                    raise Broken(f"link {number} names {name}, which is {'another' if name in found else 'not there'}")
        return f"links {oldest}..{newest}"

    @staticmethod
    def spoil(copy):
        links = sorted((name for name in seen(copy) if name[0] == "d"), key=lambda name: name[3:])
        os.unlink(os.path.join(copy, links[len(links) // 2]))


class LargeChain(Chain):
    """With links that travel in pieces."""
    kept = 40
    sizes = (100, 100, 1000, 1000, 9000, 300_000, 900_000)
    pause_s = 0.6


class Dpkg:
    """A database of what is installed: the lists of a package are there before `status` names them, and go after."""

    def __init__(self, rng, root, ledger):
        self._rng, self._files = rng, Files(root, ledger)
        self._packages = {}  # name: [(list, size, digest)]
        self._commits = self._version = 0
        self._status = None
        os.mkdir(self._files.path("info"))

    def step(self):
        rng, stale = self._rng, []
        for package in rng.sample(range(120), rng.choice((1, 1, 2, 20))):
            lists = self._packages.pop(package, [])
            stale += lists
            if lists and rng.random() < 0.15:
                continue
            self._version += 1
            self._packages[package] = [self._write_list(f"info/package{package}:{self._version}.{kind}")
                                       for kind in ("list", "md5sums")]
        lines = [f"{name} {size} {digest}" for lists in self._packages.values() for name, size, digest in lists]
        self._commits += 1
        data = f"commit {self._commits} {len(lines)}\n".encode() + "".join(line + "\n" for line in lines).encode()
        if self._status:
            if self._commits > 2:
                self._files.remove("status-old")
            self._files.link("status", "status-old", self._status)
        self._files.replace("status", data, suffix="-new", sync=True)
        self._status = digest_of(data)
        for name, _, _ in stale:
            self._files.remove(name)
        time.sleep(rng.random() * 0.05)

    def _write_list(self, name):
        rng = self._rng
        data = rng.randbytes(rng.choice((300_000, 700_000)) if rng.random() < 0.004 else rng.randrange(4000))
        self._files.replace(name, data, suffix=".dpkg-new", sync=True)
        return name, len(data), digest_of(data)

    def done(self):
        return f"{self._commits} commits"

    @staticmethod
    def judge(found, copy):
        if "status" not in found:
            return "no status yet"
        with open(os.path.join(copy, "status"), encoding="utf-8") as f:
            head, *lines = f.read().splitlines()
        _, commit, count = head.split()
        if len(lines) != int(count):
            raise Broken(f"status has {len(lines)} lines, not {count}")
        for line in lines:
            name, size, digest = line.split()
            if found.get(name) != digest or os.path.getsize(os.path.join(copy, name)) != int(size):
                raise Broken(f"status of commit {commit} names {name}, which is {'another' if name in found else 'not there'}")
        return f"commit {commit}, {count} lists"

    @staticmethod
    def spoil(copy):
        with open(os.path.join(copy, "status"), encoding="utf-8") as f:
            named = f.read().splitlines()[1].split()[0]
        with open(os.path.join(copy, named), "ab") as f:
            f.write(b"!")


class Git:
    """Commits, branches that come, move and go, repacks and `git gc --prune=now`; blobs that do not compress."""

    def __init__(self, rng, root, ledger):
        self._rng = rng
        self._repository = os.path.join(root, "repository")
        self._commits = self._number = 0
        os.mkdir(self._repository)
        self._git("init", "-q", "-b", "main")
        self._git("config", "gc.auto", "0")
        self._commit()

    def _git(self, *arguments, data=None):
        done = git(self._repository, *arguments, data=data)
        if done.returncode:
            sys.exit(f"git {arguments}: {done.stderr}")
        return done.stdout if isinstance(done.stdout, str) else done.stdout.decode()

    def _commit(self):
        self._commits += 1
        for _ in range(3):
            directory = os.path.join(self._repository, f"sub{self._rng.randrange(5)}")
            os.makedirs(directory, exist_ok=True)
            with open(f"{directory}/file{self._rng.randrange(12)}", "w", encoding="utf-8") as f:
                f.write(f"{self._commits} {self._rng.random()}\n" * 30)
        if self._rng.random() < 0.03:
            with open(f"{self._repository}/big", "wb") as f:
                f.write(self._rng.randbytes(self._rng.randrange(50 * KIB, 400 * KIB)))
        self._git("add", "-A")
        self._git("commit", "-q", "-m", f"change {self._commits}")

    def _side(self):
        """A branch of one commit with megabytes: what it was before is garbage then."""
        blob = self._git("hash-object", "-w", "--stdin", data=self._rng.randbytes(self._rng.randrange(1 << 20, 4 << 20))).strip()
        tree = self._git("mktree", data=f"100644 blob {blob}\tlarge\n").strip()
        commit = self._git("commit-tree", "-m", "large", tree).strip()
        self._git("update-ref", f"refs/heads/side{self._rng.randrange(2)}", commit)

    def step(self):
        self._number += 1
        draw = self._rng.random()
        if draw < 0.80:
            self._commit()
        elif draw < 0.90:
            self._git("branch", "-f", f"b{self._rng.randrange(20)}", "main")
            self._git("tag", "-f", f"t{self._rng.randrange(20)}", "main")
        elif draw < 0.96:
            doomed = f"b{self._rng.randrange(20)}"
            git(self._repository, "branch", "-q", "-D", doomed)
        elif draw < 0.97:
            self._side()
        elif draw < 0.99:
            self._git("repack", "-q", *(["-a", "-d"] if self._rng.random() < 0.2 else ["-d"]))
        else:
            self._git("-c", "gc.reflogExpire=now", "-c", "gc.reflogExpireUnreachable=now", "gc", "-q", "--prune=now")
        time.sleep(self._rng.random() * 0.1 if self._rng.random() < 0.98 else self._rng.random() * 4)

    def done(self):
        return f"{self._commits} commits, {self._number} steps"

    @staticmethod
    def judge(copy, tree):
        repository, primary = os.path.join(copy, "repository"), os.path.join(tree, "repository")
        if not os.path.exists(repository):
            return "no repository yet"
        if git(repository, "rev-parse", "--verify", "--quiet", "HEAD").returncode:
            if os.path.exists(os.path.join(repository, ".git/logs/HEAD")):
                raise Broken("HEAD leads to nothing")
            return "no commit yet"
        if broken := fault(repository):
            raise Broken(broken)
        head = git(repository, "log", "-1", "--format=%H %s").stdout.split()
        if git(primary, "merge-base", "--is-ancestor", head[0], "main").returncode:
            raise Broken(f"HEAD is {head[0]}, which the primary's never was")
        count = int(git(repository, "rev-list", "--count", "HEAD").stdout)
        if count != int(head[2]):
            raise Broken(f"HEAD is change {head[2]}, with a history of {count}")
        size = sum(os.path.getsize(e) for e in os.scandir(f"{repository}/.git/objects/pack")) >> 10
        return f"change {head[2]}, {size} KiB of packs"

    @staticmethod
    def spoil(copy):
        repository = os.path.join(copy, "repository")
        git(repository, "repack", "-q", "-d")
        packs = f"{repository}/.git/objects/pack"
        os.unlink(max((e for e in os.scandir(packs) if e.name.endswith(".pack")), key=lambda e: e.stat().st_size))


class Sqlite:
    """A steady stream of transactions: each adds the next number and puts it into a ring of blobs."""
    ring = 60
    blob = 1000

    def __init__(self, rng, root, ledger, journal_modes):
        self._rng, self._files = rng, Files(root, ledger)
        self._base = sqlite3.connect(self._files.path("base"), isolation_level=None)
        for mode in journal_modes:
            self._base.execute(f"pragma journal_mode={mode}")
        self._base.execute("pragma wal_autocheckpoint=50")
        self._base.execute("create table numbers (n integer primary key)")
        self._base.execute("create table ring (slot integer primary key, n integer, blob)")
        self._number = 0

    @staticmethod
    def blob_of(number, size):
        return random.Random(number).randbytes(size)

    def step(self):
        self._number += 1
        self._files.note(f"commit {self._number}")
        self._base.execute("begin immediate")
        self._base.execute("insert into numbers values (?)", (self._number,))
        self._base.execute("replace into ring values (?, ?, ?)",
                           (self._number % self.ring, self._number, self.blob_of(self._number, self.blob)))
        self._base.execute("commit")
        time.sleep(self._rng.random() * 0.03)

    def done(self):
        self._base.close()
        return f"{self._number} transactions"

    @classmethod
    def judge(cls, copy, ledger):
        path = os.path.join(copy, "base")
        if not os.path.exists(path):
            return "no database yet"
        base = sqlite3.connect(path)
        try:
            if (said := base.execute("pragma integrity_check").fetchall()) != [("ok",)]:
                raise Broken(f"integrity_check: {said[:3]}")
            tables = {name for name, in base.execute("select name from sqlite_master")}
            if not {"numbers", "ring"} <= tables:
                return "no tables yet"
            numbers = [n for n, in base.execute("select n from numbers order by n")]
            ring = {slot: (n, blob) for slot, n, blob in base.execute("select * from ring")}
        except sqlite3.DatabaseError as error:
            raise Broken(f"{error}") from error
        finally:
            base.close()
        if numbers != list(range(1, len(numbers) + 1)):
            raise Broken(f"{len(numbers)} numbers, which end in {numbers[-3:]}: no prefix")
        for n in range(max(1, len(numbers) - cls.ring + 1), len(numbers) + 1):
            if ring.get(n % cls.ring) != (n, cls.blob_of(n, cls.blob)):
                raise Broken(f"half of transaction {n} of {len(numbers)}")
        if len(ring) != min(len(numbers), cls.ring):
            raise Broken(f"{len(ring)} in the ring after {len(numbers)} transactions")
        with open(ledger, encoding="utf-8") as lines:
            if len(numbers) > sum(1 for _ in lines):
                raise Broken(f"transaction {len(numbers)} was never begun")
        return f"{len(numbers)} transactions"

    @staticmethod
    def spoil(copy):
        base = sqlite3.connect(os.path.join(copy, "base"), isolation_level=None)
        base.execute("update ring set blob = zeroblob(5) where n = (select max(n) from ring)")
        base.close()


class LargeSqlite(Sqlite):
    """Of several MB: it travels in pieces."""
    ring = 1500
    blob = 2000


WRITERS = {"git": Git, "chain": Chain, "strict_chain": LargeChain, "strict_git": Git, "dpkg": Dpkg,
           "sqlite_rollback": Sqlite, "sqlite_wal": Sqlite,
           "large_sqlite_rollback": LargeSqlite, "large_sqlite_wal": LargeSqlite}


def make(arguments, rng):
    kind = WRITERS[arguments.writer]
    if not issubclass(kind, Sqlite):
        return kind(rng, arguments.tree, arguments.ledger)
    modes = ["wal"] if arguments.writer.endswith("wal") else [rng.choice(("delete", "truncate", "persist"))]
    return kind(rng, arguments.tree, arguments.ledger, modes)


def write(arguments):
    writer = make(arguments, random.Random(arguments.seed))
    while not os.path.exists(arguments.stop):
        writer.step()
    print(writer.done())


def judge(arguments):
    kind = WRITERS[arguments.writer]
    if kind is Git:
        return kind.judge(arguments.copy, arguments.tree)
    if issubclass(kind, Sqlite):
        return kind.judge(arguments.copy, arguments.ledger)
    found = seen(arguments.copy)
    words = kind.judge(found, arguments.copy)
    if arguments.moment:
        words += f", step {moment(found, arguments.ledger)}"
    return words


def main():
    parser = argparse.ArgumentParser()
    commands = parser.add_subparsers(dest="command", required=True)
    writes = commands.add_parser("write")
    for name in ("writer", "tree", "ledger", "stop"):
        writes.add_argument(name)
    writes.add_argument("seed", type=int)
    spoils = commands.add_parser("spoil")
    for name in ("writer", "copy"):
        spoils.add_argument(name)
    judges = commands.add_parser("judge")
    for name in ("writer", "copy", "ledger", "tree"):
        judges.add_argument(name)
    judges.add_argument("--moment", action="store_true")
    arguments = parser.parse_args()
    if arguments.command == "write":
        return write(arguments)
    if arguments.command == "spoil":
        return WRITERS[arguments.writer].spoil(arguments.copy)
    try:
        print(judge(arguments))
    except Broken as broken:
        sys.exit(f"BROKEN: {broken}")
    return None


if __name__ == "__main__":
    main()

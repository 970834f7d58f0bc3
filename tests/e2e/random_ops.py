#!/usr/bin/env python3
"""A seeded stream of file operations of every kind below one directory: random_ops.py ROOT --seed N --ops N
[--pause-us N] [--keep NAME]. The same seed on the same tree does the same. Errors that a random choice brings (ENOTEMPTY,
EEXIST, ...) are part of the stream; anything else ends it with status 1."""
import argparse
import ctypes
import errno
import mmap
import os
import random
import shutil
import stat
import sys
import time

LIBC = ctypes.CDLL(None, use_errno=True)
RENAME_NOREPLACE, RENAME_EXCHANGE = 1, 2
FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE = 1, 2
EXPECTED = {errno.ENOENT, errno.EEXIST, errno.ENOTEMPTY, errno.EISDIR, errno.ENOTDIR, errno.EINVAL, errno.EBUSY,
            errno.ENODATA, errno.ELOOP, errno.ENXIO, errno.EMLINK, errno.EOPNOTSUPP, errno.EPERM, errno.ENAMETOOLONG}
SYLLABLES = [b"a", b"be", b"cy", b"\xff", b" ", b"\n", "ü".encode(), b"-", b".", b"*"]
# Never touched: an emptied root is a question to a person, not a change.
STAYS = {b"stays"}


class Driver:
    def __init__(self, root, seed):
        self.rng = random.Random(seed)
        self.root = os.fsencode(root)
        self.dirs, self.files, self.others = [], [], []
        self.rescan()

    def rescan(self):
        self.dirs, self.files, self.others = [self.root], [], []
        for path, dirs, files in os.walk(self.root):
            dirs[:] = sorted(d for d in dirs if not d.startswith(b".repl") and d not in STAYS)
            for name in list(dirs):
                full = os.path.join(path, name)
                (self.others if os.path.islink(full) else self.dirs).append(full)
            for name in sorted(files):
                full = os.path.join(path, name)
                if name in STAYS:
                    continue
                regular = stat.S_ISREG(os.lstat(full).st_mode)
                (self.files if regular else self.others).append(full)

    def name(self):
        stem = b"".join(self.rng.choice(SYLLABLES) for _ in range(self.rng.randrange(1, 4)))
        return b"n" + stem + b"%d" % self.rng.randrange(400)

    def fresh(self):
        return os.path.join(self.rng.choice(self.dirs), self.name())

    def file(self):
        if not self.files:
            raise FileNotFoundError(errno.ENOENT, "no file yet")
        return self.rng.choice(self.files)

    def anything(self):
        kinds = [kind for kind in (self.files, self.dirs[1:], self.others) if kind]
        if not kinds:
            raise FileNotFoundError(errno.ENOENT, "nothing yet")
        return self.rng.choice(self.rng.choice(kinds))

    def size(self):
        return self.rng.choice([0, 1, 100, 4096, 65535, 65536, 65537, 200_000, 262_145, 700_000])

    # --- the operations
    def create(self):
        path = self.fresh()
        with open(path, "wb") as f:
            f.write(self.rng.randbytes(self.rng.randrange(0, 3000) if self.rng.random() < 0.8 else self.size()))
        self.files.append(path)

    def overwrite(self):  # the same size, most likely within the same second
        path = self.file()
        with open(path, "r+b", buffering=0) as f:
            size = os.fstat(f.fileno()).st_size
            f.seek(self.rng.randrange(size + 1))
            f.write(self.rng.randbytes(min(200, size) or 1))

    def append(self):
        with open(self.file(), "ab", buffering=0) as f:
            f.write(self.rng.randbytes(self.rng.randrange(1, 70_000)))

    def truncate(self):
        path = self.file()
        os.truncate(path, self.rng.randrange(0, 2 * os.lstat(path).st_size + 2))

    def punch(self):
        with open(self.file(), "r+b", buffering=0) as f:
            size = os.fstat(f.fileno()).st_size
            if size > 8192:
                LIBC.fallocate(f.fileno(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                               ctypes.c_long(self.rng.randrange(size - 4096)), ctypes.c_long(4096))

    def sparse(self):
        path = self.fresh()
        with open(path, "wb", buffering=0) as f:
            f.truncate(2 << 20)
            f.seek(self.rng.randrange(2 << 20))
            f.write(b"island")
        self.files.append(path)

    def mapped(self):
        with open(self.file(), "r+b", buffering=0) as f:
            size = os.fstat(f.fileno()).st_size
            if size:
                with mmap.mmap(f.fileno(), size) as view:
                    view[self.rng.randrange(size)] = self.rng.randrange(256)
                    view.flush()

    def rename(self):
        source, target = self.anything(), self.fresh()
        os.rename(source, target)
        self.rescan()

    def rename_over(self):
        os.rename(self.file(), self.file())
        self.rescan()

    def exchange(self):
        if LIBC.renameat2(-100, self.anything(), -100, self.anything(), RENAME_EXCHANGE) != 0:
            raise OSError(ctypes.get_errno(), "renameat2")
        self.rescan()

    def save_by_rename(self):  # as editors do
        path = self.file()
        temporary = path + b".tmp"
        with open(temporary, "wb") as f:
            f.write(self.rng.randbytes(self.rng.randrange(0, 9000)))
        os.rename(temporary, path)

    def link(self):
        path = self.fresh()
        os.link(self.file(), path)
        self.files.append(path)

    def symlink(self):
        path = self.fresh()
        os.symlink(self.rng.choice([b"x", b"../y", b"/etc/passwd", b"."]), path)
        self.others.append(path)

    def special(self):
        path = self.fresh()
        kind = self.rng.choice([stat.S_IFIFO, stat.S_IFCHR, stat.S_IFSOCK])
        os.mknod(path, kind | 0o640, os.makedev(1, 3) if kind == stat.S_IFCHR else 0)
        self.others.append(path)

    def mkdir(self):
        path = self.fresh()
        os.mkdir(path)
        self.dirs.append(path)

    def tree(self):  # as tar does: all at once
        path = self.fresh()
        os.makedirs(path + b"/one/two/three")
        for i in range(self.rng.randrange(1, 30)):
            with open(path + b"/one/two/f%d" % i, "wb") as f:
                f.write(self.rng.randbytes(self.rng.randrange(500)))
        self.rescan()

    def unlink(self):
        path = self.file()
        os.unlink(path)
        self.files.remove(path)

    def remove_tree(self):
        if len(self.dirs) > 8:
            path = self.rng.choice(self.dirs[1:])
            shutil.rmtree(path)
            self.rescan()

    def chmod(self):
        path = self.rng.choice(self.files + self.dirs[1:] or [self.root])
        os.chmod(path, self.rng.choice([0o600, 0o644, 0o755, 0o4755, 0o2750, 0o1777, 0o000]))

    def chown(self):
        os.lchown(self.anything(), self.rng.randrange(3000), self.rng.randrange(3000))

    def times(self):
        os.utime(self.anything(), ns=(0, self.rng.randrange(2 * 10**18)), follow_symlinks=False)

    def xattr(self):
        path, key = self.rng.choice(self.files + self.dirs[1:] or [self.root]), "user.k%d" % self.rng.randrange(3)
        if self.rng.random() < 0.7:
            os.setxattr(path, key, self.rng.randbytes(self.rng.randrange(60)))
        else:
            os.removexattr(path, key)

    def change_type(self):
        path = self.anything()
        if os.path.isdir(path) and not os.path.islink(path):
            shutil.rmtree(path)
            with open(path, "wb") as f:
                f.write(b"was a directory")
        else:
            os.unlink(path)
            os.mkdir(path)
        self.rescan()

    def step(self):
        weighted = [(self.create, 20), (self.overwrite, 10), (self.append, 8), (self.truncate, 4), (self.punch, 2),
                    (self.sparse, 1), (self.mapped, 3), (self.rename, 10), (self.rename_over, 4), (self.exchange, 3),
                    (self.save_by_rename, 8), (self.link, 5), (self.symlink, 3), (self.special, 1), (self.mkdir, 6),
                    (self.tree, 2), (self.unlink, 10), (self.remove_tree, 2), (self.chmod, 4), (self.chown, 4),
                    (self.times, 3), (self.xattr, 4), (self.change_type, 2)]
        operation = self.rng.choices([o for o, _ in weighted], [w for _, w in weighted])[0]
        try:
            operation()
        except OSError as error:
            if error.errno not in EXPECTED:
                raise
            self.rescan()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("root")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--ops", type=int, required=True)
    parser.add_argument("--pause-us", type=int, default=0)
    parser.add_argument("--keep", metavar="NAME", help="a directory that is somebody else's")
    arguments = parser.parse_args()
    if arguments.keep:
        STAYS.add(os.fsencode(arguments.keep))
    driver = Driver(arguments.root, arguments.seed)
    for _ in range(arguments.ops):
        driver.step()
        if arguments.pause_us:
            time.sleep(arguments.pause_us / 1e6)
    return 0


if __name__ == "__main__":
    sys.exit(main())

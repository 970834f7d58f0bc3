"""A directory of many files is renamed, or removed."""
import os
import shutil

import hosts
import stopwatch
from works.base import ManyArrived, Pool, Work, many_files, names

PER_DIRECTORY = 1000


class Directory(Work):
    def disk_mib(self):
        return 512 + self.sizes.directory_files * 3 // 100

    def prepare(self):
        super().prepare()
        self.directories = -(-self.sizes.directory_files // PER_DIRECTORY)
        self.each = self.sizes.directory_files // self.directories
        many_files(hosts.tree("A") / "before", self.directories, self.each, 1000, 16000, Pool())
        (hosts.tree("A") / "stays").write_text("a tree that is emptied is another matter")
        hosts.same_tree_on_b()
        hosts.settle_disks()


class Rename(Directory):
    name = "rename"

    def __init__(self, sizes):
        super().__init__(sizes)
        self.rows = {"rename": (f"A directory of {sizes.directory_files:,} files is renamed", "seconds")}

    def rename(self):
        os.rename(hosts.tree("A") / "before", hosts.tree("A") / "after")

    def measure(self, peer, watch):
        there = ManyArrived(hosts.tree("B") / "after", self.directories, self.each)
        yield "rename", watch.timed(self.rename, lambda: there() and names(hosts.tree("B") / "before") == -1)

    def floor(self):
        yield "rename", {"rename(2)": stopwatch.floor(self.rename)}


class Delete(Directory):
    name = "delete"

    def __init__(self, sizes):
        super().__init__(sizes)
        self.rows = {"delete": (f"A directory of {sizes.directory_files:,} files is removed", "seconds")}

    def delete(self):
        shutil.rmtree(hosts.tree("A") / "before")

    def measure(self, peer, watch):
        yield "delete", watch.timed(self.delete, lambda: names(hosts.tree("B") / "before") == -1)

    def floor(self):
        yield "delete", {"rm -rf": stopwatch.floor(self.delete)}

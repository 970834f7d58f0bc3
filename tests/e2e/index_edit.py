#!/usr/bin/env python3
"""Damages an index as a disk, an older or a newer version might, with LMDB's own tools. The daemon must be stopped.

    index_edit.py count DIR TABLE            how many records the table has
    index_edit.py drop DIR TABLE             the table is empty
    index_edit.py version DIR TABLE BYTE     the first byte of every value of the table becomes BYTE
    index_edit.py flip DIR TABLE             one bit of every value, in the middle

TABLE is the first byte of a key: docs/INDEX_FORMAT.md.
"""
import os
import subprocess
import sys


def main(what, directory, table, *arguments):
    dump = subprocess.run(["mdb_dump", directory], capture_output=True, check=True).stdout.split(b"\n")
    start = dump.index(b"HEADER=END") + 1
    prefix = b" %02x" % int(table)
    out, found, at = dump[:start], 0, start
    while dump[at] != b"DATA=END":
        key, value = dump[at], dump[at + 1]
        at += 2
        if key.startswith(prefix):
            found += 1
            if what == "drop":
                continue
            if what == "version":
                value = b" %02x" % int(arguments[0]) + value[3:]
            elif what == "flip":
                middle = len(value) // 4 * 2 + 1
                value = value[:middle] + b"%02x" % (int(value[middle:middle + 2], 16) ^ 1) + value[middle + 2:]
        out += [key, value]
    out += dump[at:]
    if what == "count":
        print(found)
        return
    if found == 0:
        sys.exit("table %s has no record" % table)
    fresh = os.path.join(directory, "edited")
    os.mkdir(fresh, 0o700)
    # It tells on stderr that it does not know the page size's line, which mdb_dump wrote.
    subprocess.run(["mdb_load", fresh], input=b"\n".join(out), stderr=subprocess.DEVNULL, check=True)
    os.replace(os.path.join(fresh, "data.mdb"), os.path.join(directory, "data.mdb"))
    os.remove(os.path.join(directory, "lock.mdb"))
    for left in os.listdir(fresh):
        os.remove(os.path.join(fresh, left))
    os.rmdir(fresh)


if __name__ == "__main__":
    main(*sys.argv[1:])

#!/usr/bin/env python3
"""clang-tidy-19 over the product's sources with the compile commands of a build:  check_tidy.py BUILD_DIR

Tests and benchmarks are left out: gtest's macros cost more time there than tidy finds bugs."""
import json
import os
import pathlib
import sys

from kept_results import ROOT, run_all

PRODUCT = ("engine", "transport", "cli")
# With CI=true everything is examined from nothing, and all checks would take longer than the rest of CI (the
# analyzer alone up to half a minute a file). There, what is quick and is a bug whenever it is found; the rest is
# for ./check, which keeps its results.
CI_CHECKS = ("-*,bugprone-use-after-move,bugprone-dangling-handle,bugprone-infinite-loop,bugprone-sizeof-*,"
             "bugprone-unused-raii,bugprone-string-constructor,bugprone-suspicious-mem*,bugprone-swapped-arguments,"
             "bugprone-undelegated-constructor,bugprone-integer-division,bugprone-parent-virtual-call,"
             "bugprone-move-forwarding-reference,bugprone-throw-keyword-missing,bugprone-virtual-near-miss,"
             "bugprone-not-null-terminated-result,bugprone-posix-return,bugprone-assert-side-effect,"
             "performance-for-range-copy,performance-implicit-conversion-in-loop,modernize-use-override")


def main():
    build = ROOT / sys.argv[1]
    # g++'s own flags (-Wno-tsan and the like) mean nothing to clang: a database of what matters to parsing.
    database, files = [], []
    for entry in json.loads((build / "compile_commands.json").read_text()):
        path = pathlib.Path(entry["file"])
        if not path.is_relative_to(ROOT) or path.relative_to(ROOT).parts[0] not in PRODUCT:
            continue
        if not path.exists():
            continue
        kept, words = ["clang++-19"], entry["command"].split()
        for position, word in enumerate(words):
            if word.startswith(("-I", "-D", "-std=")):
                kept.append(word)
            elif word in ("-isystem", "-include"):
                kept += [word, words[position + 1]]
        kept += ["-DASIO_HAS_CO_AWAIT", "-DASIO_HAS_STD_COROUTINE", "-Wno-everything", "-c", str(path)]
        database.append({"directory": entry["directory"], "file": str(path), "arguments": kept})
        files.append(path)
    tidy = ROOT / "out" / "check" / "tidy-database"
    tidy.mkdir(parents=True, exist_ok=True)
    (tidy / "compile_commands.json").write_text(json.dumps(database))

    def command(path):
        return ["clang-tidy-19", "--quiet", *options, "-p", str(tidy), str(path)]

    options = [f"--checks={CI_CHECKS}"] if os.environ.get("CI") else []
    settings = (ROOT / ".clang-tidy").read_bytes() + " ".join(options).encode()
    return 1 if run_all("tidy", build, sorted(set(files)), command, settings) else 0


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python3
"""clang-tidy-19 over the product's sources with the compile commands of a build:  check_tidy.py BUILD_DIR

Tests and benchmarks are left out: gtest's macros cost more time there than tidy finds bugs."""
import json
import os
import pathlib
import sys

from kept_results import ROOT, run_all

PRODUCT = ("engine", "transport", "cli")
# With CI=true, from nothing, all of it would take as long as the rest of CI: the paths through functions
# (clang-analyzer) and what is not a bug in itself are left to ./check, which keeps its results.
CI_CHECKS = ("-clang-analyzer-*,-misc-unused-using-decls,-modernize-*,-readability-*,-bugprone-reserved-identifier,"
             "-bugprone-stringview-nullptr,-bugprone-standalone-empty")


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
    tidy = ROOT / "build" / "check" / "tidy-database"
    tidy.mkdir(parents=True, exist_ok=True)
    (tidy / "compile_commands.json").write_text(json.dumps(database))

    def command(path):
        return ["clang-tidy-19", "--quiet", *options, "-p", str(tidy), str(path)]

    options = [f"--checks={CI_CHECKS}"] if os.environ.get("CI") else []
    settings = (ROOT / ".clang-tidy").read_bytes() + " ".join(options).encode()
    return 1 if run_all("tidy", build, sorted(set(files)), command, settings) else 0


if __name__ == "__main__":
    sys.exit(main())

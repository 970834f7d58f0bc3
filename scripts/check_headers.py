#!/usr/bin/env python3
"""Every header compiles alone:  check_headers.py BUILD_DIR (configured; for generated headers).

What a source includes first was compiled alone by the build; the others are compiled here."""
import pathlib
import re
import subprocess
import sys

from kept_results import ROOT, run_all

FLAGS = ["-std=c++23", "-fsyntax-only", "-x", "c++", "-w", "-DASIO_STANDALONE", "-DASIO_NO_DEPRECATED"]


def main():
    build = ROOT / sys.argv[1]
    listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard", "*.h"], cwd=ROOT,
                            capture_output=True, text=True, check=True).stdout.split()
    listed_sources = subprocess.run(["git", "ls-files", "-co", "--exclude-standard", "*.cc"], cwd=ROOT,
                                    capture_output=True, text=True, check=True).stdout.split()
    first = {found.group(1) for name in listed_sources if (ROOT / name).exists()
             for found in [re.search(r"^#\s*include\s*[<\"]([^>\"]+)", (ROOT / name).read_text(), re.M)] if found}
    headers = [ROOT / name for name in listed if (ROOT / name).exists() and name not in first]

    def command(path: pathlib.Path):
        # Through a source of one line, so that `#pragma once` in a main file warns about nothing.
        return ["g++", *FLAGS, f"-I{ROOT}", f"-I{build}", "-include", str(path), "/dev/null"]

    return 1 if run_all("headers", build, headers, command, " ".join(FLAGS).encode()) else 0


if __name__ == "__main__":
    sys.exit(main())

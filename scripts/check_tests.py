#!/usr/bin/env python3
"""Every test file is run by ctest: *_test.cc lies where tests/CMakeLists.txt globs, every executable script of
tests/e2e is named in tests/e2e/CMakeLists.txt, every fuzz target in tests/fuzz/CMakeLists.txt."""
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent


def main():
    cmake = (ROOT / "tests/CMakeLists.txt").read_text()
    layers = re.search(r"foreach\(layer ([^)]*)\)", cmake).group(1).split()
    kinds = re.search(r"foreach\(kind ([^)]*)\)", cmake).group(1).split()
    globbed = {f"tests/unit/{layer}" for layer in layers} | {f"tests/{kind}" for kind in kinds}
    globbed |= {f"tests/{directory}" for directory in
                re.findall(r"repl_test_binary\(\w+ \w+ \$\{CMAKE_CURRENT_SOURCE_DIR\}/([\w/]+) ", cmake)}
    e2e_list = ROOT / "tests/e2e/CMakeLists.txt"
    e2e = e2e_list.read_text() if e2e_list.exists() else ""
    fuzz_list = ROOT / "tests/fuzz/CMakeLists.txt"
    fuzz = fuzz_list.read_text() if fuzz_list.exists() else ""

    listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"],
                            cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\n")
    errors = []
    for name in filter(None, listed):
        path = pathlib.Path(name)
        parent = path.parent.as_posix()
        if not (ROOT / path).exists():
            continue
        if name.endswith("_test.cc") and parent not in globbed:
            errors.append(f"{name}: belongs to no test target")
        if parent == "tests/e2e" and path.suffix in (".sh", ".py") and (ROOT / path).stat().st_mode & 0o111:
            if not re.search(rf"\b{re.escape(path.stem)}\b", e2e):
                errors.append(f"{name}: not registered in tests/e2e/CMakeLists.txt")
        if name.endswith("_fuzz.cc") and path.stem not in fuzz and "GLOB" not in fuzz:
            errors.append(f"{name}: not built by tests/fuzz/CMakeLists.txt")
        if parent.startswith("tests/unit/") and name.endswith("_test.cc"):
            if not re.search(r"\b(TEST|TEST_F|TEST_P|TYPED_TEST|RC_GTEST_PROP|RC_GTEST_FIXTURE_PROP)\(",
                             (ROOT / path).read_text()):
                errors.append(f"{name}: contains no test")
    for error in errors:
        print(error)
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main())

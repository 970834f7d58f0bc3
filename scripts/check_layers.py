#!/usr/bin/env python3
"""Layers only look down, and paths only become system calls in engine/io.

1. Reads `repl_layer(NAME DIR dir USES lower...)` from CMakeLists.txt and verifies that every project include
   respects it, transitively; `cli` may see everything, `tests` and `bench` may too.
2. Verifies that system calls which resolve a path are made in engine/io alone, where they are bound to a
   directory descriptor and cannot leave the root. Exceptions are listed here with their reason.
"""
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent

# file (or directory, with a trailing slash) → why it may resolve paths that no peer and no tree's user chose
PATH_SYSCALL_REASONS = {
    "engine/io/": "the one place where tree paths become system calls",
    "engine/base/": "descriptor wrappers",
    "engine/index/": "the state directory, which belongs to root",
    "engine/watch/": "marks by directory descriptor; /proc and sysctl limits",
    "engine/run/tree_parts.cc": "makes the state directory, which belongs to root",
    "transport/identity": "key files in the state directory",
    "transport/tls": "key files in the state directory",
    "transport/ssh": "the ssh child's pipes",
    "cli/": "files that the administrator names: config, state, sockets, certificates",
}
SYSCALLS = ("openat2 openat open creat rename renameat renameat2 unlink unlinkat mkdir mkdirat link linkat "
            "symlink symlinkat mknod mknodat chmod fchmodat chown lchown fchownat utimensat statx stat lstat "
            "fstatat readlink readlinkat setxattr lsetxattr getxattr lgetxattr removexattr lremovexattr "
            "listxattr llistxattr rmdir truncate opendir mount umount2 open_by_handle_at").split()
# A call, not a method (x.open, x->open, T::open) and not part of a longer name; ::open( is a call.
CALL = re.compile(r"(?:(?<![\w.>:])|(?<![\w>]):: ?)(" + "|".join(SYSCALLS) + r")\(")
DECLARATION = re.compile(r"^\s*(\[\[nodiscard\]\]\s*)?(static |inline |virtual |constexpr )*"
                         r"[\w:<>,&* ]+[\w>&*]\s+(" + "|".join(SYSCALLS) + r")\(")
FILESYSTEM = re.compile(r"std::filesystem::(rename|remove|remove_all|create_\w+|copy\w*|permissions|resize_file)\b")


def layers():
    """name → (directory, names it may include)."""
    text = (ROOT / "CMakeLists.txt").read_text()
    found = {}
    for match in re.finditer(r"^repl_layer\((.*?)\)", text, re.M | re.S):
        words = match.group(1).split()
        name, directory, uses, mode = words[0], None, [], None
        for word in words[1:]:
            if word in ("DIR", "USES", "LIBS"):
                mode = word
            elif mode == "DIR":
                directory = word
            elif mode == "USES":
                uses.append(word)
        found[name] = (directory, uses)
    closure = {}

    def reach(name):
        if name not in closure:
            closure[name] = {name}
            for lower in found[name][1]:
                closure[name] |= reach(lower)
        return closure[name]

    return {name: (directory, reach(name)) for name, (directory, _) in found.items()}


def without_comments(line):
    line = re.sub(r'"(\\.|[^"\\])*"', '""', line)
    return line.split("//")[0]


def layer_errors(path, text, table):
    relative = path.as_posix()
    mine = next((name for name, (directory, _) in table.items() if relative.startswith(directory + "/")), None)
    if mine is None:
        return
    allowed = table[mine][1]
    for number, line in enumerate(text.splitlines(), 1):
        match = re.match(r'\s*#\s*include\s+"([^"]+)"', line)
        if not match:
            continue
        included = match.group(1)
        target = next((name for name, (directory, _) in table.items() if included.startswith(directory + "/")), None)
        if target is None:
            yield f"{relative}:{number}: {mine} includes {included}, which is in no layer it may see"
        elif target not in allowed:
            yield f"{relative}:{number}: {mine} may not see {target} ({included}); it sees {' '.join(sorted(allowed))}"


def syscall_errors(path, text):
    relative = path.as_posix()
    if any(relative.startswith(prefix) for prefix in PATH_SYSCALL_REASONS):
        return
    for number, line in enumerate(text.splitlines(), 1):
        code = without_comments(line)
        if (CALL.search(code) and not DECLARATION.match(code)) or FILESYSTEM.search(code):
            yield f"{relative}:{number}: path system call outside engine/io: {line.strip()}"


def main():
    table = layers()
    if len(table) < 5:
        print("check_layers: found hardly any repl_layer() in CMakeLists.txt")
        return 1
    listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard", "engine", "transport", "cli"],
                            cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    errors = []
    for name in listed:
        path = pathlib.Path(name)
        if path.suffix not in (".h", ".cc") or not (ROOT / path).exists():
            continue
        text = (ROOT / path).read_text()
        errors += layer_errors(path, text, table)
        errors += syscall_errors(path, text)
    for error in errors:
        print(error)
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main())

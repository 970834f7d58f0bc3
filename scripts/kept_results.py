"""Runs one command per source file, two at a time, and keeps what succeeded by the hash of all that it read:
the file, every project header it includes (transitively), and the tool's settings."""
import concurrent.futures
import functools
import hashlib
import os
import pathlib
import re
import subprocess

ROOT = pathlib.Path(__file__).resolve().parent.parent
INCLUDE = re.compile(rb'^\s*#\s*include\s+"([^"]+)"', re.M)


@functools.lru_cache(maxsize=None)
def _read(path):
    try:
        content = path.read_bytes()
    except OSError:
        return b"", ()
    return hashlib.sha256(content).digest(), tuple(INCLUDE.findall(content))


def content_key(path, roots, settings):
    """Hash over `path`, what it includes below `roots`, and `settings` (bytes)."""
    digest = hashlib.sha256(settings)
    seen, todo = set(), [path]
    while todo:
        current = todo.pop()
        if current in seen:
            continue
        seen.add(current)
        own, includes = _read(current)
        digest.update(str(current).encode() + own)
        for name in sorted(includes):
            relative = pathlib.Path(os.fsdecode(name))
            todo += [root / relative for root in (*roots, current.parent) if (root / relative).is_file()]
    return digest.hexdigest()


def run_all(name, build, files, command, settings):
    """`command(path)` → argv. Prints the output of what fails; returns the number of failures."""
    kept = ROOT / "out" / "check" / name
    kept.mkdir(parents=True, exist_ok=True)
    roots = (ROOT, build)
    todo = []
    for path in files:
        mark = kept / content_key(path, roots, settings)
        if not mark.exists():
            todo.append((path, mark))

    def one(item):
        path, mark = item
        done = subprocess.run(command(path), cwd=ROOT, capture_output=True, text=True)
        if done.returncode == 0:
            mark.touch()
        return path, done

    failures = 0
    with concurrent.futures.ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        for path, done in pool.map(one, todo):
            if done.returncode != 0:
                failures += 1
                print(f"{path.relative_to(ROOT)}:\n{done.stdout.strip()}\n{done.stderr.strip()}")
    print(f"   {len(files)} files, {len(todo)} examined, {failures} failed")
    return failures

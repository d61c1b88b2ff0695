#!/usr/bin/env python3
"""clang-tidy over src/ and jobs/, as far as the build folder compiles them without LibTorch; files that passed are not read again.

A file passed if nothing it can see has changed: itself, every header of ours, .clang-tidy, the compile flags, clang-tidy. What passed is kept
in the user's cache, for all clones, as a compiler cache does: a second call takes a second and a changed .cpp costs only itself.
"""
import argparse
import concurrent.futures
import hashlib
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
MEMORY = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "mgpu_run" / "tidy.json"
MOST_KEPT = 4000
INCLUDE = re.compile(r'^\s*#\s*include\s*"([^"]+)"', re.MULTILINE)


def headers_of(file: pathlib.Path, seen: dict[pathlib.Path, bytes]) -> None:
    """Adds `file` and every header of ours it includes, directly or not, to `seen`."""
    if file in seen:
        return
    seen[file] = file.read_bytes()
    for name in INCLUDE.findall(seen[file].decode(errors="replace")):
        for folder in (file.parent, ROOT / "include", ROOT / "src"):
            if (folder / name).is_file():
                headers_of((folder / name).resolve(), seen)
                break


def fingerprint(file: pathlib.Path, command: str, version: bytes) -> str:
    """The same in every clone: paths below this one are taken relative to it."""
    seen: dict[pathlib.Path, bytes] = {}
    headers_of(file, seen)
    digest = hashlib.sha256(version + (ROOT / ".clang-tidy").read_bytes() + command.replace(str(ROOT), ".").encode())
    for path in sorted(seen):
        digest.update(str(path.relative_to(ROOT)).encode() + seen[path])
    return digest.hexdigest()


def recall() -> list[str]:
    try:
        return json.loads(MEMORY.read_text())
    except (OSError, ValueError):  # none yet, or of a disk that was full: everything is read
        return []


def remember(passed: list[str]) -> None:
    """The newest last. Another clone may write at the same time: the file is whole either way."""
    MEMORY.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", dir=MEMORY.parent, delete=False) as file:
        json.dump(passed[-MOST_KEPT:], file)
    os.replace(file.name, MEMORY)


def tidy(file: pathlib.Path, build: pathlib.Path) -> tuple[bool, str]:
    # What is GCC's own means nothing to clang.
    quiet = [f"--extra-arg=-Wno-{name}" for name in
             ("unknown-warning-option", "ignored-optimization-argument", "unused-command-line-argument", "unknown-pragmas")]
    result = subprocess.run(["clang-tidy", "--quiet", "-p", str(build), *quiet, str(file)], capture_output=True, text=True, timeout=300)
    return result.returncode == 0, result.stdout + (result.stderr if result.returncode else "")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", type=pathlib.Path, required=True)
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    earlier = recall()
    passed = set(earlier)
    version = subprocess.run(["clang-tidy", "--version"], capture_output=True, check=True).stdout

    commands = {pathlib.Path(entry["file"]): entry["command"] for entry in json.loads((options.build / "compile_commands.json").read_text())
                if pathlib.Path(entry["file"]).exists()}  # a file that has gone since the folder was configured
    prints = {file: fingerprint(file, command, version) for file, command in commands.items()
              if any(file.is_relative_to(ROOT / area) for area in ("src", "jobs"))}
    todo = [file for file in prints if prints[file] not in passed]
    failed = 0
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        for file, (ok, text) in zip(todo, pool.map(lambda f: tidy(f, options.build), todo)):
            if ok:
                passed.add(prints[file])
            else:
                failed += 1
                print(text)
    now = passed & set(prints.values())
    remember([each for each in earlier if each not in now] + sorted(now))
    print(f"clang-tidy … {len(todo)} files read, {len(prints) - len(todo)} unchanged, {failed} with findings")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python3
"""Checks that the field's word is used where there is one: identifiers, file names, help, messages and docs. Prints each breach, exits 1 if there is any."""
import pathlib
import re
import subprocess
import sys

# All paths except docs/ and READMEs: source code has names like `begin_again`.
BUT_PAGES = r"^(?!docs/|(.*/)?README\.md$)"
# What not to write, the field's word for it, and where the other meaning of the word is meant.
WORDS = [
    (r"conductor", "coordinator", r"$^"),
    (r"roster", "rank table", r"$^"),
    (r"(?<!of )\bcourses?\b|_course|(?-i:Course)", "workload", r"$^"),
    (r"keeper", "supervisor", r"$^"),
    (r"worker_?watch", "watchdog", r"$^"),
    (r"feeder", "preprocessor", r"$^"),
    (r"(?<![A-Za-z])(cuda|cpu)?_?lanes?(?![a-z])", "device streams", r"^src/worker/(load|collective)/|^tests/worker/load/"), # SIMD has lanes
    (r"flight_?(board|slot)|flight board|(?<!in )\bflight\b", "activity table", r"$^"),
    (r"\beffort", "process usage", r"$^"),
    (r"uplink", "inter-node reducer", r"$^"),
    (r"mgpu_room|\brooms\b", "module", r"$^"),
    (r"optimiser", "optimizer", r"$^"),
    (r"made small(?!er)", "loss function", r"$^"),
    (r"rehears", "fault injection", r"$^"),
    (r"\bbeg(?:ins?|inning|an|un)\s+again\b", "restart", BUT_PAGES),
    (r"\b(?:go|goes|going|gone|went)\s+on\s+with\b", "resume or continue", BUT_PAGES),
]
SUFFIXES = {".cpp", ".hpp", ".cu", ".h", ".c", ".py", ".md", ".cmake", ".txt", ".sh", ""}
# The list itself, and what tells of earlier versions.
LEFT_OUT = {".dev/check_words.py", "CHANGELOG.md", "tests/structure/check_words_test.py"}


def breaches_of(path: str, text: str) -> list[str]:
    found = []
    for pattern, better, elsewhere in WORDS:
        if re.search(elsewhere, path):
            continue
        whole = f"{path}\n{text}" # as one text: a phrase may go over the end of a line
        for match in re.finditer(pattern, whole, re.IGNORECASE):
            number = whole.count("\n", 0, match.start())
            found.append(f"{path}:{number or 'name'}: {' '.join(match[0].split())}: say {better}")
    return found


def main() -> int:
    root = pathlib.Path(__file__).resolve().parent.parent
    listed = subprocess.run(["git", "ls-files", "--cached", "--others", "--exclude-standard"], cwd=root, capture_output=True, text=True, check=True)
    found = []
    for name in listed.stdout.splitlines():
        file = root / name
        if name not in LEFT_OUT and file.suffix in SUFFIXES and file.is_file():
            found += breaches_of(name, file.read_text(errors="replace"))
    print("\n".join(found) if found else "words … clean")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())

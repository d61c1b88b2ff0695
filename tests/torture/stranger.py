"""Another user of the machine, who can write where the output lies and tries what such a user can."""

import os
import pathlib
import time

NOBODY = 65534
SECONDS = 1.5
NEW_NAMES = (".status.json.new", ".summary.json.new", ".summary.json", ".recovering", ".old")  # of files that a run makes beside what it has already
PLACES = ("/dev/shm", "/tmp")
VICTIM_TEXT = "not theirs"


def possible():
    return os.geteuid() == 0


def succeeds(call, *arguments):
    try:
        call(*arguments)
    except OSError:
        return False
    return True


def tries(output, victim):
    """What succeeded that must not."""
    done = []
    for path in output.parent.glob(output.name + "*"):
        if path.is_symlink() and path.lstat().st_uid == NOBODY:
            continue
        for call, arguments in ((open, (path, "r+b")), (os.truncate, (path, 0)), (os.unlink, (path,)), (os.rename, (path, str(path) + ".stolen")), (os.chmod, (path, 0o777))):
            if succeeds(call, *arguments):
                done.append(f"{call.__name__} of {path.name}")
    for place in map(pathlib.Path, PLACES):
        for path in place.glob("mgpu*"):
            if path != output.parent and path.lstat().st_uid != NOBODY and (succeeds(os.rename, path, str(path) + ".stolen") or path.is_dir() and succeeds(os.symlink, victim, path / "mine")):
                done.append(f"a change of {path}")
    return done


def victim_beside(output):
    return output.parent / "victim"


def attack(output, victim, agents):
    """As nobody, for some time: links to `victim` where the run will write, and tries(). Returns what succeeded."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
            found = [f"a signal to process {pid}" for pid in agents if succeeds(os.kill, pid, 0)]
            end = time.monotonic() + SECONDS
            while time.monotonic() < end:
                for ending in NEW_NAMES:
                    succeeds(os.symlink, victim, str(output) + ending)
                found += tries(output, victim)
                time.sleep(0.005)
            os.write(writing, "; ".join(dict.fromkeys(found)).encode()[:4000])
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as said:
        found = said.read()
    os.waitpid(child, 0)
    return found

"""Runs the daemons of a small cluster and ends all that came from them: `guard.py FOLDER`, started by cluster.py.

Each line of FOLDER/daemons.json is a command. The guard ends when its standard input is closed, which happens also when pytest is killed: then it
kills its daemons and every process below them (job steps have parents of their own, but the guard adopts them) and removes FOLDER."""

import ctypes
import json
import os
import pathlib
import select
import shutil
import signal
import subprocess
import sys
import time

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36
LIMIT_S = 20  # for the ends of processes that got KILL; one that hangs in the kernel is left


def prctl(option, value):
    if ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")


def descendants():
    """Every living process below this one."""
    parents = {}
    for folder in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            facts = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue  # it has ended meanwhile
        if facts[0] != "Z":
            parents[int(folder.name)] = int(facts[1])
    known = {os.getpid()}
    while more := {pid for pid, parent in parents.items() if parent in known} - known:
        known |= more
    return known - {os.getpid()}


def reap():
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


def kill_all():
    end = time.monotonic() + LIMIT_S
    while (found := descendants()) and time.monotonic() < end:
        for pid in found:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        time.sleep(0.05)
        reap()


def main(folder):
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for pytest, which closes our input afterwards
    signal.signal(signal.SIGTERM, lambda *_: os.close(0))
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    try:
        for command in json.loads((folder / "daemons.json").read_text()):
            log = open(folder / f"{command['name']}.out", "wb")
            subprocess.Popen(command["words"], stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, env={**os.environ, **command["environment"]},
                             preexec_fn=lambda: prctl(PR_SET_PDEATHSIG, signal.SIGKILL))
        while True:
            ready, _, _ = select.select([0], [], [], 0.5)
            if ready and not os.read(0, 4096):
                break
            reap()
    except OSError:
        pass  # input closed by the signal
    finally:
        kill_all()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))

"""Faults: what is done to a run, and what is done to the files that a killed run left."""

import errno
import os
import pathlib
import signal
import subprocess

import journal
import stranger
from processes import ENVIRONMENT

class Fault:
    """`strike` hurts a running run and says whether it could; `damage` its files afterwards. `by_itself`: the run must end by itself. `two_nodes`: it runs on two
    emulated nodes. `variables`: of file_faults.c, from a generator and the trial's case; `closed`: it begins without standard streams; `root`: only root can become
    somebody else."""

    def __init__(self, name, strike, damage=None, by_itself=True, least_ranks=1, two_nodes=False, variables=None, closed=False, root=False):
        self.name, self.strike, self.damage, self.by_itself, self.least_ranks, self.two_nodes = name, strike, damage, by_itself, least_ranks, two_nodes
        self.variables, self.closed, self.root = variables, closed, root

def to(number, find):
    def strike(run, generator):
        pids = find(run)
        if not pids:
            return False
        os.kill(generator.choice(pids), number)
        return True
    return strike

def rank0(run):
    return [pid for rank, pid in run.agents().items() if rank == 0]

def others(run):
    return [pid for rank, pid in run.agents().items() if rank > 0]

def mpirun(run):
    return [run.mpirun.pid] if run.mpirun.poll() is None else []

def daemons(run):
    return run.daemons()

def kill_all(run, _):
    run.kill_all()
    return True

def disk_full(run, generator):
    """The next few hundred kB, or nothing at all, still fit."""
    size = pathlib.Path(os.fsdecode(run.mark) + ".journal")
    return size.exists() and run.limit_files(size.stat().st_size + generator.choice([0, 1000, 100_000, 400_000]))

def tail_of(path):
    """Where the last fifth of the batches in a journal begins; None where an unfinished change of the result file must be taken back:
    what stands there was on the disk before that was begun."""
    data = path.read_bytes()
    batches = [at for at, kind, _, _ in journal.frames(data) if kind == journal.BATCH]
    if not batches or any(kind in (journal.UNDO, journal.CHANGING) for _, kind, _, _ in journal.frames(data)):
        return None
    return batches[len(batches) * 4 // 5], len(data)

def torn(path, generator):
    tail = tail_of(path)
    if tail:
        os.truncate(path, generator.randrange(*tail))

def flipped(path, generator):
    tail = tail_of(path)
    if tail:
        with open(path, "r+b") as file:
            place = generator.randrange(*tail)
            file.seek(place)
            byte = file.read(1)[0]
            file.seek(place)
            file.write(bytes([byte ^ 1 << generator.randrange(8)]))

def began(run, _):
    """The run has its fault from its beginning."""
    return True

def file_call(number, calls=1, seconds=0, only=""):
    """Some call of rank 0's agent on the output's files, most often an early one."""
    def variables(generator, _):
        return {"FAULT_RANK": 0, "FAULT_PROGRAM": "agent", "FAULT_PART": "out.h5", "FAULT_AT": 1 if only else int(10 ** generator.uniform(0, 3.5)), "FAULT_CALLS": calls,
                "FAULT_ERRNO": number, "FAULT_SECONDS": seconds, "FAULT_ONLY": only}
    return variables

def blind(generator, case):
    """From some file on rank 1's worker sees none."""
    return {"FAULT_RANK": 1, "FAULT_PROGRAM": "worker", "FAULT_PART": case.input_folder, "FAULT_AT": generator.randint(1, 200), "FAULT_CALLS": 0, "FAULT_ERRNO": errno.ENOENT,
            "FAULT_ONLY": "opens"}

def second_writer(run, generator):
    """Another run wants the same output; it must be refused (2) while this one lives."""
    option = generator.choice(["--overwrite", "--resume", None])
    words = [*run.command, option] if option else run.command
    done = subprocess.run([str(word) for word in words], env=ENVIRONMENT, capture_output=True, text=True, timeout=60)
    lives = run.mpirun.poll() is None
    if lives and done.returncode != 2 and option != "--resume":
        run.note(f"A SECOND RUN WITH {option} ENDED WITH {done.returncode}: {done.stderr.strip()[-300:]}")
    return True

def another_user(run, _):
    """One who can write to the folder; what is there, what a run makes next, and its processes are not for them."""
    output = pathlib.Path(os.fsdecode(run.mark))
    victim = stranger.victim_beside(output)
    victim.write_text(stranger.VICTIM_TEXT)
    os.chmod(output.parent, 0o1777)
    found = stranger.attack(output, victim, run.agents().values())
    if found:
        run.note(f"ANOTHER USER COULD: {found}")
    return True

FAULTS = [
    Fault("kill everything", kill_all),
    Fault("kill rank 0", to(signal.SIGKILL, rank0)),
    Fault("kill mpirun", to(signal.SIGKILL, mpirun)),
    Fault("kill an agent", to(signal.SIGKILL, others), least_ranks=2),
    Fault("kill a node's daemon", to(signal.SIGKILL, daemons), least_ranks=4, two_nodes=True),
    Fault("kill a worker", to(signal.SIGKILL, lambda run: run.workers())),
    Fault("stop rank 0", to(signal.SIGSTOP, rank0), by_itself=False),
    Fault("stop an agent", to(signal.SIGSTOP, others), by_itself=False, least_ranks=2),
    Fault("stop a worker", to(signal.SIGSTOP, lambda run: run.workers())),
    Fault("stop mpirun", to(signal.SIGSTOP, mpirun), by_itself=False),
    Fault("SIGTERM to mpirun", to(signal.SIGTERM, mpirun)),
    Fault("SIGUSR1 to mpirun", to(signal.SIGUSR1, mpirun)),
    Fault("disk full", disk_full),
    Fault("kill everything, torn journal", kill_all, torn),
    Fault("kill everything, flipped bit", kill_all, flipped),
    Fault("EIO at a file call", began, variables=file_call(errno.EIO)),
    Fault("EIO from a file call on", began, variables=file_call(errno.EIO, calls=0)),
    Fault("ENOSPC at a file call", began, variables=file_call(errno.ENOSPC, calls=3)),
    Fault("a file call takes 15 s", began, variables=file_call(0, seconds=15)),
    Fault("locks are refused", began, variables=file_call(errno.EBADF, calls=0, only="locks")),
    Fault("a rank sees no input", began, least_ranks=2, variables=blind),
    Fault("closed standard streams", began, closed=True),
    Fault("a second run", second_writer),
    Fault("another user", another_user, root=True),
]


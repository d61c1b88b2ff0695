"""Hurts runs at random and goes on with them by --resume; what comes out must be the undisturbed run's, bit for bit.

usage: run.py [N] [--seed S] [--only NAME] [--keep]      needs MGPU_BIN, the folder of the programs

Exit code 0: nothing lost, nothing doubled, nothing hung, and the harness saw both of the frauds it was shown.
"""

import argparse
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import h5py

import faults
import journal
import material
import stranger
from processes import ENVIRONMENT, Run, send
from results import Rows, compare, compare_recovered, in_a_child

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))
from emulated_nodes import write_shell  # noqa: E402

PROGRAM = pathlib.Path(os.environ["MGPU_BIN"]) / "mgpu_run"
END_LIMIT_S = 60      # from a fault to the end of the run
OPERATOR_S = 20       # after which a person would kill a run whose rank 0 or mpirun is stopped
RESUME_LIMIT_S = 120
RESUMES = 5
WRITING_BYTES = 20_000  # a journal as long as this has batches
ENDINGS = ("", ".partial", ".journal", ".recovering", ".summary.json", ".status.json", *stranger.NEW_NAMES)


def size_of(path):
    try:
        return os.path.getsize(path)
    except OSError:
        return 0


def fault_tolerance():
    """mpirun's options under which a killed agent costs its rank only; none before Open MPI 5."""
    version = subprocess.run(["mpirun", "--version"], env=ENVIRONMENT, capture_output=True, text=True).stdout
    return ["--with-ft", "ulfm"] if "(Open MPI) 5" in version or "(PRRTE)" in version else []


def on_two_nodes(shell, ranks):
    half = ranks // 2
    return ["--prtemca", "plm_ssh_agent", str(shell), "--host", f"nodeA:{half},nodeB:{ranks - half}", "--map-by", "node:OVERSUBSCRIBE", "--mca", "btl", "self,tcp"]


class Case:
    """One set of items with what the undisturbed run gives for it."""

    def __init__(self, name, arguments, folder):
        self.name, self.folder = name, folder
        self.arguments = [PROGRAM, *arguments]
        self.input_folder = str(folder / name)
        whole = folder / f"{name}.whole.h5"
        run = Run(2, self.command(whole), folder / "undisturbed.log")
        self.journal_bytes, self.opened_s = 0, 0.0  # how long its journal was, and when it had something to say
        while run.mpirun.poll() is None and time.monotonic() - run.began < RESUME_LIMIT_S:
            size = size_of(f"{whole}.journal")
            if size > WRITING_BYTES and not self.opened_s:
                self.opened_s = time.monotonic() - run.began
            self.journal_bytes = max(self.journal_bytes, size)
            time.sleep(0.002)
        code, self.seconds = run.wait(1), time.monotonic() - run.began
        if code != 3:  # some items are bad
            sys.exit(f"the undisturbed run ended with {code}; see {folder}/undisturbed.log")
        self.whole, self.reference = whole, Rows(whole)

    def command(self, output, *more):
        return [*self.arguments, "--output", output, *more]


class Trial:
    def __init__(self, case, fault, generator, folder):
        self.case, self.fault, self.generator = case, fault, generator
        self.shell = folder / "shell"
        self.output = folder / "out.h5"
        self.log = folder / "trial.log"
        self.ranks = max(generator.choice([1, 2, 2, 4]), fault.least_ranks)
        self.notes, self.hung, self.accused = [], False, 0

    def beside(self, ending):
        return pathlib.Path(str(self.output) + ending)

    def clear(self):
        for ending in ENDINGS:
            self.beside(ending).unlink(missing_ok=True)
        self.log.unlink(missing_ok=True)

    def note(self, text):
        self.notes.append(text)

    def accuse(self, text):
        """What must not be."""
        self.notes.append(text)
        self.accused += 1

    def end(self, run, limit_s):
        """Waits for the end; whoever is left is killed. Did all end by themselves?"""
        code = run.wait(limit_s)
        gone = code is not None and run.wait_gone(40)  # ranks whose mpirun was killed notice by themselves
        if not gone:
            send(run.everybody(), signal.SIGCONT)
            run.kill_all()
            run.wait(10)
            run.wait_gone(10)
        self.note(f"ended with {code}" if gone else "was ended")
        return gone

    def disturb(self):
        """The run and its fault: while it starts, or at some length of its journal, up to the very end."""
        options = on_two_nodes(self.shell, self.ranks) if self.fault.two_nodes else self.generator.choice([[], fault_tolerance()])
        more = {}
        if self.fault.variables:
            more = {name: str(value) for name, value in self.fault.variables(self.generator, self.case).items()}
            self.note(f"call {more['FAULT_AT']}")
            more["LD_PRELOAD"] = str(self.case.folder / "file_faults.so")
        run = Run(self.ranks, self.case.command(self.output), self.log, options, more, self.fault.closed)
        run.command, run.note = self.case.command(self.output), self.accuse
        if self.generator.random() < 0.1:
            time.sleep(self.generator.uniform(0, self.case.opened_s))
        else:
            # The cube: much of the journal is what the end of a run puts there, and most faults shall come before the end.
            wanted = WRITING_BYTES + self.generator.random() ** 3 * (self.case.journal_bytes - WRITING_BYTES)
            while run.mpirun.poll() is None and size_of(self.beside(".journal")) < wanted and time.monotonic() - run.began < END_LIMIT_S:
                time.sleep(0.002)
        struck = run.mpirun.poll() is None and self.fault.strike(run, self.generator)
        length = size_of(self.beside(".journal")) / self.case.journal_bytes
        self.note(("with ulfm, " if "ulfm" in options else "") + (f"at {100 * length:.0f} %" if struck else "too late or too early"))
        by_itself = self.end(run, END_LIMIT_S if self.fault.by_itself or not struck else OPERATOR_S)
        if self.fault.by_itself and not by_itself:
            self.hung = True
        if self.fault.damage and self.beside(".journal").exists():
            self.fault.damage(self.beside(".journal"), self.generator)

    def recover(self):
        """Wrong rows in what `recover` makes; 0 where there was nothing to recover yet."""
        if not self.beside(".partial").exists():
            return 0
        done = subprocess.run([PROGRAM, "recover", self.output], env=ENVIRONMENT, capture_output=True, text=True, timeout=60)
        if done.returncode != 0:
            early = "before it had any result" in done.stderr
            self.note("nothing to recover yet" if early else f"recover: {done.stderr.strip()}")
            return 0 if early else 1
        found = in_a_child(lambda: compare_recovered(self.output, self.case.reference))
        if found is None:
            self.note("the recovered file cannot be read")
            return 1
        self.note(f"recovered {found[0]}")
        return found[1]

    def resume(self):
        """Until it is complete, on any number of ranks."""
        for attempt in range(RESUMES):
            run = Run(self.generator.choice([1, 2, 4]), self.case.command(self.output, "--resume"), self.log)
            if not self.end(run, RESUME_LIMIT_S):
                self.hung = True
                return
            if run.mpirun.returncode in (0, 3):
                return

    def run(self):
        self.clear()
        self.disturb()
        wrong = self.recover()
        self.resume()
        counts = in_a_child(lambda: compare(self.output, self.case.reference)) if self.output.exists() else None
        lost, doubled, different = counts or (len(self.case.reference.paths), 0, 0)
        if self.output.exists() and not self.hung:
            verified = subprocess.run([PROGRAM, "verify", self.output], env=ENVIRONMENT, capture_output=True, text=True, timeout=60)
            if verified.returncode != 0:
                self.accuse(f"verify: {verified.stdout} {verified.stderr}")
        victim = stranger.victim_beside(self.output)
        if victim.exists() and victim.read_text() != stranger.VICTIM_TEXT:
            self.accuse("A LINK OF ANOTHER USER WAS FOLLOWED")
        return lost, doubled, wrong + different + self.accused


def show_frauds(case, generator, folder):
    """Two files that are wrong: the harness must say so, or it proves nothing."""
    seen = 0
    fraud = folder / "fraud.h5"
    shutil.copy(case.whole, fraud)
    with h5py.File(fraud, "r+") as file:  # one bit of a finished result
        name = next(name for name in file["results"] if isinstance(file["results"][name], h5py.Dataset) and file["results"][name].dtype.kind in "fi")
        values = file["results"][name]
        row = next(row for row, status in enumerate(file["items/status"]) if status == 1)
        changed = values[row].copy() if values.ndim > 1 else values[row:row + 1].copy()
        changed.view("u1").reshape(-1)[0] ^= 1
        values[row] = changed if values.ndim > 1 else changed[0]
    seen += compare(fraud, case.reference)[2] > 0
    return seen + forge(case, generator, folder)


def forge(case, generator, folder):
    """A reason of failure is changed in the journal of a killed run, its CRCs made right: only the comparison can see that."""
    for _ in range(5):
        trial = Trial(case, faults.FAULTS[0], generator, folder)
        trial.clear()
        trial.disturb()
        if not trial.beside(".journal").exists() or not trial.beside(".partial").exists():
            continue
        data = bytearray(trial.beside(".journal").read_bytes())
        for at, kind, payload, size in journal.frames(data):
            word = data.find(b"no such file", payload, payload + size)
            if kind == journal.BATCH and word >= 0:
                data[word] ^= 2
                journal.repair(data, at)
                trial.beside(".journal").write_bytes(data)
                trial.resume()
                return compare(trial.output, case.reference)[2] > 0
    print("no killed run had a failed item to forge")
    return 0


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("count", nargs="?", type=int, default=30)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default="", help="faults whose name holds this")
    parser.add_argument("--keep", action="store_true", help="keep the folder")
    options = parser.parse_args()
    folder = pathlib.Path(tempfile.mkdtemp(prefix="mgpu_torture_"))
    shell = write_shell(folder)
    if shell is None:
        print("this system lets nobody give a process another host name: no emulated nodes")
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", folder / "file_faults.so", pathlib.Path(__file__).parent / "file_faults.c", "-ldl"], check=True)
    chosen = [fault for fault in faults.FAULTS if options.only in fault.name and (shell or not fault.two_nodes) and (stranger.possible() or not fault.root)]
    began = time.monotonic()
    cases = [Case("pictures", material.pictures(folder / "pictures", 30000), folder), Case("recordings", material.recordings(folder / "recordings", 6000), folder)]
    print(f"undisturbed: " + ", ".join(f"{case.name} {len(case.reference.paths)} items in {case.seconds:.1f} s" for case in cases), flush=True)
    totals = {"lost": 0, "doubled": 0, "wrong": 0, "hung": 0}
    for number in range(options.count):
        generator = random.Random(options.seed * 1_000_003 + number)
        # Every fault in turn, so that few faults are not many of one kind.
        trial = Trial(cases[number // len(chosen) % 2], chosen[number % len(chosen)], generator, folder)
        lost, doubled, wrong = trial.run()
        for name, value in (("lost", lost), ("doubled", doubled), ("wrong", wrong), ("hung", int(trial.hung))):
            totals[name] += value
        verdict = "ok" if not (lost or doubled or wrong or trial.hung) else f"LOST {lost} DOUBLED {doubled} WRONG {wrong}" + (" HUNG" if trial.hung else "")
        print(f"{number:4} {trial.fault.name:<30} {trial.case.name:<10} {trial.ranks} rank(s): {verdict}  ({'; '.join(trial.notes)})", flush=True)
        if verdict != "ok":
            shutil.copy(trial.log, folder / f"trial{number}.log")
    frauds = show_frauds(cases[0], random.Random(options.seed), folder)
    bad = any(totals.values()) or frauds != 2
    print(f"{options.count} faults in {time.monotonic() - began:.0f} s, seed {options.seed}: lost {totals['lost']}, doubled {totals['doubled']}, "
          f"wrong {totals['wrong']}, hung {totals['hung']}; {frauds} of 2 frauds seen")
    if bad or options.keep:
        print(f"logs: {folder}")
    else:
        shutil.rmtree(folder)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())

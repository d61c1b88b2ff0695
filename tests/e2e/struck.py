"""Whole runs of mgpu_run with a worker that has no LibTorch (tests/agent/fake_worker_main.cpp), and what can hit their processes."""

import os
import pathlib
import shutil
import signal
import subprocess
import time

import h5py
import numpy as np

from conftest import BIN, ENVIRONMENT

RUN_LIMIT_S = 100
LEAVE_LIMIT_S = 30  # for the ranks of a job that has lost its rank 0 or its launcher
ULFM = ("--with-ft", "ulfm")


def agents_of(output):
    """Process ids of the agents that write `output`, by rank."""
    found = {}
    for process in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            if (process / "comm").read_text().strip() != "mgpu_run" or str(output).encode() not in (process / "cmdline").read_bytes():
                continue
            variables = dict(each.split(b"=", 1) for each in (process / "environ").read_bytes().split(b"\0") if b"=" in each)
        except OSError:
            continue
        if b"PMIX_RANK" in variables: # of mpirun and srun
            found[int(variables[b"PMIX_RANK"])] = int(process.name)
    return dict(sorted(found.items()))


class Run:
    """A run of ITEMS items with 4 to a batch. `launch`: by `mgpu_run launch` with these options, else by mpirun. `place`: what makes of a command one that runs it
    elsewhere."""

    def __init__(self, folder, *options, ranks=2, items=4000, item_s=0.0005, launch=None, mpi=ULFM, place=list, **environment):
        self.folder, self.items, self.output = folder, items, folder / "out.h5"
        table, model = folder / "items.csv", folder / "net.pt"
        table.write_text("path\n" + "".join(f"item{index}.png\n" for index in range(items)))
        model.write_text("")  # the worker does not open it
        job = ["infer", "--model", model, "--image-size", "8", "--input", table, "--batch-size", "4", "--output", self.output, "--progress", "none", *options]
        if launch is None:
            command = [shutil.which("mpirun"), *mpi, "--oversubscribe", "-np", ranks, BIN / "mgpu_run", *job]
        else:
            command = [BIN / "mgpu_run", "launch", "-np", ranks, *launch, "--", *job]
        self.text = ""
        self.log = open(folder / f"log{time.time_ns()}", "w+")
        self.process = subprocess.Popen(list(map(str, place(command))), stdin=subprocess.DEVNULL, stdout=self.log, stderr=subprocess.STDOUT, env={
            **ENVIRONMENT, "TMPDIR": str(folder), "MGPU_WORKER": os.environ["MGPU_FAKE_WORKER"], "FAKE_ITEM_S": str(item_s), **{name: str(value) for name, value in environment.items()}})

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        for pid in self.ranks().values():
            os.kill(pid, signal.SIGKILL)
        self.log.close()

    def wait_for_work(self):
        """Until some results have come in."""
        limit = time.time() + 60
        while not list(self.folder.glob("out.h5.partial")):
            assert self.process.poll() is None and time.time() < limit, "the run was over before it could be struck"
            time.sleep(0.01)
        time.sleep(0.4)
        return self

    def ranks(self):
        return agents_of(self.output)

    def strike(self, target, number):
        """Sends a signal to rank `target`, or to what was started ("launcher") or its mpirun ("mpirun")."""
        if target == "launcher":
            pid = self.process.pid
        elif target == "mpirun":
            pid = next(int(pid) for pid in subprocess.run(["pgrep", "-P", str(self.process.pid)], capture_output=True, text=True).stdout.split())
        else:
            pid = self.ranks()[target]
        os.kill(pid, number)
        return self

    def wait(self, limit_s=RUN_LIMIT_S):
        """The exit code; no process of the run may be left then, or soon after."""
        code = self.process.wait(limit_s)
        limit = time.time() + LEAVE_LIMIT_S
        while self.ranks() or self.workers():
            assert time.time() < limit, f"processes outlive their run: {self.ranks()} {self.workers()}"
            time.sleep(0.05)
        self.log.seek(0)
        self.text = self.log.read()
        return code

    def workers(self):
        """Process ids of the workers; their TMPDIR lies in the run's folder."""
        found = []
        for process in pathlib.Path("/proc").glob("[0-9]*"):
            try:
                if f"TMPDIR={self.folder}/".encode() in (process / "environ").read_bytes():
                    found.append(int(process.name))
            except OSError:
                pass
        return found

    def check_complete(self):
        with h5py.File(self.output) as file:
            assert file.attrs["complete"] == 1
            assert (file["items/status"][:] == 1).all()
            np.testing.assert_array_equal(file["results/double_index"][:], 2.0 * np.arange(self.items))


def resume(run, **options):
    """The same command with --resume, to its end."""
    with Run(run.folder, "--resume", items=run.items, item_s=0, **options) as again:
        assert again.wait() == 0, again.text
        again.check_complete()

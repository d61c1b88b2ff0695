"""Jobs of the shipped scripts, with the worker of tests/agent/fake_worker_main.cpp where time matters and not what is computed."""

import os
import pathlib

import h5py
import numpy as np
from cluster import LIMIT_S, SCRIPTS
from struck import agents_of

from conftest import BIN, ENVIRONMENT


def submit(cluster, script, options, arguments, folder, **environment):
    """The id of a new job in `folder`."""
    variables = {**{name: ENVIRONMENT[name] for name in ("OMPI_ALLOW_RUN_AS_ROOT", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "CUDA_VISIBLE_DEVICES")},
                 "MGPU_RUN": str(BIN / "mgpu_run"), "MGPU_COMMENT_S": "1", **environment}
    done = cluster.run("sbatch", "--parsable", "--chdir", folder, "--output", "job-%A_%a.log" if "--array" in " ".join(options) else "job-%j.log", *options, SCRIPTS / script, *arguments,
                       **variables)
    return done.stdout.strip()


class SlowJob:
    """ITEMS items with 4 to a batch. Each takes `item_s`, until workers start after hurry(): so the middle of the job is long also on a busy
    machine, and the rest is short. `cluster.cancel_all()` ends it."""

    def __init__(self, cluster, folder, *more, script="infer.sbatch", options=("-N2", "-n4"), items=4000, item_s=0.02, first=(), **environment):
        self.cluster, self.folder, self.items, self.output = cluster, folder, items, folder / "out.h5"
        table, model = folder / "items.csv", folder / "net.pt"
        table.write_text("path\n" + "".join(f"item{index}.png\n" for index in range(items)))
        model.write_text("")  # the worker does not open it
        self.arguments = [*first, "--model", model, "--image-size", "8", "--input", table, "--batch-size", "4", "--output", self.output, *more]
        worker = folder / "worker"
        worker.write_text(f'#!/bin/sh\n[ ! -e {folder}/hurry ] || export FAKE_ITEM_S=0\nexec {os.environ["MGPU_FAKE_WORKER"]} "$@"\n')
        worker.chmod(0o755)
        self.environment = {"MGPU_WORKER": str(worker), "FAKE_ITEM_S": str(item_s), **environment}
        self.id = submit(cluster, script, options, self.arguments, folder, **self.environment)

    def hurry(self):
        (self.folder / "hurry").touch()
        return self

    def text(self):
        return self.cluster.text(self.id)

    def wait_for(self, condition, limit_s=LIMIT_S):
        return self.cluster.wait_for(condition, limit_s, self.text)

    def wait_for_work(self, start=0):
        """Until start number `start` has stored results."""
        self.wait_for(at_work(self.cluster, self.id, self.output, start))
        return self

    def wait_ended(self, limit_s=LIMIT_S):
        return self.cluster.wait_ended(self.id, limit_s)

    def signal(self, name="USR2"):
        """To the ranks, as SLURM sends it before the time limit."""
        self.cluster.run("scancel", f"--signal={name}", self.id)

    def check_complete(self):
        with h5py.File(self.output) as file:
            assert file.attrs["complete"] == 1
            assert (file["items/status"][:] == 1).all()
            np.testing.assert_array_equal(file["results/double_index"][:], 2.0 * np.arange(self.items))


def at_work(cluster, job, output, start=0):
    """A condition for Cluster.wait_for: start number `start` of the job has begun, and its journal has been seen to grow."""
    journal = pathlib.Path(f"{output}.journal")
    sizes = set()

    def condition():
        facts = cluster.show(job)
        if facts["JobState"] != "RUNNING" or int(facts["Restarts"]) != start or not agents_of(output) or not journal.exists():
            return False
        sizes.add(journal.stat().st_size)
        return len(sizes) > 2  # the first ones may be those of its head
    return condition

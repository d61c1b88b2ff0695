"""What it costs when a worker dies: from its death to the next one at work, beside the time its model takes to open. And what it costs that one
may: beside the build of another commit (MGPU_BENCH_BEFORE=FOLDER), say the last without isolation and journal (d2caead)."""

import json
import os
import pathlib
import re
import statistics
import subprocess
import time

import torch
import torchvision

from bench_infer import make_bundle, make_pictures
from common import ENVIRONMENT, RUN, alternate, infer, mpirun, report, scratch, target

ROUNDS = 3
PAIRS = 7
EMPTY = 200_000
ALLOWED_S = 0.2  # beyond the model's own load


def recovery(folder, bundle, table, batch):
    """One rank whose worker dies before `batch`: seconds from rank 0's word of the death to "ready", and how long the model took of that."""
    command = ["mpirun", "-np", "1", RUN, "infer", "--output", folder / "out.h5", "--overwrite", "--model", bundle, "--input", table, "--threads", 1, "--batch-size", 4, "--progress",
               "plain", "--fault", f"kill:batch={batch},times=1"]
    run = subprocess.Popen(["stdbuf", "-oL", *map(str, command)], env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    died = opened = None
    for line in run.stdout:
        if "its worker died" in line:
            died = time.perf_counter()
        if died and (ready := re.search(r"ready in ([\d.]+) (ms|s)", line)):
            opened = time.perf_counter() - died
            load = float(ready[1]) * (0.001 if ready[2] == "ms" else 1)
    if run.wait(timeout=300) != 0 or opened is None:
        raise SystemExit(f"{command} ended with {run.returncode}")
    return opened, load


def compare(before, folder, bundle, pictures):
    """Throughput of a network, and what a batch costs whose worker does nothing, with this build and with another."""
    arguments = ("--model", bundle, "--input", pictures, "--threads", 1, "--batch-size", 8)
    rates = alternate(PAIRS, ours=lambda: infer(2, folder, *arguments)["items_per_second"],
                      theirs=lambda: infer(2, folder, *arguments, run=pathlib.Path(before) / "bin/mgpu_run")["items_per_second"])
    report("ResNet-18 on 2 ranks", rates["ours"], rates["theirs"], "before", "items/s", 0.97)
    table = folder / "empty.csv"
    table.write_text("path\n" + "".join(f"/data/{index:08d}.jpg\n" for index in range(EMPTY)))
    programs = {"ours": target("bench_dispatch"), "theirs": target("bench_dispatch", before)}

    def microseconds(program):
        for ending in (".h5", ".h5.journal", ".h5.partial"):
            (folder / f"empty{ending}").unlink(missing_ok=True)
        line = next(line for line in mpirun(1, program, table, folder / "empty.h5", 1).splitlines() if line.startswith("BENCH "))
        return 1e6 * json.loads(line[6:])["seconds"] / EMPTY

    spans = alternate(PAIRS, **{side: lambda program=program: microseconds(program) for side, program in programs.items()})
    print(f"{'an empty batch':<44} ours {spans['ours']:.2f} µs, before {spans['theirs']:.2f} µs: {spans['ours'] - spans['theirs']:+.2f} µs  (wanted at most 50)", flush=True)


def main():
    with scratch() as name:
        folder = pathlib.Path(name)
        torch.manual_seed(0)
        bundle = make_bundle(folder, "resnet18", torchvision.models.resnet18())
        table = make_pictures(folder, "pictures", (500, 375), 60, 10)
        if before := os.environ.get("MGPU_BENCH_BEFORE"):
            compare(before, folder, bundle, table)
        for what, batch in (("a worker dies in the first seconds", 3), ("a worker dies later: one stands by", 120)):
            spans = [recovery(folder, bundle, table, batch) for _ in range(ROUNDS)]
            total, load = (statistics.median(each) for each in zip(*spans))
            print(f"{what:<40} next one ready after {total:5.2f} s, of which its model {load:5.2f} s: {total - load:5.2f} s beside it  (wanted at most {ALLOWED_S})", flush=True)

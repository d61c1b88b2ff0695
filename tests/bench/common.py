"""What the benches share."""

import json
import os
import pathlib
import statistics
import subprocess
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("MGPU_BUILD", ROOT / "build/dev"))
RUN = BUILD / "bin/mgpu_run"
ENVIRONMENT = {**os.environ, "OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1", "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
PYTHON = ROOT / ".venv/bin/python"


def target(name, build=BUILD):
    """Builds a bench program and returns its path."""
    subprocess.run(["cmake", "--build", str(build), "--target", name], check=True, stdout=subprocess.DEVNULL)
    return next(path for path in pathlib.Path(build).rglob(name) if path.is_file())


def mpirun(ranks, *command, **options):
    return subprocess.run(["mpirun", "--oversubscribe", "-np", str(ranks), *map(str, command)], env=ENVIRONMENT, check=True, capture_output=True,
                          text=True, timeout=600, **options).stdout


def infer(ranks, folder, *arguments, run=RUN):
    """One run of mgpu_run infer; its summary."""
    output = pathlib.Path(folder) / "out.h5"
    mpirun(ranks, run, "infer", "--output", output, "--overwrite", "--progress", "none", *arguments)
    return json.loads(pathlib.Path(str(output) + ".summary.json").read_text())


def alternate(rounds, **sides):
    """Runs each side in turn, `rounds` times, and returns the median of each: a drift of the machine hits all alike."""
    values = {name: [] for name in sides}
    for _ in range(rounds):
        for name, run in sides.items():
            values[name].append(run())
    return {name: statistics.median(each) for name, each in values.items()}


def report(what, ours, theirs, peer, unit, wanted):
    """One line: both sides, the ratio (larger is better for us) and what it ought to be."""
    ratio = ours / theirs
    print(f"{what:<44} ours {ours:>12,.1f} {unit:<8} {peer} {theirs:>12,.1f} {unit:<8} ratio {ratio:7.2f}  (wanted {wanted})", flush=True)


def scratch():
    return tempfile.TemporaryDirectory(prefix="mgpu_bench_")


def clock(command, **options):
    begin = time.perf_counter()
    subprocess.run(list(map(str, command)), env=ENVIRONMENT, check=True, capture_output=True, timeout=600, **options)
    return time.perf_counter() - begin

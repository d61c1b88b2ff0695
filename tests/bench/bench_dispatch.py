"""Dispatch: the real agents with workers that do nothing or sleep."""

import json
import math
import pathlib
import random
import subprocess
import time

from common import ENVIRONMENT, PYTHON, alternate, mpirun, report, scratch, target

ITEMS = 1_000_000
RANKS = 2 # one worker beside rank 0, as mpi4py.futures has


def futures_rate(chunk, items):
    """mpi4py.futures with one worker process: empty tasks a second."""
    script = pathlib.Path(__file__).with_name("futures_peer.py")
    return float(mpirun(2, PYTHON, "-m", "mpi4py.futures", script, chunk, items).split()[-1])


def ours(program, table, output, ranks, opens_at=()):
    text = mpirun(ranks, program, table, output, 1, *opens_at)
    pathlib.Path(output).unlink()
    return json.loads(text.split("BENCH", 1)[1])


def sleeping(program, folder, name, count, mean_s, sigma, ranks=8):
    """Log-normal sleeping items with known costs: lower bound ÷ makespan."""
    random.seed(1)
    seconds = [random.lognormvariate(math.log(mean_s) - sigma * sigma / 2, sigma) for _ in range(count)]
    table = pathlib.Path(folder) / "sleep.csv"
    table.write_text("path,sleep,cost\n" + "".join(f"x,{second:.6f},{second:.6f}\n" for second in seconds))
    bound = max(sum(seconds) / ranks, max(seconds))
    runs = sorted(ours(program, table, pathlib.Path(folder) / "o.h5", ranks, (int(time.time()) + 2,))["seconds"] for _ in range(5))
    print(f"{name:<44} lower bound {bound:.3f} s   makespan {runs[2]:.3f} s (best {runs[0]:.3f})   ratio {bound / runs[2]:.3f}  (wanted 0.98)", flush=True)


def main():
    program = target("bench_dispatch")
    with scratch() as folder:
        table = pathlib.Path(folder) / "million.csv"
        table.write_text("path\n" + "".join(f"/data/set/images/img_{index:08d}.jpg\n" for index in range(ITEMS)))
        facts = {}
        def run():
            facts.update(ours(program, table, pathlib.Path(folder) / "o.h5", RANKS))
            return facts["items"] / facts["seconds"]
        rates = alternate(3, ours=run, chunk1=lambda: futures_rate(1, 4000), chunk100=lambda: futures_rate(100, 200_000))
        report("empty items, leases and deadlines on", rates["ours"], rates["chunk1"], "mpi4py.futures chunk 1", "items/s", "200")
        report("", rates["ours"], rates["chunk100"], "chunk 100", "items/s", "2")
        print(f"{'a million items':<44} first grant after {facts['start_s']:.2f} s (wanted < 3), rank 0 peak {facts['rank0_peak_mb']:.0f} MB (wanted < 500)")
        sleeping(program, folder, "2000 items of 10 ms, sigma 1, 8 ranks", 2000, 0.010, 1.0)
        sleeping(program, folder, "200 items of 20 ms, sigma 1.5, 8 ranks", 200, 0.020, 1.5)

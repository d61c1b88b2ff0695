"""Steps of a training on 2 ranks of one thread each: beside torchrun + DDP over gloo, our own steps without synchronisation, and plain PyTorch."""

import json
import pathlib
import statistics
import subprocess

import h5py
import numpy as np

from common import ENVIRONMENT, PYTHON, RUN, alternate, scratch
from train_networks import CASES, write_case

WARM_UP = 5  # steps that are not counted
ROUNDS = 3
PARITY = 1e-3
# ResNet-18 with batches of 8 is chaotic: two runs of plain PyTorch whose weights differ by 1e-7 differ by 3e-4 at step 3 and by 2e-2 at step 5.
PARITY_STEPS = {"mlp": None, "resnet18": 2}


def step_ms(seconds):
    return 1000 * statistics.median(seconds[WARM_UP:])


def our_command(ranks, place, case, output):
    *_, batch, steps, rate = CASES[case]
    return ["mpirun", "--oversubscribe", "-np", ranks, RUN, "train", "--model", place, "--input", place / "table.csv", "--no-shuffle", "--batch-size", batch, "--epochs",
            100, "--max-steps", steps, "--lr", rate, "--momentum", 0.9, "--threads", 1, "--checkpoint-every", 0, "--progress", "none", "--output", output, "--overwrite"]


def start(command):
    return subprocess.Popen(list(map(str, command)), env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(process):
    out, err = process.communicate(timeout=600)
    if process.returncode:
        raise SystemExit(f"{process.args} ended with {process.returncode}\n{out}\n{err}")
    return out


def ours(ranks, place, case, told, at_once=1):
    """Milliseconds a step of the slowest of `at_once` runs that go side by side."""
    outputs = [place / f"out{index}.h5" for index in range(at_once)]
    for process in [start(our_command(ranks, place, case, output)) for output in outputs]:
        finish(process)
    spans = []
    for output in outputs:
        with h5py.File(output) as file:
            spans.append(step_ms(file["training/samples"][:] / file["training/samples_per_s"][:]))
            told[ranks] = file["training/loss"][:]
            ranks_table = file["ranks"][:]
            told["wait", ranks] = ranks_table["reduce_wait_s"] / ranks_table["wall_s"]
    return max(spans)


def theirs(ranks, place, case, told):
    script, steps = pathlib.Path(__file__).with_name("train_peer.py"), CASES[case][4]
    command = [PYTHON, script, case, place, "alone", steps] if ranks == 1 else \
        [PYTHON.parent / "torchrun", "--nproc-per-node", ranks, script, case, place, "ddp", steps]
    facts = json.loads(finish(start(command)).splitlines()[-1])
    told[ranks] = np.array(facts["loss"])
    return step_ms(facts["seconds"])


def compare(case, place, wanted):
    mine, peers, alone = {}, {}, {}
    ms = alternate(ROUNDS,
                   ours=lambda: ours(2, place, case, mine), ddp=lambda: theirs(2, place, case, peers),
                   apart=lambda: ours(1, place, case, alone, at_once=2),
                   one=lambda: ours(1, place, case, mine), plain=lambda: theirs(1, place, case, peers))

    def line(what, own, peer, name, goal):
        print(f"{what:<34} ours {ms[own]:8.2f} ms   {name:<30} {ms[peer]:8.2f} ms   ratio {ms[peer] / ms[own]:5.2f}  (wanted {goal})", flush=True)

    line(f"{case}, a step on 2 ranks", "ours", "ddp", "torchrun + DDP/gloo", wanted)
    line("", "ours", "apart", "our own without synchronisation", "0.97")
    line(f"{case}, a step on 1 rank", "one", "plain", "plain PyTorch", "1")
    waits = 100 * mine["wait", 2]
    print(f"{'':<34} waiting for sums and other ranks: {min(waits):.1f} to {max(waits):.1f} % of a rank's time  (wanted at most 10)")
    for ranks in (1, 2):
        worst = float(np.max(np.abs(mine[ranks] / peers[ranks] - 1)[:PARITY_STEPS[case]]))
        print(f"{'':<34} losses on {ranks} rank{'s' if ranks > 1 else ''} differ by {worst:.1e} at most over {PARITY_STEPS[case] or 'all'} steps (allowed {PARITY:.0e})")
        if not worst < PARITY:
            raise SystemExit(f"{case}: not the same training: {mine[ranks][:5]} … {peers[ranks][:5]} …")


def main():
    with scratch() as name:
        compare("mlp", write_case(name, "mlp"), "2.5")
        compare("resnet18", write_case(name, "resnet18"), "1.35")

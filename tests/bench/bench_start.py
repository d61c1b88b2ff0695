"""From launch to the first result, beside torchrun; and N ranks opening one model beside one rank."""

import json
import pathlib

import torch
import torchvision

from common import ENVIRONMENT, PYTHON, ROOT, RUN, alternate, clock, infer, report, scratch
from bench_infer import Tiny, make_bundle, make_pictures


def opening(ranks, folder, bundle, table):
    """Seconds until all ranks' model is open, from rank 0's own count, with one thread a rank."""
    infer(ranks, folder, "--model", bundle, "--input", table, "--batch-size", 1, "--threads", 1)
    import h5py
    with h5py.File(folder / "out.h5") as file:
        return float(max(file["ranks"]["open_s"]))


def main():
    with scratch() as name:
        folder = pathlib.Path(name)
        torch.manual_seed(0)
        tiny = make_bundle(folder, "tiny", Tiny())
        resnet = make_bundle(folder, "resnet18", torchvision.models.resnet18(weights=None))
        table = make_pictures(folder, "two", (500, 375), 2, 1)
        script = pathlib.Path(__file__).with_name("torchrun_peer.py")
        torchrun = PYTHON.parent / "torchrun"
        seconds = alternate(
            5,
            ours=lambda: clock(["mpirun", "--oversubscribe", "-np", 2, RUN, "infer", "--model", tiny, "--input", table, "--batch-size", 1, "--output", folder / "s.h5",
                                "--overwrite", "--progress", "none"]),
            theirs=lambda: clock([torchrun, "--nproc-per-node", 2, script, tiny / "model.pt", table]))
        print(f"{'launch to committed result and exit, 2 ranks':<44} ours {seconds['ours']:.2f} s   torchrun + gloo {seconds['theirs']:.2f} s   "
              f"ratio {seconds['theirs'] / seconds['ours']:.2f}  (wanted 6)")
        more = make_pictures(folder, "several", (500, 375), 40, 20)
        opened = alternate(3, one=lambda: opening(1, folder, resnet, more), two=lambda: opening(2, folder, resnet, more))
        print(f"{'opening ResNet-18 (slowest rank)':<44} 2 ranks {opened['two']:.3f} s   1 rank {opened['one']:.3f} s   "
              f"ratio {opened['two'] / opened['one']:.2f}  (wanted at most 1.15)")

"""From launch to the first result, beside torchrun; and N ranks opening one model beside one rank."""

import pathlib
import subprocess

import torch
import torchvision

from common import ENVIRONMENT, PYTHON, RUN, alternate, clock, infer, scratch
from bench_infer import Tiny, make_bundle, make_pictures


def opening(ranks, folder, bundle, table):
    """Seconds until all ranks' model is open, from rank 0's own count, with one thread a rank."""
    infer(ranks, folder, "--model", bundle, "--input", table, "--batch-size", 1, "--threads", 1)
    import h5py
    with h5py.File(folder / "out.h5") as file:
        return float(max(file["ranks"]["open_s"]))


COMPUTE = """
import time, torch
torch.set_num_threads(1)
x, w = torch.randn(8, 64, 56, 56), torch.randn(64, 64, 3, 3)
begin = time.perf_counter()
for _ in range(15): torch.nn.functional.conv2d(x, w, padding=1)
print(time.perf_counter() - begin)
"""


def computing(processes):
    """Seconds that a fixed convolution takes each of so many processes: what this machine's cores really give side by side."""
    running = [subprocess.Popen([PYTHON, "-c", COMPUTE], env=ENVIRONMENT, stdout=subprocess.PIPE, text=True) for _ in range(processes)]
    return max(float(process.communicate(timeout=300)[0]) for process in running)


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
        opened = alternate(3, one=lambda: opening(1, folder, resnet, more), two=lambda: opening(2, folder, resnet, more),
                           compute_one=lambda: computing(1), compute_two=lambda: computing(2))
        print(f"{'opening ResNet-18 (slowest rank)':<44} 2 ranks {opened['two']:.3f} s   1 rank {opened['one']:.3f} s   "
              f"ratio {opened['two'] / opened['one']:.2f}  (wanted at most 1.15; "
              f"mere computing here: {opened['compute_two'] / opened['compute_one']:.2f})")

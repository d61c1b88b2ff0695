"""What the checks share: where things lie, how a program is run, data, comparisons.

A check is a function with `@check(part, limit_s)`. It returns a dict of what it saw, or raises. `gpu=False`: it also runs without a GPU.
`alone=True`: no other check runs beside it (it fills the GPU's memory, or takes time).
"""

import dataclasses
import os
import pathlib
import re
import signal
import subprocess
import sys

import h5py
import numpy as np
import torch
from PIL import Image
from sklearn.datasets import load_sample_images

PACK = pathlib.Path(os.environ["MGPU_PACK"])  # the unpacked archive, or the project's build seen as one
RUN = PACK / "bin/mgpu_run"
WORK = pathlib.Path(os.environ["MGPU_GPU_WORK"])  # a scratch folder
HAS_GPU = os.environ["MGPU_GPU_COUNT"] != "0"
EXACT = {"NVIDIA_TF32_OVERRIDE": "0"}  # float32 products in float32, for comparisons with a CPU


@dataclasses.dataclass
class Check:
    name: str
    part: str
    limit_s: float
    gpu: bool
    alone: bool
    call: object


CHECKS = []


def check(part, limit_s, gpu=True, alone=False):
    def add(call):
        CHECKS.append(Check(call.__name__.replace("_", "-"), part, limit_s, gpu, alone, call))
        return call
    return add


class Failed(Exception):
    """What a check saw and should not have seen."""


def expect(condition, text):
    if not condition:
        raise Failed(text)


@dataclasses.dataclass
class Finished:
    code: int
    out: str

    def tail(self):
        return "\n".join(line for line in self.out.splitlines() if line.strip())[-1500:]


def run_program(command, limit_s=120, environment=None, code=0):
    """Runs a command in a process group of its own; ends the whole group at the limit. `code`: the exit codes that are right, None for any."""
    process = subprocess.Popen(list(map(str, command)), env={**os.environ, **(environment or {})}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True)
    try:
        out, _ = process.communicate(timeout=limit_s)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        out, _ = process.communicate()
        raise Failed(f"not done after {limit_s} s: {' '.join(map(str, command))}\n{out.decode(errors='replace')[-1500:]}")
    done = Finished(process.returncode, out.decode(errors="replace"))
    wanted = code if isinstance(code, tuple) else (code,)
    if code is not None and done.code not in wanted:
        raise Failed(f"exit code {done.code}, expected {code}: {' '.join(map(str, command))}\n{done.tail()}")
    return done


def mgpu(job, *arguments, ranks=1, code=0, limit_s=120, environment=None, wrapper=()):
    """One run of mgpu_run under mpirun; one loader and one thread a rank unless told otherwise."""
    launcher = ["mpirun", "--oversubscribe", "--bind-to", "none", "-np", ranks] if ranks > 1 or wrapper else []
    return run_program([*launcher, *wrapper, RUN, job, *arguments], limit_s, environment, code)


def place(name):
    """An empty folder of this check's own."""
    folder = WORK / name
    folder.mkdir(parents=True, exist_ok=True)
    return folder


# --- data --------------------------------------------------------------------------------------------------------------------

def photographs():
    return [Image.fromarray(picture) for picture in load_sample_images().images]


def crops(count, width=320, height=240, seed=3):
    """Random crops of scikit-learn's two photographs, `width`×`height` at most."""
    generator, sources = np.random.default_rng(seed), photographs()
    for index in range(count):
        source = sources[index % 2]
        w, h = int(generator.integers(width // 2, width + 1)), int(generator.integers(height // 2, height + 1))
        left, top = int(generator.integers(0, source.width - w + 1)), int(generator.integers(0, source.height - h + 1))
        yield source.crop((left, top, left + w, top + h))


def save_pictures(folder, count=45):
    for index, picture in enumerate(crops(count)):
        picture.save(folder / f"{index:04d}.{['jpg', 'png', 'jpg', 'bmp'][index % 4]}")
    return folder


# --- results -----------------------------------------------------------------------------------------------------------------

def result(path, name):
    with h5py.File(path) as file:
        node = file["results"][name]
        return node["values"][:] if isinstance(node, h5py.Group) else node[:]


def statuses(path):
    with h5py.File(path) as file:
        return file["items/status"][:], [text.decode() for text in file["items/error"][:]]


def curve(path, name="loss"):
    with h5py.File(path) as file:
        return file["training"][name][:]


def network_of(path):
    return {name: value.detach().cpu() for name, value in torch.jit.load(str(path), map_location="cpu").state_dict().items()}


def difference(one, other):
    """The largest difference, as a share of the largest value; infinite where a NaN is on one side only or shapes differ."""
    one, other = np.asarray(one, dtype=np.float64), np.asarray(other, dtype=np.float64)
    if one.shape != other.shape or (np.isnan(one) != np.isnan(other)).any():
        return float("inf")
    scale = np.nanmax(np.abs(other))
    return float(np.nanmax(np.abs(one - other)) / scale) if scale > 0 else float(np.nanmax(np.abs(one)))


def expect_close(one, other, most, what):
    seen = difference(one, other)
    expect(seen <= most, f"{what}: they differ by {seen:.2e} of the largest value, allowed {most:.0e}")
    return seen


def expect_same_bits(one, other, what):
    one, other = np.asarray(one), np.asarray(other)
    expect(one.shape == other.shape and one.tobytes() == other.tobytes(), f"{what}: bits differ, by {difference(one, other):.2e} of the largest value")


class Ballast:
    """Holds the GPU's memory but for `leave_bytes`, in a process of its own."""

    CODE = ("import sys, torch\n"
            "free, _ = torch.cuda.mem_get_info()\n"
            "held = torch.empty(max(free - int(sys.argv[1]), 1), dtype=torch.uint8, device='cuda')\n"
            "print('ready', flush=True)\n"
            "sys.stdin.read()\n")

    def __init__(self, leave_bytes):
        self.leave_bytes = leave_bytes

    def __enter__(self):
        self.process = subprocess.Popen([sys.executable, "-c", self.CODE, str(int(self.leave_bytes))], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        expect(self.process.stdout.readline().strip() == "ready", "the ballast could not be taken")

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait(30)


def number_after(pattern, text):
    found = re.search(pattern, text)
    return float(found.group(1)) if found else None

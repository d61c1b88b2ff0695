"""End to end: the real programs under mpirun on real files. MGPU_BIN names the folder of the programs."""

import os
import pathlib
import resource
import shutil
import subprocess
import sys

import h5py
import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_sample_images

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "torture"))
from processes import sweep_session_folders  # noqa: E402

BIN = pathlib.Path(os.environ["MGPU_BIN"])
RUN_LIMIT_S = 120
ENVIRONMENT = {**os.environ, "OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1", "CUDA_VISIBLE_DEVICES": ""}


class Finished:
    def __init__(self, done):
        self.code, self.out, self.err = done.returncode, done.stdout, done.stderr

    def lines_of_ours(self):
        """Lines that the program wrote to standard error, without mpirun's own notices."""
        return [line for line in self.err.splitlines() if line.startswith("mgpu_run")]


def mgpu_run(*arguments, ranks=2, limits=None, **extra_environment):
    """Runs mgpu_run with `ranks` ranks (0: without mpirun); a hang ends after RUN_LIMIT_S. `limits`: as for resource.setrlimit."""
    mpirun = shutil.which("mpirun")
    launcher = [mpirun, "--oversubscribe", "--timeout", str(RUN_LIMIT_S), "-np", str(ranks)] if ranks else []
    command = [*launcher, str(BIN / "mgpu_run"), *map(os.fsencode, map(str, arguments))]
    done = subprocess.run(command, env={**ENVIRONMENT, **extra_environment}, capture_output=True, timeout=RUN_LIMIT_S + 30,
                          preexec_fn=lambda: [resource.setrlimit(*limit) for limit in (limits or {}).items()])
    done.stdout = done.stdout.decode(errors="replace")
    done.stderr = done.stderr.decode(errors="replace")
    return Finished(done)


class SmallNet(torch.nn.Module):
    """A few convolutions and a head of 10 classes, with weights that depend on the seed only."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(5)
        self.body = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 7, stride=4), torch.nn.ReLU(), torch.nn.Conv2d(8, 16, 3, stride=2), torch.nn.ReLU())
        self.head = torch.nn.Linear(16, 10)

    def forward(self, x):
        return self.head(self.body(x).mean(dim=(2, 3)))


@pytest.fixture(scope="session")
def photographs():
    """scikit-learn's two real photographs."""
    return [Image.fromarray(picture) for picture in load_sample_images().images]


@pytest.fixture(scope="session")
def bundle(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bundle")
    torch.jit.script(SmallNet().eval()).save(str(folder / "net.pt"))
    (folder / "bundle.json").write_text("""{"schema": "mgpu-bundle/1", "model": "net.pt",
        "image": {"size": [96, 96], "resize": "shorter", "resize_to": 110, "crop": "center",
                  "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]},
        "outputs": ["logits"], "labels": ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"]}""")
    return folder


@pytest.fixture(scope="session")
def pictures(tmp_path_factory, photographs):
    """45 crops of the photographs in several formats, in nested folders."""
    folder = tmp_path_factory.mktemp("pictures")
    generator = np.random.default_rng(3)
    for index in range(45):
        source = photographs[index % 2]
        left, top = int(generator.integers(0, source.width - 320)), int(generator.integers(0, source.height - 240))
        crop = source.crop((left, top, left + int(generator.integers(120, 320)), top + int(generator.integers(120, 240))))
        kind = ["jpg", "jpg", "png", "bmp", "webp"][index % 5]
        place = folder / f"part{index % 3}"
        place.mkdir(exist_ok=True)
        crop.save(place / f"crop{index:03d}.{kind}")
    return folder


@pytest.fixture(autouse=True)
def no_traces_of_killed_runs():
    sweep_session_folders()
    yield
    sweep_session_folders()


def arrays(path):
    """Everything that must not depend on ranks, schedule or timing, as bytes by name."""
    out = {}
    with h5py.File(path) as file:
        for name in ("path", "status", "error", "crc32c"):
            values = file["items"][name][:]
            out["items/" + name] = [bytes(value) for value in values] if values.dtype == object else values.tobytes()
        def visit(name, node):
            if isinstance(node, h5py.Dataset):
                values = node[:]
                out["results/" + name] = list(values) if values.dtype == object else values.tobytes()
        file["results"].visititems(visit)
    return out


@pytest.fixture(scope="session")
def data(tmp_path_factory):
    """Digits and networks to train (training.make_data)."""
    import training
    return training.make_data(tmp_path_factory.mktemp("digits"))

"""What the tests of training share: digits to train with, networks, runs, and what they left."""

import csv
import json
import pathlib
import subprocess
import sys

import h5py
import numpy as np
import torch

from conftest import BIN, ENVIRONMENT, mgpu_run

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "jobs/train"))
import digits  # noqa: E402  (the demonstration's own data)

CLASSES = digits.NAMES
MEAN, STD = 0.3, 0.35
ITEMS = 1198  # digits to train with


class Plain(torch.nn.Module):
    """Nothing that depends on how a batch is cut: no batch norm, no dropout."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(7)
        self.body = torch.nn.Sequential(torch.nn.Conv2d(1, 8, 5, stride=2), torch.nn.ReLU(), torch.nn.Conv2d(8, 16, 3, stride=2), torch.nn.ReLU())
        self.head = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(16 * 6 * 6, 32), torch.nn.Tanh(), torch.nn.Linear(32, 10))

    def forward(self, x):
        return self.head(self.body(x))


class Normed(torch.nn.Module):
    """Batch norm, whose running statistics must be kept and saved."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(8)
        self.body = torch.nn.Sequential(torch.nn.Conv2d(1, 8, 5, stride=4), torch.nn.BatchNorm2d(8), torch.nn.ReLU(), torch.nn.Flatten())
        self.head = torch.nn.Linear(8 * 7 * 7, 10)

    def forward(self, x):
        return self.head(self.body(x))


class NormedFeatures(torch.nn.Module):
    """Batch norm of one value a sample: it cannot be trained on a single one."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(12)
        self.body = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(32 * 32, 16), torch.nn.BatchNorm1d(16), torch.nn.ReLU())
        self.head = torch.nn.Linear(16, 10)

    def forward(self, x):
        return self.head(self.body(x))


class Wide(torch.nn.Module):
    """So much arithmetic that a run can be interrupted."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(9)
        self.body = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(1024, 1500), torch.nn.ReLU(), torch.nn.Linear(1500, 1500), torch.nn.ReLU(),
                                        torch.nn.Linear(1500, 10))

    def forward(self, x):
        return self.body(x)


class Stateful(torch.nn.Module):
    """Everything a resume could forget: running statistics and random numbers."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(11)
        self.body = torch.nn.Sequential(torch.nn.Conv2d(1, 16, 5, stride=2), torch.nn.BatchNorm2d(16), torch.nn.ReLU(), torch.nn.Dropout(0.3), torch.nn.Flatten())
        self.head = torch.nn.Linear(16 * 14 * 14, 10)

    def forward(self, x):
        return self.head(self.body(x))


class Unused(torch.nn.Module):
    """One parameter takes no part in the loss."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(10)
        self.head = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(1024, 10))
        self.forgotten = torch.nn.Linear(3, 2)

    def forward(self, x):
        return self.head(x)


def write_bundle(folder, network, name="net", **more):
    """A bundle with `network` in train mode; its folder."""
    place = pathlib.Path(folder) / name
    place.mkdir(parents=True)
    torch.jit.script(network.train()).save(str(place / "model.pt"))
    image = {"size": [32, 32], "resize": "none", "crop": "none", "channels": 1, "mean": [MEAN], "std": [STD]}
    (place / "bundle.json").write_text(json.dumps({"schema": "mgpu-bundle/1", "model": "model.pt", "image": image, "outputs": ["logits"],
                                                   "labels": CLASSES, **more}))
    return place


def write_table(path, rows):
    with open(path, "w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["path", "label"])
        table.writerows(rows)
    return path


def train(*arguments, ranks=2, code=0, **environment):
    """Runs `mgpu_run train` with one thread a rank; its exit code must be `code`, or one of them."""
    done = mgpu_run("train", *arguments, "--threads", 1, ranks=ranks, **environment)
    assert done.code in (code if isinstance(code, tuple) else (code,)), f"exit code {done.code}, expected {code}\n{done.out[-3000:]}\n{done.err[-3000:]}"
    return done


def start_train(*arguments, ranks=2, output):
    """The same in the background; its text goes to `output`."""
    command = ["mpirun", "--oversubscribe", "--timeout", "120", "-np", str(ranks), str(BIN / "mgpu_run"), "train", *map(str, arguments), "--threads", "1"]
    return subprocess.Popen(command, env=ENVIRONMENT, stdout=output, stderr=subprocess.STDOUT, start_new_session=True)


def history(path, name="loss"):
    """One of /training."""
    with h5py.File(path) as file:
        return file["training"][name][:]


def parameters_of(path):
    return {name: value.detach() for name, value in torch.jit.load(str(path)).state_dict().items()}


def assert_same_curve(one, other, relative):
    """Losses of two result files, step by step."""
    one, other = history(one), history(other)
    assert len(one) == len(other)
    np.testing.assert_allclose(one, other, rtol=relative, atol=0)


def assert_same_bits(one, other):
    """Two runs (result file, saved network) that must not differ in any bit."""
    for name in ("loss", "lr", "samples", "epoch", "step"):
        np.testing.assert_array_equal(history(one[0], name), history(other[0], name), err_msg=name)
    first, second = parameters_of(one[1]), parameters_of(other[1])
    assert first.keys() == second.keys()
    for name in first:
        assert torch.equal(first[name], second[name]), name


def make_data(folder):
    """The digits, a table that mixes the classes, one of the held-out digits, and a bundle of each network."""
    digits.main(folder)
    rows = [(path.relative_to(folder), path.parent.name) for path in (folder / "train").rglob("*.png")]
    assert len(rows) == ITEMS
    rows.sort(key=lambda row: row[0].name)
    networks = {"plain": Plain(), "normed": Normed(), "wide": Wide(), "stateful": Stateful(), "unused": Unused(),
                "normed_features": NormedFeatures()}
    return {"folder": folder, "rows": rows, "table": write_table(folder / "train.csv", rows), "held_out": folder / "test.csv",
            **{name: write_bundle(folder, network, name) for name, network in networks.items()}}

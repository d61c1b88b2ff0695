"""What is run: small real networks over many small items, some of them bad; results of every layout."""

import csv
import pathlib
import sys

import numpy as np
import soundfile
import torch
from PIL import Image

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "worker/model"))
from make_models import Spelling  # noqa: E402

COMMON = ("--batch-size", "8", "--threads", "1", "--item-timeout", "2", "--stall-timeout", "15", "--rank-timeout", "8", "--start-timeout", "30", "--progress", "none")


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(7)
        self.body = torch.nn.Conv2d(3, 8, 5, stride=2)
        self.head = torch.nn.Linear(8, 10)

    def forward(self, x):
        return self.head(torch.relu(self.body(x)).mean(dim=(2, 3)))


def write_table(path, files, count):
    """`count` rows over the files; every 97th is not there."""
    with open(path, "w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["path", "id"])
        for row in range(count):
            table.writerow([f"/nowhere/missing{row}.jpg" if row % 97 == 13 else files[row % len(files)], f"row {row}"])


def pictures(folder, count):
    """Fixed columns; every 53rd picture is text."""
    folder = pathlib.Path(folder)
    (folder / "bundle").mkdir(parents=True)
    torch.jit.script(Net().eval()).save(str(folder / "bundle/net.pt"))
    (folder / "bundle/bundle.json").write_text("""{"schema": "mgpu-bundle/1", "model": "net.pt",
        "image": {"size": [32, 32], "resize": "exact", "crop": "none", "mean": [0.5, 0.5, 0.5], "std": [0.2, 0.2, 0.2]},
        "outputs": ["logits"], "labels": ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"]}""")
    generator = np.random.default_rng(1)
    files = []
    for index in range(53):
        files.append(folder / f"{index}.{'png' if index % 2 else 'jpg'}")
        if index == 52:
            files[-1].write_text("no picture")
        else:
            Image.fromarray(generator.integers(0, 256, (48, 40, 3), dtype=np.uint8)).save(files[-1])
    write_table(folder / "items.csv", files, count)
    return ["infer", "--model", folder / "bundle", "--input", folder / "items.csv", "--topk", "3", *COMMON]


def recordings(folder, count):
    """Text and ragged columns."""
    folder = pathlib.Path(folder)
    (folder / "bundle").mkdir(parents=True)
    torch.jit.trace(Spelling().eval(), (torch.rand(2, 1, 800), torch.tensor([800, 400])), strict=False).save(str(folder / "bundle/net.pt"))
    (folder / "bundle/bundle.json").write_text("""{"schema": "mgpu-bundle/1", "model": "net.pt", "audio": {"sample_rate": 8000},
        "outputs": ["log_probabilities", "frames"], "task": "ctc", "vocabulary": ["", "a", "b", " ", "ch"], "blank": 0, "frame_seconds": 0.01}""")
    generator = np.random.default_rng(2)
    files = []
    for index in range(41):
        files.append(folder / f"{index}.wav")
        frames = generator.integers(0, 5, generator.integers(1, 30))
        soundfile.write(files[-1], np.repeat(frames / 10, 80), 8000, subtype="FLOAT")
    write_table(folder / "items.csv", files, count)
    return ["infer", "--model", folder / "bundle", "--input", folder / "items.csv", *COMMON]

"""What bench_train trains: networks, and pictures for them. Both sides read the same files."""

import csv
import json
import pathlib

import numpy as np
import torch
import torchvision
from PIL import Image
from sklearn.datasets import load_sample_images

CLASSES = [str(index) for index in range(10)]


class Mlp(torch.nn.Module):
    """4.2 million parameters and little arithmetic: what it costs to bring gradients together shows."""

    def __init__(self):
        super().__init__()
        layers = [torch.nn.Flatten()]
        for _ in range(4):
            layers += [torch.nn.Linear(1024, 1024), torch.nn.ReLU()]
        self.layers = torch.nn.Sequential(*layers, torch.nn.Linear(1024, 10))

    def forward(self, x):
        return self.layers(x)


# name: network, picture side, channels, samples a rank and step, steps, learning rate
CASES = {
    "mlp": (Mlp, 32, 1, 16, 150, 0.003),
    "resnet18": (lambda: torchvision.models.resnet18(num_classes=10), 64, 3, 8, 30, 0.002),
}


def network(name):
    torch.manual_seed(0)
    return CASES[name][0]().train()


def write_case(folder, name, pictures=512):
    """Crops of scikit-learn's photographs as PNG files, a table, and a bundle; the folder."""
    _, side, channels, *_ = CASES[name]
    place = pathlib.Path(folder) / name
    (place / "pictures").mkdir(parents=True)
    photographs = [Image.fromarray(picture) for picture in load_sample_images().images]
    choose = np.random.default_rng(0)
    with open(place / "table.csv", "w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["path", "label"])
        for index in range(pictures):
            label = int(choose.integers(10))
            source = photographs[label % 2]
            left, top = int(choose.integers(0, source.width - 2 * side)), label * 25 + int(choose.integers(0, 20))
            crop = source.crop((left, top, left + 2 * side, top + 2 * side)).resize((side, side))
            path = place / f"pictures/{index:04d}.png"
            (crop if channels == 3 else crop.convert("L")).save(path)
            table.writerow([path, label])
    torch.jit.script(network(name)).save(str(place / "model.pt"))
    image = {"size": [side, side], "resize": "none", "crop": "none", "channels": channels, "mean": [0.45] * channels, "std": [0.25] * channels}
    (place / "bundle.json").write_text(json.dumps({"schema": "mgpu-bundle/1", "model": "model.pt", "image": image, "outputs": ["logits"], "labels": CLASSES}))
    return place


def read_case(place):
    """The table's pictures as the network wants them [N, C, H, W], and labels [N]."""
    with open(pathlib.Path(place) / "table.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    pictures = torch.from_numpy(np.stack([np.atleast_3d(np.array(Image.open(row["path"]))) for row in rows]))
    return (pictures.permute(0, 3, 1, 2).float() / 255 - 0.45) / 0.25, torch.tensor([int(row["label"]) for row in rows])

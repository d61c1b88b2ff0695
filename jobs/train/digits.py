"""Real handwritten digits and a small network that knows nothing yet, for the demo: `python digits.py FOLDER`.

The digits are the test set of UCI's "Optical Recognition of Handwritten Digits" (1,797 pictures of 8×8 pixels) as scikit-learn's
package ships them. They are written as PNG files, one folder a class: two thirds below train/, the held-out third below test/, with
test.csv as a table of true labels. bundle/ holds the network with random weights and says how pictures are fed to it.
"""

import csv
import json
import pathlib
import sys

import numpy as np
import torch
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

SIZE = 32  # pictures are written 4 times larger, as a scanner would give them
NAMES = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]


def network():
    """34,000 parameters, random but the same in every run."""
    torch.manual_seed(1)
    return torch.nn.Sequential(
        torch.nn.Conv2d(1, 16, 5, stride=2, padding=2), torch.nn.BatchNorm2d(16), torch.nn.ReLU(),
        torch.nn.Conv2d(16, 32, 3, stride=2, padding=1), torch.nn.BatchNorm2d(32), torch.nn.ReLU(),
        torch.nn.Conv2d(32, 64, 3, stride=2, padding=1), torch.nn.BatchNorm2d(64), torch.nn.ReLU(),
        torch.nn.Flatten(), torch.nn.Linear(64 * 4 * 4, 10))


def write_pictures(folder, digits, labels):
    """One PNG a digit below `folder`/CLASS; (path relative to the parent of `folder`, class) of each."""
    rows = []
    for index, (digit, label) in enumerate(zip(digits, labels)):
        path = folder / NAMES[label] / f"{index:04d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.uint8(np.round(digit * (255 / 16)))
        Image.fromarray(pixels).resize((SIZE, SIZE), Image.Resampling.BILINEAR).save(path)
        rows.append((path.relative_to(folder.parent), NAMES[label]))
    return rows


def main(folder):
    folder = pathlib.Path(folder)
    bundle = folder / "bundle"
    bundle.mkdir(parents=True, exist_ok=True)
    torch.jit.script(network()).save(str(bundle / "model.pt"))
    (bundle / "bundle.json").write_text(json.dumps({
        "schema": "mgpu-bundle/1", "model": "model.pt",
        "image": {"size": [SIZE, SIZE], "resize": "none", "crop": "none", "channels": 1, "mean": [0.0], "std": [1.0]},
        "outputs": ["logits"], "labels": NAMES, "task": "classification"}, indent=2))

    digits = load_digits()
    train_x, test_x, train_y, test_y = train_test_split(digits.images, digits.target, test_size=1 / 3, random_state=1, stratify=digits.target)
    write_pictures(folder / "train", train_x, train_y)
    with open(folder / "test.csv", "w", newline="") as table:
        rows = csv.writer(table)
        rows.writerow(["path", "label"])
        rows.writerows(write_pictures(folder / "test", test_x, test_y))
    print(f"{len(train_x)} digits to train with lie in {folder}/train, {len(test_x)} held-out ones in {folder}/test")


if __name__ == "__main__":
    main(sys.argv[1])

"""Real handwritten digits and a small network trained on them, for the demo: `python demo.py FOLDER`.

The digits are the test set of UCI's "Optical Recognition of Handwritten Digits" (1,797 pictures of 8×8 pixels) as scikit-learn's
package ships them. Two thirds train the network; the held-out third is written as PNG files with a table of true labels.
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


def network():
    return torch.nn.Sequential(
        torch.nn.Conv2d(1, 16, 5, stride=2, padding=2), torch.nn.BatchNorm2d(16), torch.nn.ReLU(),
        torch.nn.Conv2d(16, 32, 3, stride=2, padding=1), torch.nn.BatchNorm2d(32), torch.nn.ReLU(),
        torch.nn.Conv2d(32, 64, 3, stride=2, padding=1), torch.nn.BatchNorm2d(64), torch.nn.ReLU(),
        torch.nn.Flatten(), torch.nn.Linear(64 * 4 * 4, 10))


def enlarge(digit):
    pixels = np.uint8(np.round(digit * (255 / 16)))
    return Image.fromarray(pixels).resize((SIZE, SIZE), Image.Resampling.BILINEAR)


def as_input(pictures):
    return torch.stack([torch.from_numpy(np.array(picture)) for picture in pictures])[:, None].float() / 255


def train(pictures, labels, epochs=12):
    torch.manual_seed(1)
    torch.set_num_threads(2)
    model = network()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    inputs, targets = as_input(pictures), torch.tensor(labels)
    for _ in range(epochs):
        for rows in torch.randperm(len(inputs)).split(32):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(model(inputs[rows]), targets[rows]).backward()
            optimizer.step()
        schedule.step()
    return model.eval()


def main(folder):
    folder = pathlib.Path(folder)
    (folder / "digits").mkdir(parents=True, exist_ok=True)
    (folder / "bundle").mkdir(exist_ok=True)
    digits = load_digits()
    train_x, test_x, train_y, test_y = train_test_split(digits.images, digits.target, test_size=1 / 3, random_state=1, stratify=digits.target)

    model = train([enlarge(digit) for digit in train_x], train_y)
    torch.jit.script(model).save(str(folder / "bundle" / "model.pt"))
    names = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
    bundle = {"schema": "mgpu-bundle/1", "model": "model.pt",
              "image": {"size": [SIZE, SIZE], "resize": "none", "crop": "none", "channels": 1, "mean": [0.0], "std": [1.0]},
              "outputs": ["logits"], "labels": names, "task": "classification"}
    (folder / "bundle" / "bundle.json").write_text(json.dumps(bundle, indent=2))

    with open(folder / "digits.csv", "w", newline="") as table:
        rows = csv.writer(table)
        rows.writerow(["path", "label"])
        for index, (digit, label) in enumerate(zip(test_x, test_y)):
            name = f"digits/{index:04d}.png"
            enlarge(digit).save(folder / name)
            rows.writerow([name, names[label]])
    print(f"{len(train_x)} digits trained a network; {len(test_x)} held-out digits lie in {folder}/digits")


if __name__ == "__main__":
    main(sys.argv[1])

"""Makes pictures for the jobs outside the project, or checks what the jobs made of them."""
import pathlib
import sys

import h5py
import numpy as np
from PIL import Image


def make(folder: pathlib.Path) -> None:
    for row in range(5):
        level = np.full((20, 30), row * 60, np.uint8)
        level[:5] = 255 - row
        Image.fromarray(level).save(folder / f"{row}.png")


def compare(folder: pathlib.Path, output: pathlib.Path) -> None:
    with h5py.File(output) as file:
        paths = [pathlib.Path(p.decode()).name for p in file["/items/path"][:]]
        status = file["/items/status"][:]
        ours = file["/results/brightness"][:]
    assert paths == [f"{row}.png" for row in range(5)], paths
    assert (status == 1).all(), status
    theirs = [np.asarray(Image.open(folder / p), np.float64).mean() / 255 for p in paths]
    np.testing.assert_allclose(ours, theirs, rtol=1e-6)
    print("brightness agrees with Pillow:", ours)


def make_shades(folder: pathlib.Path) -> None:
    random = np.random.default_rng(0)
    for part, count in (("train", 20), ("test", 10)):
        for shade, (least, most) in {"dark": (0, 110), "bright": (145, 255)}.items():
            (folder / part / shade).mkdir(parents=True)
            for row in range(count):
                level = np.full((6, 8), random.integers(least, most), np.uint8)
                Image.fromarray(level).save(folder / part / shade / f"{row}.png")


def learned(network: pathlib.Path, output: pathlib.Path) -> None:
    with h5py.File(output) as file:
        loss = file["/training/loss"][:]
        accuracy = file["/training/validation_accuracy"][:]
        classes = [name.decode() for name in file["/training/class_name"][:]]
    assert classes == ["bright", "dark"], classes
    assert loss[-1] < loss[0] / 2, loss
    assert accuracy[-1] == 1, accuracy
    assert network.stat().st_size > 0
    print("shades are told apart; loss", loss[0], "->", loss[-1])


if __name__ == "__main__":
    command, *arguments = sys.argv[1:]
    {"make": make, "compare": compare, "make_shades": make_shades, "learned": learned}[command](*map(pathlib.Path, arguments))

"""Makes five pictures of known brightness, or compares a result file with what Pillow says of them."""
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


if __name__ == "__main__":
    command, *arguments = sys.argv[1:]
    {"make": make, "compare": compare}[command](*map(pathlib.Path, arguments))

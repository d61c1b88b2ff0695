"""Small files that would take much memory or time, and pictures of 16-bit grey."""

import json
import struct
import time
import zlib

import h5py
import numpy as np
import pytest
import torch
from PIL import Image

from conftest import mgpu_run


def png(width, height, bit_depth, colour, data, extra=b"", interlace=0):
    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
    header = struct.pack(">IIBBBBB", width, height, bit_depth, colour, 0, 0, interlace)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + extra + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")


def texts(count, size):
    """`count` compressed texts of `size` bytes each."""
    content = b"comment\0\0" + zlib.compress(b"\0" * size, 9)
    one = struct.pack(">I", len(content)) + b"zTXt" + content + struct.pack(">I", zlib.crc32(b"zTXt" + content))
    return one * count


def tiff(entries, tail=b""):
    """A little-endian TIFF of one page: (tag, type 3 or 4, value)."""
    body = b"II*\0" + struct.pack("<I", 8) + struct.pack("<H", len(entries))
    for tag, kind, value in sorted(entries):
        body += struct.pack("<HHII", tag, kind, 1, value)
    return body + struct.pack("<I", 0) + tail


def bombs():
    grey = [(257, 4, 8), (256, 4, 8), (258, 3, 8), (259, 3, 1), (262, 3, 1), (277, 3, 1)]
    large = [(256, 4, 14000), (257, 4, 14000), (258, 3, 8), (262, 3, 1), (277, 3, 1)]
    rle = b"BM" + struct.pack("<IHHI", 0, 0, 0, 54 + 1024) + struct.pack("<IiiHHIIiiII", 40, 14000, 14000, 1, 8, 1, 0, 0, 0, 256, 0) + bytes(1024)
    yield "tile.tiff", tiff([*grey, (322, 4, 40000), (323, 4, 40000), (324, 4, 146), (325, 4, 16)], b"\0" * 16)
    yield "claims.tiff", tiff([*large, (259, 3, 8), (273, 4, 200), (278, 4, 14000), (279, 4, 20)], b"\0" * 100)
    yield "tiled_claims.tiff", tiff([*large, (259, 3, 8), (322, 4, 256), (323, 4, 256), (324, 4, 200), (325, 4, 20)], b"\0" * 100)
    yield "cut.bmp", rle
    yield "claims.png", png(14000, 14000, 8, 2, b"\0" * 1000, interlace=1)


@pytest.fixture(scope="module")
def mean_model(tmp_path_factory):
    """A bundle whose network gives the mean of a picture of 16 × 16, as bytes."""
    class Mean(torch.nn.Module):
        def forward(self, x):
            return x.mean(dim=(1, 2, 3)).unsqueeze(1)
    folder = tmp_path_factory.mktemp("mean")

    def make(name, **image):
        bundle = folder / name
        bundle.mkdir()
        torch.jit.trace(Mean(), torch.zeros(2, 1, 16, 16)).save(str(bundle / "model.pt"))
        (bundle / "bundle.json").write_text(json.dumps({"schema": "mgpu-bundle/1", "model": "model.pt",
                                                        "image": {"size": [16, 16], "resize": "exact", "crop": "none", "channels": 1, "scale": 1.0, "mean": [0], "std": [1], **image}}))
        return bundle
    return make


def test_bombs_cost_their_row_and_little_memory(mean_model, tmp_path):
    files = list(bombs())
    good = png(16, 16, 8, 0, b"".join(b"\0" + bytes([40]) * 16 for _ in range(16)))
    chatty = png(16, 16, 8, 0, b"".join(b"\0" + bytes([50]) * 16 for _ in range(16)), extra=texts(400, 7_000_000))
    assert len(chatty) < 4_000_000
    for name, content in [("a_good.png", good), ("b_chatty.png", chatty), *files, ("z_good.png", good)]:
        (tmp_path / name).write_bytes(content)
    bundle = mean_model("plain")
    run = ("infer", "--model", bundle, "--batch-size", 2, "--loaders", 1)
    (tmp_path / "only_good.txt").write_text("a_good.png\nz_good.png\n")
    harmless = mgpu_run(*run, "--input", tmp_path / "only_good.txt", "--output", tmp_path / "good.h5", ranks=1)
    assert harmless.code == 0, harmless.err
    begin = time.monotonic()
    done = mgpu_run(*run, "--input", tmp_path, "--output", tmp_path / "out.h5", ranks=1)
    seconds = time.monotonic() - begin
    assert done.code == 3, done.err
    with h5py.File(tmp_path / "out.h5") as file, h5py.File(tmp_path / "good.h5") as harmless:
        status = dict(zip((path.decode().rsplit("/", 1)[1] for path in file["items/path"][:]), file["items/status"][:]))
        assert {name for name, each in status.items() if each == 2} == {name for name, _ in files}, list(zip(file["items/path"][:], file["items/error"][:]))
        name = next(iter(file["results"]))
        values = file["results"][name][:].ravel()
        assert values[0] == 40 and values[1] == 50 and values[-1] == 40
        grew = int(file["ranks"]["memory_bytes"][0]) - int(harmless["ranks"]["memory_bytes"][0])
    assert grew < 300e6, f"{grew / 1e6:.0f} MB"
    assert seconds < 10


def test_a_limit_of_memory(mean_model, tmp_path):
    """Whole pictures in memory count, rows that pass through do not."""
    pixels = np.zeros((2000, 2000, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    Image.fromarray(pixels).save(tmp_path / "b.tiff")
    Image.fromarray(pixels).save(tmp_path / "c.webp", lossless=True)
    done = mgpu_run("infer", "--model", mean_model("limit"), "--input", tmp_path, "--output", tmp_path / "out.h5", "--max-item-memory", 10_000_000)
    assert done.code == 3, done.err
    with h5py.File(tmp_path / "out.h5") as file:
        assert list(file["items/status"][:]) == [1, 2, 2]
        assert all(b"2000x2000 pixels takes 16000000 bytes of memory, limit 10000000" in each for each in file["items/error"][1:])


def test_grey_of_16_bits(mean_model, tmp_path):
    """Clipped as Pillow's convert("L") clips, and counted; or scaled."""
    rows = np.random.default_rng(3).integers(0, 65536, (6, 16, 16)).astype(np.uint16)
    rows[0] = 200  # nothing to clip
    for index, values in enumerate(rows):
        Image.fromarray(values).save(tmp_path / f"{index}.{'png' if index % 2 else 'tiff'}")
    for how, expected in (("clip", np.minimum(rows, 255)), ("scale", np.round(rows / 257))):
        bundle = mean_model(f"grey_{how}", grey16=how)
        output = tmp_path / f"{how}.h5"
        done = mgpu_run("infer", "--model", bundle, "--input", tmp_path, "--output", output, ranks=1)
        assert done.code == 0, done.err
        with h5py.File(output) as file:
            np.testing.assert_allclose(file["results"][next(iter(file["results"]))][:].ravel(), expected.mean(axis=(1, 2)), rtol=1e-6)
        assert ("were clipped, as Pillow does, in 5 picture(s)" in done.err) == (how == "clip"), done.err
    assert mgpu_run("infer", "--model", mean_model("wrong", grey16="stretch"), "--input", tmp_path, "--output", tmp_path / "no.h5").code == 2

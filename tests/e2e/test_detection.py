"""Detectors: boxes in pixels of the original picture, beside Pillow and torchvision."""

import json

import h5py
import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw, ImageOps
from torchvision import transforms
from torchvision.ops import nms

from conftest import arrays, mgpu_run

HEIGHT, WIDTH, CLASSES = 128, 160, 3
LETTERBOX = {"size": [HEIGHT, WIDTH], "resize": "letterbox"}
YOLO = {"decode": "yolo", "layout": "v8", "classes": CLASSES, "score": 0.3, "iou": 0.5}


class Yolo(torch.nn.Module):
    """A YOLO head over cells of 8 x 8 pixels, with weights that depend on the seed only. What it finds means nothing, but depends on every pixel."""

    def __init__(self, v5=False):
        super().__init__()
        torch.manual_seed(3)
        self.body, self.head, self.v5 = torch.nn.Conv2d(3, 16, 8, stride=8), torch.nn.Conv2d(16, 4 + CLASSES, 3, padding=1), v5

    def forward(self, x):
        raw = 6 * self.head(torch.tanh(4 * self.body(x)))
        share = torch.sigmoid(raw)
        down, across = torch.arange(HEIGHT // 8)[:, None], torch.arange(WIDTH // 8)
        box = torch.stack([(share[:, 0] + across) * 8, (share[:, 1] + down) * 8, 8 + 60 * share[:, 2], 8 + 60 * share[:, 3]], 1)
        v8 = torch.cat([box, torch.sigmoid(raw[:, 4:] - 2)], 1).flatten(2)
        rows = v8.transpose(1, 2)
        return torch.cat([rows[..., :4], torch.ones_like(rows[..., :1]), rows[..., 4:]], 2) if self.v5 else v8


class Finder(torch.nn.Module):
    """[B, 3, 6]: the rectangles of the red, the green and the blue pixels; NaN for a white picture."""

    def forward(self, x):
        shown = (x > 0.6) & (x.sum(1, keepdim=True) < 1.5)
        edges = []
        for seen in (shown.any(2), shown.any(3)):  # columns, rows
            at = torch.arange(seen.shape[-1], dtype=torch.float32)
            edges.append((torch.where(seen, at, 1e6).amin(-1), torch.where(seen, at + 1, -1.0).amax(-1)))
        (x1, x2), (y1, y2) = edges
        score = torch.where(shown.flatten(2).any(2), torch.tensor([0.9, 0.8, 0.7]), 0.0)
        score = score + torch.where(x.mean((1, 2, 3)) > 0.95, torch.nan, 0.0)[:, None]
        return torch.stack([x1, y1, x2, y2, score, torch.arange(3.0).expand_as(score)], 2)


def make_bundle(folder, network, image, **keys):
    folder.mkdir()
    torch.jit.trace(network.eval(), torch.rand(2, 3, *image["size"])).save(str(folder / "net.pt"))
    (folder / "bundle.json").write_text(json.dumps({"schema": "mgpu-bundle/1", "model": "net.pt", "image": image, "task": "detection", **keys}))
    return folder


@pytest.fixture(scope="module")
def scenes(tmp_path_factory, photographs):
    """Crops of the photographs in many proportions: tall, wide, small, grey, turned by EXIF."""
    folder = tmp_path_factory.mktemp("scenes")
    for index, (width, height) in enumerate([(320, 240), (240, 320), (300, 77), (61, 200), (160, 128), (50, 40), (317, 253), (255, 255), (400, 300)]):
        photographs[index % 2].crop((40, 30, 40 + width, 30 + height)).save(folder / f"{index}.png")
    photographs[1].crop((0, 0, 211, 150)).convert("L").save(folder / "grey.png")
    exif = Image.Exif()
    exif[0x0112] = 6
    photographs[0].crop((100, 50, 400, 230)).save(folder / "turned.jpg", quality=90, exif=exif)
    return folder


def letterboxed(picture):
    """The model's input, and where the picture lies in it: scales and offsets along x and y."""
    ratio = min(HEIGHT / picture.height, WIDTH / picture.width)
    size = (round(picture.width * ratio), round(picture.height * ratio))
    offset = (round((WIDTH - size[0]) / 2 - 0.1), round((HEIGHT - size[1]) / 2 - 0.1))
    canvas = Image.new("RGB", (WIDTH, HEIGHT), (114, 114, 114))
    canvas.paste(picture.resize(size, Image.BILINEAR), offset)
    return transforms.ToTensor()(canvas), np.array([size[0] / picture.width, size[1] / picture.height] * 2), np.array(offset * 2)


def detected(network, path):
    """Boxes, scores and classes by Pillow, torchvision and PyTorch."""
    picture = ImageOps.exif_transpose(Image.open(path)).convert("RGB")
    tensor, scale, offset = letterboxed(picture)
    with torch.inference_mode():
        rows = network(tensor[None])[0].T
    score, label = rows[:, 4:].max(1)
    chosen = score > YOLO["score"]
    rows, score, label = rows[chosen], score[chosen], label[chosen]
    boxes = torch.cat([rows[:, :2] - rows[:, 2:4] / 2, rows[:, :2] + rows[:, 2:4] / 2], 1)
    keep = torch.zeros(len(score), dtype=torch.bool)
    for each in label.unique():
        own = torch.where(label == each)[0]
        keep[own[nms(boxes[own], score[own], YOLO["iou"])]] = True
    order = torch.argsort(score, descending=True, stable=True)
    order = order[keep[order]]
    original = np.clip((boxes[order].numpy() - offset) / scale, 0, [picture.width, picture.height] * 2)
    inside = (original[:, 2] > original[:, 0]) & (original[:, 3] > original[:, 1])
    return original[inside], score[order].numpy()[inside], label[order].numpy()[inside]


def columns(output):
    """Paths, and boxes, scores and classes of each row."""
    with h5py.File(output) as file:
        values = {name: file[f"results/{name}/values"][:] for name in ("boxes", "scores", "classes")}
        offsets = {name: file[f"results/{name}/offsets"][:].astype(int) for name in values}
        paths = file["items/path"].asstr()[:]
    rows = [tuple(values[name][offsets[name][row]:offsets[name][row + 1]] for name in values) for row in range(len(paths))]
    return paths, rows


def test_a_yolo_head_through_a_letterbox(scenes, tmp_path):
    """The same detections as in Python for any number of ranks: boxes within 1 pixel of the original."""
    network = Yolo().eval()
    bundle = make_bundle(tmp_path / "v8", network, LETTERBOX, detection=YOLO)
    for ranks in (1, 2, 4):
        done = mgpu_run("infer", "--model", bundle, "--input", scenes, "--output", tmp_path / f"{ranks}.h5", "--batch-size", 3, "--threads", 1, ranks=ranks)
        assert done.code == 0, done.err
        assert arrays(tmp_path / f"{ranks}.h5") == arrays(tmp_path / "1.h5")
    paths, rows = columns(tmp_path / "1.h5")
    assert len(paths) == 11
    found = 0
    for path, (boxes, scores, classes) in zip(paths, rows):
        wanted_boxes, wanted_scores, wanted_classes = detected(network, path)
        assert boxes.dtype == np.float32 and scores.dtype == np.float32 and classes.dtype == np.int64
        np.testing.assert_array_equal(classes, wanted_classes, err_msg=path)
        np.testing.assert_allclose(scores, wanted_scores, atol=1e-4, err_msg=path)
        np.testing.assert_allclose(boxes, wanted_boxes, atol=1, err_msg=path)
        found += len(scores)
    assert found > 100, "the comparison is about something"


def test_v5_and_named_outputs(scenes, tmp_path):
    """The same head as v5 with an objectness of 1 gives the same bits. A YOLO head itself is stored only if the bundle names it."""
    images = scenes / "[0-3].png"
    for layout in ("v8", "v5"):
        bundle = make_bundle(tmp_path / layout, Yolo(v5=layout == "v5"), LETTERBOX, detection={**YOLO, "layout": layout})
        done = mgpu_run("infer", "--model", bundle, "--input", images, "--output", tmp_path / f"{layout}.h5", "--threads", 1, ranks=0)
        assert done.code == 0, done.err
    assert arrays(tmp_path / "v8.h5") == arrays(tmp_path / "v5.h5")
    done = mgpu_run("infer", "--model", bundle, "--input", images, "--output", tmp_path / "raw.h5", "--outputs", "head", "--threads", 1, ranks=0)
    assert done.code == 0, done.err
    with h5py.File(tmp_path / "raw.h5") as file:
        assert set(file["results"]) == {"head", "boxes", "scores", "classes"}
        assert file["results/head"].shape == (4, HEIGHT * WIDTH // 64, 5 + CLASSES)


@pytest.fixture(scope="module")
def rectangles(tmp_path_factory):
    """Black pictures with a red, a green and a blue rectangle in their middle, one of them turned by EXIF; what was drawn by name."""
    folder = tmp_path_factory.mktemp("rectangles")
    generator = np.random.default_rng(2)
    drawn = {}
    for index, (width, height) in enumerate([(640, 480), (97, 131), (300, 300), (211, 160)]):
        picture = Image.new("RGB", (width, height))
        boxes = []
        for part, colour in enumerate([(255, 0, 0), (0, 255, 0), (0, 0, 255)]):
            left, top = width * (0.3 + 0.15 * part), height * generator.uniform(0.3, 0.4)
            box = [int(left), int(top), int(left + width * generator.uniform(0.08, 0.12)), int(top + height * generator.uniform(0.1, 0.3))]
            ImageDraw.Draw(picture).rectangle([box[0], box[1], box[2] - 1, box[3] - 1], fill=colour)
            boxes.append(box)
        exif = Image.Exif()
        if index == 1:  # stored so that a viewer turns it to what was drawn
            exif[0x0112] = 6
            picture = picture.transpose(Image.ROTATE_90)
        picture.save(folder / f"{index}.png", exif=exif)
        drawn[str(folder / f"{index}.png")] = np.array(boxes), (width, height)
    return folder, drawn


@pytest.mark.parametrize("image", [LETTERBOX, {"size": [128, 160], "resize": "exact"}, {"size": [128, 128], "resize": "shorter", "resize_to": 140},
                                   {**LETTERBOX, "interpolation": "lanczos"}, {**LETTERBOX, "antialias": False}], ids=str)
def test_finished_detections_lie_on_what_was_drawn(image, rectangles, tmp_path):
    """Whatever the resize rule: within one pixel of the model's input."""
    folder, drawn = rectangles
    bundle = make_bundle(tmp_path / "finder", Finder(), image, labels=["red", "green", "blue"])
    done = mgpu_run("infer", "--model", bundle, "--input", folder, "--output", tmp_path / "out.h5", "--threads", 1, ranks=0)
    assert done.code == 0, done.err
    paths, rows = columns(tmp_path / "out.h5")
    for path, (boxes, scores, classes) in zip(paths, rows):
        wanted, (width, height) = drawn[path]
        np.testing.assert_array_equal(classes, [0, 1, 2])
        np.testing.assert_allclose(scores, [0.9, 0.8, 0.7], atol=1e-6)
        across, down = {"exact": (160 / width, 128 / height), "shorter": (140 / min(width, height),) * 2}.get(image["resize"], (min(128 / height, 160 / width),) * 2)
        assert (abs(boxes - wanted) <= np.array([1 / across, 1 / down] * 2) + 0.01).all(), f"{path}: {boxes} {wanted}"


def test_nan_costs_the_row_and_nonsense_the_run(rectangles, tmp_path):
    folder, _ = rectangles
    finder = make_bundle(tmp_path / "finder", Finder(), LETTERBOX)
    (tmp_path / "in").mkdir()
    Image.new("RGB", (160, 128), (255, 255, 255)).save(tmp_path / "in/a_white.png")
    (tmp_path / "in/b.png").symlink_to(folder / "0.png")
    done = mgpu_run("infer", "--model", finder, "--input", tmp_path / "in", "--output", tmp_path / "out.h5", "--threads", 1)
    assert done.code == 3, done.err
    with h5py.File(tmp_path / "out.h5") as file:
        assert list(file["items/status"][:]) == [2, 1]
        assert "NaN or infinite" in file["items/error"].asstr()[0]
        assert list(file["results/boxes/offsets"][:]) == [0, 0, 3]

    yolo = make_bundle(tmp_path / "yolo", Yolo(), LETTERBOX, detection=YOLO)
    bundle = json.loads((yolo / "bundle.json").read_text())
    for keys, arguments, complaint in (({**YOLO, "layout": "v5"}, (), f"[B, boxes, {5 + CLASSES}] (layout v5, {CLASSES} classes), the network gives"),
                                       ({**YOLO, "scor": 0.5}, (), "bundle.json: detection.scor is not a known key"),
                                       (YOLO, ("--topk", 2), "--topk: a detector has no classes of whole pictures"),
                                       (YOLO, ("--label-column", "truth"), "--label-column: a detector has no classes of whole pictures")):
        (yolo / "bundle.json").write_text(json.dumps({**bundle, "detection": keys}))
        done = mgpu_run("infer", "--model", yolo, "--input", folder, "--output", tmp_path / "bad.h5", *arguments)
        assert done.code == 2 and complaint in done.err and len(done.lines_of_ours()) == 1, done.err
        assert not (tmp_path / "bad.h5").exists()

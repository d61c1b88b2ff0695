"""Inference on 2 ranks of one thread each, beside our own forward-only rate and DataLoader scripts with as many processes."""

import json
import pathlib
import subprocess

import torch
import torchvision
from PIL import Image
from sklearn.datasets import load_sample_images

from common import ENVIRONMENT, PYTHON, alternate, infer, report, scratch

RANKS = 2
ROUNDS = 3
MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]


class Tiny(torch.nn.Module):
    """So little arithmetic that decoding decides."""

    def __init__(self):
        super().__init__()
        self.conv = torch.nn.Conv2d(3, 8, 7, stride=16)
        self.head = torch.nn.Linear(8, 10)

    def forward(self, x):
        return self.head(self.conv(x).relu().mean(dim=(2, 3)))


def make_bundle(folder, name, model):
    place = folder / name
    place.mkdir()
    torch.jit.script(model.eval()).save(str(place / "model.pt"))
    (place / "bundle.json").write_text(json.dumps({"schema": "mgpu-bundle/1", "model": "model.pt", "outputs": ["logits"], "image": {
        "size": [224, 224], "resize": "shorter", "resize_to": 256, "crop": "center", "mean": MEAN, "std": STD}}))
    return place


def make_pictures(folder, name, size, files, repeats):
    """`files` JPEGs of `size` and a list that names each `repeats` times."""
    place = folder / name
    place.mkdir()
    photographs = [Image.fromarray(picture) for picture in load_sample_images().images]
    for index in range(files):
        shift = index % 60
        photographs[index % 2].crop((shift, 0, 570 + shift, 427)).resize(size, Image.Resampling.LANCZOS).save(place / f"{index:03d}.jpg", quality=90)
    table = folder / f"{name}.txt"
    table.write_text("".join(f"{place}/{index:03d}.jpg\n" for _ in range(repeats) for index in range(files)))
    return table


def peer(kind, bundle, table, batch):
    """The DataLoader script with RANKS processes: pictures a second of the slowest process's span."""
    script = pathlib.Path(__file__).with_name("dataloader_peer.py")
    processes = [subprocess.Popen([PYTHON, script, kind, bundle / "model.pt", table, str(rank), str(RANKS), str(batch)], env=ENVIRONMENT,
                                  stdout=subprocess.PIPE, text=True) for rank in range(RANKS)]
    spans = [json.loads(process.communicate(timeout=900)[0].splitlines()[-1]) for process in processes]
    return sum(span["items"] for span in spans) / (max(span["end"] for span in spans) - min(span["begin"] for span in spans))


def ours(bundle, table, batch, folder):
    def run():
        summary = infer(RANKS, folder, "--model", bundle, "--input", table, "--batch-size", batch, "--threads", 1)
        return summary["items_per_second"]
    return run


def compare(name, folder, bundle, table, batch, wanted_pillow, wanted_decode, with_forward):
    sides = {"ours": ours(bundle, table, batch, folder), "pillow": lambda: peer("pillow", bundle, table, batch),
             "decode": lambda: peer("decode_jpeg", bundle, table, batch)}
    if with_forward:
        sides["forward"] = lambda: peer("forward", bundle, table, batch)
    rates = alternate(ROUNDS, **sides)
    report(name, rates["ours"], rates["pillow"], "Pillow DataLoader", "img/s", wanted_pillow)
    report("", rates["ours"], rates["decode"], "decode_jpeg + v2", "img/s", wanted_decode)
    if with_forward:
        report("", rates["ours"], rates["forward"], "forward only (frozen, optimised)", "img/s", "0.95")


def main():
    with scratch() as name:
        folder = pathlib.Path(name)
        torch.manual_seed(0)
        resnet = make_bundle(folder, "resnet18", torchvision.models.resnet18(weights=None))
        tiny = make_bundle(folder, "tiny", Tiny())
        compare("ResNet-18, 500x375, 2 ranks", folder, resnet, make_pictures(folder, "few", (500, 375), 60, 20), 16, "1.6", "1.6", True)
        compare("tiny network, 500x375, 2 ranks", folder, tiny, make_pictures(folder, "many", (500, 375), 100, 80), 16, "3", "1.8", False)
        compare("tiny network, 12 megapixels, 2 ranks", folder, tiny, make_pictures(folder, "large", (4000, 3000), 8, 20), 8, "3", "1.8", False)

"""The peers of bench_decode, on one thread: Pillow + torchvision, torchvision's decode_jpeg + v2, faster-whisper's extractor.

decode_peers.py FOLDER    writes small_*.jpg, large_*.jpg and samples.f32 there, prints "ready", then answers each line
                          "pillow small", "decode_jpeg large", "mel" … with one number: pictures a second, or seconds of sound a second
"""
import os
import sys
import time

import numpy as np
import torch
from faster_whisper.feature_extractor import FeatureExtractor
from PIL import Image
from sklearn.datasets import load_sample_image
from torchvision import transforms as v1
from torchvision.io import ImageReadMode, decode_jpeg, read_file
from torchvision.transforms import v2

MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
COUNTS = {"small": 16, "large": 3}


def write_inputs(folder):
    photographs = [Image.fromarray(load_sample_image(name)) for name in ("china.jpg", "flower.jpg")]
    for kind, size in (("small", (500, 375)), ("large", (4000, 3000))):
        for i in range(COUNTS[kind]):
            shift = i * 4
            picture = photographs[i % 2].crop((shift, 0, 569 + shift, 427)).resize(size, Image.LANCZOS)
            picture.save(os.path.join(folder, f"{kind}_{i}.jpg"), quality=90)
    t = np.arange(16000 * 60) / 16000
    samples = np.sin(2 * np.pi * (200 + 100 * t) * t) * 0.3 + np.random.default_rng(0).normal(0, 0.02, t.size)
    samples.astype(np.float32).tofile(os.path.join(folder, "samples.f32"))


def best_rate(work, amount, seconds=1.5):
    best, until = 0.0, time.perf_counter() + seconds
    while time.perf_counter() < until:
        began = time.perf_counter()
        work()
        best = max(best, amount / (time.perf_counter() - began))
    return best


def main(folder):
    torch.set_num_threads(1)
    write_inputs(folder)
    old = v1.Compose([v1.Resize(256, antialias=True), v1.CenterCrop(224), v1.ToTensor(), v1.Normalize(MEAN, STD)])
    new = v2.Compose([v2.Resize(256, antialias=True), v2.CenterCrop(224), v2.ToDtype(torch.float32, scale=True), v2.Normalize(MEAN, STD)])
    with open(os.path.join(folder, "samples.f32"), "rb") as file:
        samples = np.frombuffer(file.read(), np.float32)
    extractor = FeatureExtractor()
    loaders = {
        "pillow": lambda path: old(Image.open(path).convert("RGB")),
        "decode_jpeg": lambda path: new(decode_jpeg(read_file(path), mode=ImageReadMode.RGB)),
    }
    print("ready", flush=True)
    for line in sys.stdin:
        words = line.split()
        if words[0] == "mel":
            print(best_rate(lambda: extractor(samples, padding=0), len(samples) / 16000), flush=True)
            continue
        paths = [os.path.join(folder, f"{words[1]}_{i}.jpg") for i in range(COUNTS[words[1]])]
        with torch.inference_mode():
            print(best_rate(lambda: [loaders[words[0]](path) for path in paths], len(paths)), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])

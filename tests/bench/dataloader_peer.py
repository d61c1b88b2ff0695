"""What people write by hand: one process of a data-parallel inference with a DataLoader.

dataloader_peer.py KIND MODEL LIST RANK RANKS BATCH     KIND: pillow, decode_jpeg, or forward (no loading: our own forward-only rate)
Prints one JSON line: items, and the wall-clock times at which the first batch began and the last ended.
"""

import json
import sys
import time

import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms as v1
from torchvision.io import ImageReadMode, decode_jpeg, read_file
from torchvision.transforms import v2

MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
WARM_UP = 3


class Pictures(Dataset):
    def __init__(self, kind, paths):
        self.kind, self.paths = kind, paths
        self.old = v1.Compose([v1.Resize(256), v1.CenterCrop(224), v1.ToTensor(), v1.Normalize(MEAN, STD)])
        self.new = v2.Compose([v2.Resize(256, antialias=True), v2.CenterCrop(224), v2.ToDtype(torch.float32, scale=True), v2.Normalize(MEAN, STD)])

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, index):
        if self.kind == "pillow":
            return self.old(Image.open(self.paths[index]).convert("RGB"))
        return self.new(decode_jpeg(read_file(self.paths[index]), mode=ImageReadMode.RGB))


def forward_only(model, batch):
    """The network as mgpu_worker runs it (frozen, optimised) on data that is already there."""
    model = torch.jit.optimize_for_inference(torch.jit.freeze(model))
    inputs = torch.randn(batch, 3, 224, 224)
    for _ in range(WARM_UP):
        model(inputs)
    begin, items = time.time(), 0
    while time.time() - begin < 12:
        model(inputs)
        items += batch
    return {"items": items, "begin": begin, "end": time.time()}


def main(kind, model_path, table, rank, ranks, batch):
    torch.set_num_threads(1)
    model = torch.jit.load(model_path).eval()
    with torch.inference_mode():
        if kind == "forward":
            return forward_only(model, batch)
        model(torch.zeros(batch, 3, 224, 224))
        with open(table) as file:
            paths = file.read().split()[rank::ranks]
        begin = time.time()
        for inputs in DataLoader(Pictures(kind, paths), batch_size=batch, num_workers=1):
            model(inputs)
        return {"items": len(paths), "begin": begin, "end": time.time()}


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]), int(sys.argv[5]), int(sys.argv[6]))))

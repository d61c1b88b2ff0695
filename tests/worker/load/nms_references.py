"""Random sets of boxes and what torchvision keeps of them, in the folder nms; for the tests of worker/detect. Called by make_references.py, which
has the import of torchvision behind it.

counts.npy int64 [sets, 3]: boxes, boxes kept, boxes kept class by class; thresholds.npy float64 [sets]; and of all sets one after another
boxes.npy float32 [n, 4], scores.npy float32 [n], classes.npy int64 [n], kept.npy and kept_by_class.npy int64.
"""
import os

import numpy as np
import torch
from torchvision.ops import nms

SETS = 1000


def random_set(generator, index):
    """Clusters of boxes. Some sets have equal scores, equal, empty or inverted boxes, or far coordinates."""
    count = int(generator.integers(0, 100)) if index % 50 else 1500
    centres = generator.uniform(0, 640, (max(1, count // 6), 2))[generator.integers(0, max(1, count // 6), count)]
    centres = centres + generator.normal(0, 6, (count, 2))
    sizes = generator.uniform(10, 120, (count, 2))
    boxes = np.concatenate([centres - sizes / 2, centres + sizes / 2], 1).astype(np.float32)
    scores = generator.uniform(0, 1, count).astype(np.float32)
    if index % 2:
        scores = np.round(scores * 8) / np.float32(8)
    if index % 3 == 0:
        boxes = np.round(boxes / 16) * np.float32(16)
    if index % 5 == 0:
        boxes[::7, 2:] = boxes[::7, :2]
    if index % 7 == 0:
        boxes[::9] = boxes[::9][:, [2, 3, 0, 1]]
    if index % 11 == 0:
        boxes += np.float32(1e5)
    threshold = [0.0, 0.3, 0.45, 0.5, 0.7, 0.9, float(generator.uniform())][index % 7]
    return torch.from_numpy(boxes), torch.from_numpy(scores), torch.from_numpy(generator.integers(0, 4, count)), threshold


def by_class(boxes, scores, classes, threshold):
    """torchvision's nms of each class; all that is kept by score, equal scores by index."""
    keep = torch.zeros(len(scores), dtype=torch.bool)
    for each in classes.unique():
        own = torch.where(classes == each)[0]
        keep[own[nms(boxes[own], scores[own], threshold)]] = True
    order = torch.argsort(scores, descending=True, stable=True)
    return order[keep[order]]


def write():
    os.makedirs("nms", exist_ok=True)
    generator = np.random.default_rng(11)
    names = ("boxes", "scores", "classes", "kept", "kept_by_class")
    parts, counts, thresholds = {name: [] for name in names}, [], []
    for index in range(SETS):
        boxes, scores, classes, threshold = random_set(generator, index)
        kept, kept_by_class = nms(boxes, scores, threshold), by_class(boxes, scores, classes, threshold)
        for name, values in zip(names, (boxes, scores, classes, kept, kept_by_class)):
            parts[name].append(values.numpy())
        counts.append((len(boxes), len(kept), len(kept_by_class)))
        thresholds.append(threshold)
    for name in names:
        np.save(f"nms/{name}.npy", np.concatenate(parts[name]))
    np.save("nms/counts.npy", np.array(counts, dtype=np.int64))
    np.save("nms/thresholds.npy", np.array(thresholds))

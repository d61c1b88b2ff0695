"""Non-maximum suppression on one thread, beside torchvision.ops.nms and batched_nms on the same boxes."""

import subprocess
import time

import numpy as np

from common import alternate, report, scratch, target


def boxes(count, objects):
    """`count` boxes around `objects` objects, as a detector gives them before suppression."""
    generator = np.random.default_rng(count + objects)
    which = generator.integers(0, objects, count)
    centres = generator.uniform(0, 640, (objects, 2))[which] + generator.normal(0, 4, (count, 2))
    sizes = generator.uniform(20, 150, (objects, 2))[which] * generator.uniform(0.8, 1.2, (count, 2))
    classes = generator.integers(0, 80, objects)[which]
    return np.concatenate([centres - sizes / 2, centres + sizes / 2, generator.uniform(0.25, 1, (count, 1)), classes[:, None]], 1).astype(np.float32)


def main():
    import torch
    from torchvision.ops import batched_nms, nms

    torch.set_num_threads(1)
    program = target("bench_nms")
    with scratch() as folder:
        for count, objects in ((100, 10), (1000, 30), (1000, 1000), (8400, 100), (8400, 8400)):
            rows = boxes(count, objects)
            rows.tofile(f"{folder}/boxes")
            tensor = torch.from_numpy(rows)
            edges, scores, classes = tensor[:, :4].contiguous(), tensor[:, 4].contiguous(), tensor[:, 5].long()
            peers = {"nms": lambda: nms(edges, scores, 0.7), "class_nms": lambda: batched_nms(edges, scores, classes, 0.7)}
            for name, peer in peers.items():
                def ours():
                    return float(subprocess.run([program, f"{folder}/boxes", "0.7", name], check=True, capture_output=True, text=True).stdout.split()[0])

                def theirs():
                    best, begin = 1e9, time.perf_counter()
                    while time.perf_counter() - begin < 0.5:
                        call = time.perf_counter()
                        peer()
                        best = min(best, time.perf_counter() - call)
                    return 1 / best

                rates = alternate(3, ours=ours, theirs=theirs)
                report(f"{name}, {count} boxes of {objects} objects", rates["ours"], rates["theirs"], "torchvision", "calls/s", "1")


if __name__ == "__main__":
    main()

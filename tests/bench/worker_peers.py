"""The peer of bench_worker: the same network, frozen and optimised by Python.

worker_peers.py make FILE         writes ResNet-18 with random weights as TorchScript
worker_peers.py rate FILE BATCH   prints pictures a processor second of the best of several calls on one thread
"""
import sys
import time

import torch


def make(path):
    import torchvision

    torch.manual_seed(0)
    torch.jit.trace(torchvision.models.resnet18(weights=None).eval(), torch.rand(1, 3, 224, 224)).save(path)


def rate(path, batch):
    torch.set_num_threads(1)
    network = torch.jit.optimize_for_inference(torch.jit.freeze(torch.jit.load(path).eval()))
    images = torch.rand(batch, 3, 224, 224)
    best = 0
    with torch.inference_mode():
        begin = time.perf_counter()
        while time.perf_counter() - begin < 4:
            call = time.thread_time()
            network(images)
            best = max(best, batch / (time.thread_time() - call))
    print(best)


if __name__ == "__main__":
    make(sys.argv[2]) if sys.argv[1] == "make" else rate(sys.argv[2], int(sys.argv[3]))

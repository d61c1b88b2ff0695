"""What people write: one process of a PyTorch training, with all data in memory.

train_peer.py CASE FOLDER ddp|alone STEPS       under torchrun for ddp (gloo); prints one JSON line on rank 0: seconds and loss of each step
"""

import json
import os
import sys
import time

import torch
import torch.distributed as dist
from train_networks import CASES, network, read_case


def main(case, folder, kind, steps):
    torch.set_num_threads(1)
    rank, ranks = 0, 1
    model = network(case)
    if kind == "ddp":
        dist.init_process_group("gloo")
        rank, ranks = dist.get_rank(), dist.get_world_size()
        model = torch.nn.parallel.DistributedDataParallel(model)
    *_, batch, _, rate = CASES[case]
    inputs, targets = read_case(folder)
    optimizer = torch.optim.SGD(model.parameters(), lr=rate, momentum=0.9)
    losses, seconds = [], []
    for step in range(steps):
        begin = time.perf_counter()
        first = step * batch * ranks % len(inputs) + rank * batch
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(model(inputs[first:first + batch]), targets[first:first + batch])
        loss.backward()
        optimizer.step()
        losses.append(loss.detach())
        seconds.append(time.perf_counter() - begin)
    losses = torch.stack(losses).double()
    if kind == "ddp":
        dist.all_reduce(losses)
    if rank == 0:
        print(json.dumps({"seconds": seconds, "loss": (losses / ranks).tolist()}), flush=True)
    if kind == "ddp":
        dist.barrier()
        os._exit(0)  # taking gloo down can deadlock: its thread waits for the interpreter's lock, whose owner joins that thread


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]))

"""Under torchrun: torch.distributed's all_reduce over gloo; rank 0 prints "what microseconds", medians."""

import statistics
import time

import torch
import torch.distributed as dist


def measure(what, values, rounds, repeats):
    seconds = []
    for _ in range(rounds):
        dist.barrier()
        begin = time.perf_counter()
        for _ in range(repeats):
            dist.all_reduce(values)
        seconds.append((time.perf_counter() - begin) / repeats)
        values.fill_(1)
    if dist.get_rank() == 0:
        print(what, statistics.median(seconds) * 1e6)


torch.set_num_threads(1)
dist.init_process_group("gloo")
measure("gloo_25MB", torch.ones(6_250_000), 15, 8)
measure("gloo_4KB", torch.ones(512, dtype=torch.float64), 15, 100)
dist.destroy_process_group()

"""PyTorch's own data-parallel training, the reference of test_train_curves.py: `ddp_reference.py PLAN.json RANK`.

PLAN.json: {"ranks", "rendezvous", "table", "mean", "std", "runs": [{"model", "output", "steps", "global_batch", "optimizer", …}]}.
Every run takes the table's order, epoch after epoch, with the last batch of an epoch as short as it comes; rank 0 writes
{"loss", "grad_norm", "lr", "state"} to "output".
"""

import csv
import json
import math
import os
import pathlib
import sys

import numpy as np
import torch
import torch.distributed as dist
from PIL import Image


def read_table(path, mean, std, classes):
    folder = pathlib.Path(path).parent
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file))
    pictures = np.stack([np.array(Image.open(folder / row["path"])) for row in rows])
    inputs = (torch.from_numpy(pictures)[:, None].float() / 255 - mean) / std
    return inputs, torch.tensor([classes.index(row["label"]) for row in rows])


def optimizer_of(run, parameters):
    if run["optimizer"] == "sgd":
        return torch.optim.SGD(parameters, lr=run["lr"], momentum=run["momentum"], weight_decay=run["weight_decay"], nesterov=run.get("nesterov", False))
    return torch.optim.AdamW(parameters, lr=run["lr"], weight_decay=run["weight_decay"])


def schedule_of(run, optimizer):
    """PyTorch's schedulers, step by step: a linear rise over `warmup` steps, then half a cosine down to 0."""
    if "warmup" not in run:
        return torch.optim.lr_scheduler.ConstantLR(optimizer, factor=1)
    rise = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: (step + 1) / run["warmup"])
    fall = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, run["total_steps"] - run["warmup"])
    return torch.optim.lr_scheduler.SequentialLR(optimizer, [rise, fall], [run["warmup"]])


def do(run, inputs, targets, rank, ranks):
    model = torch.nn.parallel.DistributedDataParallel(torch.jit.load(run["model"]).train())
    optimizer = optimizer_of(run, model.parameters())
    schedule = schedule_of(run, optimizer)
    told = {"loss": [], "grad_norm": [], "lr": []}
    batches = math.ceil(len(inputs) / run["global_batch"])
    for step in range(run["steps"]):
        begin = step % batches * run["global_batch"]
        samples = min(run["global_batch"], len(inputs) - begin)
        mine = slice(begin + rank * samples // ranks, begin + (rank + 1) * samples // ranks)
        optimizer.zero_grad()
        # DDP takes the mean over ranks; this weight makes it the mean over samples where shares are not equal.
        loss = torch.nn.functional.cross_entropy(model(inputs[mine]), targets[mine]) * ((mine.stop - mine.start) * ranks / samples)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), run.get("clip_norm", math.inf))
        told["lr"].append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
        whole = loss.detach().double()
        dist.all_reduce(whole)
        told["loss"].append(whole.item() / ranks)
        told["grad_norm"].append(norm.item())
    if rank == 0:
        torch.save({**told, "state": model.module.state_dict()}, run["output"])


def main(plan_path, rank):
    plan = json.loads(pathlib.Path(plan_path).read_text())
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{plan['rendezvous']}", rank=rank, world_size=plan["ranks"])
    inputs, targets = read_table(plan["table"], plan["mean"], plan["std"], plan["classes"])
    for run in plan["runs"]:
        do(run, inputs, targets, rank, plan["ranks"])
    dist.barrier()
    os._exit(0)  # taking gloo down can deadlock: its thread waits for the interpreter's lock, whose owner joins that thread


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))

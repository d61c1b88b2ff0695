"""Training on a GPU beside PyTorch's eager training on the same GPU; recorded steps, resumes, batch sizes."""

import csv
import json

import numpy as np
import torch
from PIL import Image

import training
from kit import EXACT, Ballast, check, curve, expect, expect_close, expect_same_bits, mgpu, network_of, place

BATCH, STEPS = 32, 40
OPTIMIZERS = {"sgd": ("--optimizer", "sgd", "--lr", 0.005, "--momentum", 0.9, "--weight-decay", 0.01),
              "adamw": ("--optimizer", "adamw", "--lr", 0.002, "--weight-decay", 0.05),
              "clip": ("--optimizer", "sgd", "--lr", 0.005, "--momentum", 0.9, "--clip-norm", 0.5)}


def train(data, name, *options, network="plain", steps=STEPS, code=0, **more):
    folder = data["folder"].parent / name
    folder.mkdir(parents=True, exist_ok=True)
    out, saved = folder / "run.h5", folder / "net.pt"
    done = mgpu("train", "--model", data[network], "--input", data["table"], "--no-shuffle", "--global-batch", BATCH, "--batch-size", BATCH, "--epochs", 100, "--max-steps", steps,
                "--loaders", 2, "--output", out, "--save", saved, "--overwrite", *options, code=code, **more)
    return out, saved, done


def data_of(name):
    return training.make_data(place(name) / "digits")


def eager(data, name, dtype=torch.float32, network="plain", steps=STEPS):
    """PyTorch's losses on the same samples in the same order."""
    torch.backends.cudnn.deterministic = True
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    with open(data["table"], newline="") as file:
        rows = list(csv.DictReader(file))
    pictures = np.stack([np.array(Image.open(data["table"].parent / row["path"])) for row in rows])
    inputs = ((torch.from_numpy(pictures)[:, None].float() / 255 - training.MEAN) / training.STD).cuda()
    targets = torch.tensor([training.CLASSES.index(row["label"]) for row in rows]).cuda()
    model = torch.jit.load(str(data[network] / "model.pt")).cuda().train()
    if name == "adamw":
        optimizer = torch.optim.AdamW(model.parameters(), lr=0.002, weight_decay=0.05)
    else:
        optimizer = torch.optim.SGD(model.parameters(), lr=0.005, momentum=0.9, weight_decay=0.01 if name == "sgd" else 0)
    scaler = torch.amp.GradScaler(enabled=dtype == torch.float16)
    losses, batches = [], -(-len(inputs) // BATCH)
    for step in range(steps):
        mine = slice(step % batches * BATCH, min((step % batches + 1) * BATCH, len(inputs)))
        optimizer.zero_grad()
        with torch.autocast("cuda", dtype=dtype, enabled=dtype != torch.float32):
            loss = torch.nn.functional.cross_entropy(model(inputs[mine]).float(), targets[mine])
        scaler.scale(loss).backward()
        scaler.unscale_(optimizer)
        if name == "clip":
            torch.nn.utils.clip_grad_norm_(model.parameters(), 0.5)
        scaler.step(optimizer)
        scaler.update()
        losses.append(loss.item())
    return losses


@check("correct", 180)
def training_float32():
    data, seen = data_of("train32"), {}
    for name, options in OPTIMIZERS.items():
        out, *_ = train(data, name, *options, environment=EXACT)
        seen[name] = expect_close(curve(out), eager(data, name), 1e-4, f"losses of {name}")
    return seen


@check("correct", 180)
def training_half_precision():
    data, seen = data_of("train16"), {}
    for dtype, most in (("bfloat16", 3e-2), ("float16", 1e-2)):
        out, *_ = train(data, dtype, *OPTIMIZERS["sgd"], "--dtype", dtype)
        seen[dtype] = expect_close(curve(out), eager(data, "sgd", getattr(torch, dtype)), most, f"losses in {dtype}")
    return seen


@check("correct", 240)
def cuda_graph_changes_no_bit():
    data, seen = data_of("graph"), {}
    cases = {"plain": ("plain", ()), "dropout": ("stateful", ()), "accumulated": ("plain", ("--batch-size", 8)), "half": ("stateful", ("--dtype", "bfloat16"))}
    for name, (network, options) in cases.items():
        usual, usual_net, _ = train(data, name + "-usual", *OPTIMIZERS["sgd"], *options, network=network)
        graph, graph_net, _ = train(data, name + "-graph", *OPTIMIZERS["sgd"], *options, "--cuda-graph", network=network)
        expect_same_bits(curve(graph), curve(usual), f"losses with --cuda-graph, {name}")
        for parameter, value in network_of(usual_net).items():
            expect(torch.equal(value, network_of(graph_net)[parameter]), f"{name}: {parameter} differs with --cuda-graph")
        for label, file in (("usual", usual), ("graph", graph)):
            seen[f"{name}_{label}_ms"] = float(1000 * np.median((curve(file, "samples") / curve(file, "samples_per_s"))[5:]))
    return seen


@check("correct", 120)
def cuda_graph_in_stages():
    data = data_of("stages")
    stages = data["folder"].parent / "stages.toml"
    stages.write_text('[[stage]]\nname = "one"\nepochs = 1\nlr = 0.005\n[[stage]]\nname = "two"\nepochs = 1\nlr = 0.001\nbatch_size = 16\n')
    usual, *_ = train(data, "usual", "--stages", stages, steps=0)
    graph, *_ = train(data, "graph", "--stages", stages, "--cuda-graph", steps=0)
    expect_same_bits(curve(graph), curve(usual), "losses of stages with --cuda-graph")


@check("correct", 180)
def resumed_training_has_the_same_bits():
    data = data_of("resume")
    usual, usual_net, _ = train(data, "usual", network="stateful")
    again, again_net, _ = train(data, "again", "--checkpoint-every", 10, "--fault", "kill:step=25,times=1", network="stateful")
    stopped, _, _ = train(data, "stopped", "--checkpoint-every", 10, "--fault", "kill:step=25", "--max-restarts", 0, network="stateful", code=(1, 75))
    resumed, resumed_net, _ = train(data, "stopped", "--checkpoint-every", 10, "--resume", network="stateful")
    for what, (file, net) in {"begun again": (again, again_net), "resumed": (resumed, resumed_net)}.items():
        expect_same_bits(curve(file), curve(usual), f"losses of a training {what}")
        for parameter, value in network_of(usual_net).items():
            expect(torch.equal(value, network_of(net)[parameter]), f"{what}: {parameter} differs")


class Big(torch.nn.Module):
    """About 65 MB of activations a sample."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(2)
        self.first = torch.nn.Conv2d(1, 4096, 3, padding=1)
        self.head = torch.nn.Linear(4096, 10)

    def forward(self, x):
        return self.head(torch.tanh(self.first(x)).mean(dim=(2, 3)))


def big_case(name):
    data = data_of(name)
    training.write_bundle(data["folder"].parent, Big(), "big")
    return {**data, "big": data["folder"].parent / "big"}


@check("correct", 150, alone=True)
def automatic_batch_size():
    data, seen = big_case("auto"), {}
    for dtype in ("float32", "bfloat16"):
        with Ballast(8e9):
            out, _, done = train(data, dtype, "--batch-size", "auto", "--global-batch", 1024, "--dtype", dtype, network="big", steps=3)
        seen[dtype] = int(curve(out, "micro_batch")[0])
        expect("out of memory" not in done.out, f"{dtype}: the chosen batch did not fit: {done.tail()}")
    return seen


@check("correct", 150, alone=True)
def out_of_memory_in_training():
    data = big_case("oom")
    plenty, *_ = train(data, "plenty", "--global-batch", 256, "--batch-size", 16, network="big", steps=6, environment=EXACT)
    with Ballast(8e9):
        little, _, done = train(data, "little", "--global-batch", 256, "--batch-size", 256, network="big", steps=6, environment=EXACT)
        graph, *_ = train(data, "graph", "--global-batch", 256, "--batch-size", 256, "--cuda-graph", network="big", steps=6, environment=EXACT)
    expect("out of memory" in done.out or curve(little, "micro_batch").min() < 256, "memory did not run out")
    return {"micro_batch": int(curve(little, "micro_batch")[-1]), "difference": expect_close(curve(little), curve(plenty), 1e-5, "losses with little memory"),
            "graph": expect_close(curve(graph), curve(plenty), 1e-5, "losses with little memory and --cuda-graph")}


@check("correct", 150, alone=True)
def out_of_memory_in_validation():
    data = big_case("validation")
    with Ballast(8e9):
        out, _, done = train(data, "little", "--global-batch", 64, "--batch-size", 64, "--validate", data["folder"] / "test", "--validate-every", 2, network="big", steps=4)
    return {"validations": len(curve(out, "validation_loss"))}

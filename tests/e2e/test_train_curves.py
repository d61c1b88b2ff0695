"""The loss curve is a property of the training, not of the machine: any number of ranks, sharding or accumulation, and PyTorch's own."""

import json
import math
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from training import CLASSES, ITEMS, MEAN, STD, assert_same_bits, assert_same_curve, history, parameters_of, train

from conftest import ENVIRONMENT

GLOBAL_BATCH = 32  # 37 whole batches and one of 14 an epoch
STEPS_PER_EPOCH = math.ceil(ITEMS / GLOBAL_BATCH)


# Rates at which rounding errors stay small: at ten times these, two orders of summation part by a tenth within 50 steps (seen in PyTorch).
SGD = ("--optimizer", "sgd", "--lr", "0.005", "--momentum", "0.9", "--weight-decay", "0.01")
ADAMW = ("--optimizer", "adamw", "--lr", "0.002", "--weight-decay", "0.05")


def run(data, output, *options, ranks, steps=100):
    """A run over the table's order; the result file and the saved network."""
    saved = output.with_suffix(".pt")
    train("--model", data["plain"], "--input", data["table"], "--no-shuffle", "--loss", "cross_entropy", "--global-batch", GLOBAL_BATCH, "--batch-size", 16,
          "--epochs", 100, "--max-steps", steps, "--output", output, "--save", saved, *options, ranks=ranks)
    return output, saved


@pytest.fixture(scope="module")
def alone(data, tmp_path_factory):
    """100 steps on one rank, by optimizer."""
    folder = tmp_path_factory.mktemp("alone")
    return {name: run(data, folder / f"{name}.h5", *options, ranks=1) for name, options in (("sgd", SGD), ("adamw", ADAMW))}


def test_what_a_history_says(alone):
    output, _ = alone["sgd"]
    assert list(history(output, "step")) == list(range(1, 101))
    assert list(history(output, "epoch")) == [1 + step // STEPS_PER_EPOCH for step in range(100)]
    samples = [ITEMS % GLOBAL_BATCH if (step + 1) % STEPS_PER_EPOCH == 0 else GLOBAL_BATCH for step in range(100)]
    assert list(history(output, "samples")) == samples
    np.testing.assert_allclose(history(output, "lr"), 0.005)
    loss = history(output)
    assert np.isfinite(loss).all() and loss[:5].mean() > 2 and loss[-5:].mean() < 1
    assert (history(output, "samples_per_s") > 0).all()


@pytest.mark.parametrize("ranks", [2, 4])
@pytest.mark.parametrize("name", ["sgd", "adamw"])
def test_any_number_of_ranks(ranks, name, data, alone, tmp_path):
    together = run(data, tmp_path / "out.h5", *{"sgd": SGD, "adamw": ADAMW}[name], ranks=ranks)
    assert_same_curve(together[0], alone[name][0], 1e-4)
    assert_parameters_close(parameters_of(together[1]), parameters_of(alone[name][1]))


def assert_parameters_close(ours, theirs):
    assert ours.keys() == theirs.keys()
    for name in ours:
        torch.testing.assert_close(ours[name], theirs[name], rtol=1e-3, atol=2e-4, msg=lambda text: f"{name}: {text}")


@pytest.mark.parametrize("ranks", [2, 3])
def test_shuffled_orders_are_the_same_for_any_number_of_ranks(ranks, data, tmp_path):
    outputs = []
    for count in (1, ranks):
        outputs.append(tmp_path / f"{count}.h5")
        train("--model", data["plain"], "--input", data["folder"] / "train", "--seed", 4, "--global-batch", GLOBAL_BATCH, "--epochs", 1, *SGD, "--output",
              outputs[-1], ranks=count)
    assert_same_curve(*outputs, 1e-4)
    assert history(outputs[0], "samples").sum() == ITEMS


def test_seeds_differ_and_repeat(data, tmp_path):
    curves = []
    for index, seed in enumerate((4, 4, 5)):
        output = tmp_path / f"{index}.h5"
        train("--model", data["plain"], "--input", data["table"], "--seed", seed, "--global-batch", GLOBAL_BATCH, "--max-steps", 12, *SGD, "--output", output)
        curves.append(history(output))
    np.testing.assert_array_equal(curves[0], curves[1])
    assert (curves[0] != curves[2]).any()


@pytest.mark.parametrize("name", ["sgd", "adamw"])
def test_sharded_optimizer_changes_nothing(name, data, alone, tmp_path):
    options = {"sgd": SGD, "adamw": ADAMW}[name]
    sharded = run(data, tmp_path / "sharded.h5", *options, "--shard-optimizer", ranks=2)
    assert_same_curve(sharded[0], alone[name][0], 1e-4)
    whole = run(data, tmp_path / "whole.h5", *options, ranks=2)
    assert_same_bits(sharded, whole)


@pytest.mark.parametrize("ranks", [1, 2])
def test_accumulation_of_four_equals_a_batch_times_four(ranks, data, tmp_path):
    outputs = []
    for batch, times in ((16, 1), (4, 4)):
        outputs.append(tmp_path / f"{times}.h5")
        train("--model", data["plain"], "--input", data["table"], "--no-shuffle", "--batch-size", batch, "--accumulate", times, "--max-steps", 60, *ADAMW,
              "--output", outputs[-1], ranks=ranks)
        assert history(outputs[-1], "samples")[0] == 16 * ranks
    assert_same_curve(*outputs, 1e-4)


RULES = {
    "sgd": ({"optimizer": "sgd", "lr": 0.005, "momentum": 0.9, "weight_decay": 0.01}, SGD),
    "nesterov": ({"optimizer": "sgd", "lr": 0.005, "momentum": 0.9, "weight_decay": 0.01, "nesterov": True}, (*SGD, "--nesterov")),
    "adamw": ({"optimizer": "adamw", "lr": 0.002, "weight_decay": 0.05}, ADAMW),
    "schedule": ({"optimizer": "sgd", "lr": 0.01, "momentum": 0.9, "weight_decay": 0.01, "warmup": 10, "total_steps": 50},
                 ("--optimizer", "sgd", "--lr", "0.01", "--momentum", "0.9", "--weight-decay", "0.01", "--lr-schedule", "cosine", "--warmup", "10")),
    "clipping": ({"optimizer": "sgd", "lr": 0.02, "momentum": 0.9, "weight_decay": 0.01, "clip_norm": 0.5},
                 ("--optimizer", "sgd", "--lr", "0.02", "--momentum", "0.9", "--weight-decay", "0.01", "--clip-norm", "0.5")),
    "clipped adamw": ({"optimizer": "adamw", "lr": 0.002, "weight_decay": 0.05, "clip_norm": 0.5}, (*ADAMW, "--clip-norm", "0.5")),
}


@pytest.fixture(scope="module")
def ddp(data, tmp_path_factory):
    """50 steps of PyTorch's DistributedDataParallel over gloo with 2 processes, by rule."""
    folder = tmp_path_factory.mktemp("ddp")
    runs = [{**rule, "model": str(data["plain"] / "model.pt"), "output": str(folder / f"{name}.pt"), "steps": 50, "global_batch": GLOBAL_BATCH}
            for name, (rule, _) in RULES.items()]
    plan = folder / "plan.json"
    plan.write_text(json.dumps({"ranks": 2, "rendezvous": str(folder / "rendezvous"), "table": str(data["table"]), "mean": MEAN, "std": STD,
                                "classes": CLASSES, "runs": runs}))
    script = os.path.join(os.path.dirname(__file__), "ddp_reference.py")
    processes = [subprocess.Popen([sys.executable, script, plan, str(rank)], env={**ENVIRONMENT, "OMP_NUM_THREADS": "1"}) for rank in range(2)]
    assert [process.wait(timeout=240) for process in processes] == [0, 0]
    return {name: torch.load(folder / f"{name}.pt") for name in RULES}


@pytest.mark.parametrize("ranks", [1, 2])
@pytest.mark.parametrize("name", RULES)
def test_agrees_with_ddp(name, ranks, data, ddp, tmp_path):
    """Same weights, order and hyper-parameters: 1e-4 relative over 50 steps. The loss, rate and gradient's norm of every step."""
    output, saved = run(data, tmp_path / "out.h5", *RULES[name][1], ranks=ranks, steps=50)
    wanted = ddp[name]
    np.testing.assert_allclose(history(output, "lr"), wanted["lr"], rtol=1e-6, atol=1e-12)
    np.testing.assert_allclose(history(output), wanted["loss"], rtol=1e-4)
    norms = history(output, "grad_norm")
    known = np.isfinite(norms)
    np.testing.assert_allclose(norms[known], np.array(wanted["grad_norm"])[known], rtol=1e-3)
    assert known.all() if "clip" in name else True
    assert_parameters_close(parameters_of(saved), wanted["state"])

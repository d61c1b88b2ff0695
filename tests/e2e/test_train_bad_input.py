"""What cannot be trained is refused before any work: exit 2 and one line that says which."""

import json
import re
import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from training import CLASSES, history, train, write_bundle, write_table


class Nothing(torch.nn.Module):
    """A network without parameters."""

    def forward(self, x):
        return x.flatten(1)[:, :10]


class Crooked(torch.nn.Module):
    """One output more than there are classes … or fewer dimensions than the loss needs."""

    def __init__(self, flat: bool):
        super().__init__()
        self.flat = flat
        self.head = torch.nn.Linear(1024, 7)

    def forward(self, x):
        y = self.head(x.flatten(1))
        return y.mean(1) if self.flat else y


def refused(done, *words):
    lines = done.lines_of_ours()
    assert len(lines) == 1, done.err
    for word in words:
        assert word in lines[0], lines[0]


@pytest.fixture
def good(data, tmp_path):
    return {"--model": data["plain"], "--input": data["table"], "--output": tmp_path / "out.h5", "--max-steps": 5}


def attempt(options, *more, ranks=2):
    return train(*[word for pair in options.items() for word in pair], *more, ranks=ranks, code=2)


@pytest.mark.parametrize("ranks", [1, 2])
def test_a_label_that_is_no_class(ranks, good, data, tmp_path):
    rows = [(data["folder"] / path, label) for path, label in data["rows"][:50]]
    rows[17] = (rows[17][0], "tenn")
    refused(attempt({**good, "--input": write_table(tmp_path / "wrong.csv", rows)}, ranks=ranks), "tenn", str(rows[17][0]))


def test_a_label_of_the_validation_set_that_is_no_class(good, data, tmp_path):
    rows = [(data["folder"] / path, "" if index == 3 else label) for index, (path, label) in enumerate(data["rows"][:50])]
    refused(attempt({**good, "--validate": write_table(tmp_path / "wrong.csv", rows)}), "label")


def test_a_table_without_labels(good, data, tmp_path):
    table = tmp_path / "paths.csv"
    table.write_text("path\n" + "".join(f"{data['folder'] / path}\n" for path, _ in data["rows"][:50]))
    refused(attempt({**good, "--input": table}), "label")


def test_a_class_folder_that_is_empty(good, data, tmp_path):
    shutil.copytree(data["folder"] / "train", tmp_path / "train")
    shutil.rmtree(tmp_path / "train/seven")
    (tmp_path / "train/seven").mkdir()
    refused(attempt({**good, "--input": tmp_path / "train"}), "seven", "empty")


def test_a_network_without_parameters(good, tmp_path):
    refused(attempt({**good, "--model": write_bundle(tmp_path, Nothing())}), "parameters")


@pytest.mark.parametrize("flat", [False, True])
def test_an_output_that_does_not_fit_the_loss(flat, good, tmp_path):
    refused(attempt({**good, "--model": write_bundle(tmp_path, Crooked(flat))}), "cross_entropy")


def test_a_loss_that_does_not_fit_the_labels(good):
    refused(attempt({**good, "--loss": "ctc"}), "ctc")


def test_a_compiled_network(good, tmp_path):
    (tmp_path / "net.pt2").write_bytes(b"PK")
    refused(attempt({**good, "--model": tmp_path / "net.pt2"}, "--image-size", 32), ".pt2")


@pytest.fixture
def checkpointed(data, tmp_path):
    """The options of a run that was killed after 55 of 60 steps, and the folders of its checkpoints, oldest first."""
    options = {"--model": data["wide"], "--input": data["table"], "--output": tmp_path / "out.h5", "--max-steps": 60, "--checkpoint-every": 10, "--global-batch": 32}
    train(*[word for pair in options.items() for word in pair], "--fault", "kill:rank=1,step=55", code=(1, 75))
    marks = sorted(tmp_path.rglob("checkpoint.json"), key=lambda path: json.loads(path.read_text())["step"])
    assert len(marks) >= 2
    return options, [mark.parent for mark in marks]


def test_a_checkpoint_of_another_network(checkpointed, data):
    options, _ = checkpointed
    refused(attempt({**options, "--model": data["plain"]}, "--resume"), "checkpoint")


@pytest.mark.parametrize("change", ["labels", "paths", "model", "validation"])
def test_a_checkpoint_of_other_data(change, checkpointed, data, tmp_path):
    """The same number of items and the same parameters, but not the same training."""
    options, _ = checkpointed
    rows = [(data["folder"] / path, label) for path, label in data["rows"]]
    if change == "labels":
        rows[0], rows[1] = (rows[0][0], rows[1][1]), (rows[1][0], rows[0][1])
        assert rows[0][1] != rows[1][1]
    if change == "paths":
        rows[0], rows[1] = rows[1], rows[0]
    if change in ("labels", "paths"):
        options = {**options, "--input": write_table(tmp_path / "other.csv", rows)}
    if change == "validation":
        options = {**options, "--validate": data["held_out"]}
    if change == "model":
        other = shutil.copytree(options["--model"], tmp_path / "model")
        network = torch.jit.load(str(other / "model.pt"))
        with torch.no_grad():
            next(network.parameters()).add_(1)
        network.save(str(other / "model.pt"))
        options = {**options, "--model": other}
    refused(attempt(options, "--resume"), "checkpoint", {"labels": "--input", "paths": "--input", "validation": "--validate", "model": "--model"}[change], "SHA-256")


def test_a_last_batch_of_one_sample(good, data, tmp_path):
    """Batch norm cannot train on it; other networks can."""
    table = write_table(tmp_path / "33.csv", [(data["folder"] / path, label) for path, label in data["rows"][:33]])
    options = {**good, "--input": table, "--batch-size": 8, "--epochs": 1}
    refused(attempt({**options, "--model": data["normed_features"]}), "single sample", "33 items", "--batch-size")
    for network in ("plain", "normed"):  # batch norm over a picture's places has more than one value a channel
        train(*[word for pair in {**options, "--model": data[network], "--output": tmp_path / f"{network}.h5"}.items() for word in pair])


def test_a_frozen_name_that_nothing_has(good, tmp_path):
    stages = tmp_path / "stages.toml"
    stages.write_text('[[stage]]\nname = "head"\nepochs = 1\nlr = 0.01\nfreeze = ["backbone"]\n')
    refused(attempt({**good, "--stages": stages}), "stage head", "backbone", "body.0.weight")


def test_a_checkpoint_of_a_newer_version(checkpointed):
    options, folders = checkpointed
    for folder in folders:
        mark = folder / "checkpoint.json"
        meta = json.loads(mark.read_text())
        meta["schema"] = "mgpu-checkpoint/99"
        mark.write_text(json.dumps(meta))
    refused(attempt(options, "--resume"), "checkpoint", "99")


def test_a_truncated_checkpoint(checkpointed):
    options, folders = checkpointed
    for folder in folders:
        largest = max((path for path in folder.iterdir() if path.name != "checkpoint.json"), key=lambda path: path.stat().st_size)
        largest.write_bytes(largest.read_bytes()[:-100])
    refused(attempt(options, "--resume"), "checkpoint", str(folders[-1]))


def test_a_checkpoint_that_was_not_finished_is_passed_over(checkpointed):
    """Without its mark a folder is no checkpoint; the one before it serves."""
    options, folders = checkpointed
    (folders[-1] / "checkpoint.json").unlink()
    train(*[word for pair in options.items() for word in pair], "--resume")
    assert len(history(options["--output"])) == 60


@pytest.mark.parametrize("wrong", [("--loss", "hinge"), ("--optimizer", "lion"), ("--lr", "fast"), ("--epochs", "0"), ("--accumulate", "0"), ("--momentum", "1.5"),
                                   ("--warmup", "5x"), ("--validate", "gone.csv"), ("--stages", "gone.toml"), ("--fault", "earthquake"), ("--augment", "rotate"),
                                   ("--ship", "bytes"), ("--global-batch", "1")])
def test_values_that_no_training_can_have(wrong, good):
    name, value = wrong
    refused(attempt({**good, name: value}), name.lstrip("-") if name != "--validate" else value)


def test_a_recorded_step_without_a_gpu(good):
    refused(attempt(good, "--cuda-graph", "--devices", "cpu"), "--cuda-graph", "no GPU")


def test_a_recorded_step_of_what_cannot_be_recorded(good):
    refused(attempt(good, "--cuda-graph", "--find-unused-parameters"), "--cuda-graph", "--find-unused-parameters")


def test_grey_of_16_bits_is_counted(good, tmp_path):
    """Clipped as for infer, and said at the end; two loaders that decode the same picture at once both count it."""
    generator = np.random.default_rng(5)
    for index in range(8):
        Image.fromarray(generator.integers(0, 65536, (32, 32)).astype(np.uint16)).save(tmp_path / f"{index}.png")
    table = write_table(tmp_path / "grey.csv", [(tmp_path / f"{index}.png", CLASSES[index]) for index in range(8)])
    options = {**good, "--input": table, "--global-batch": 4}
    done = train(*[word for pair in options.items() for word in pair], ranks=1)
    told = re.search(r"16-bit grey values above 255 were clipped, as Pillow does, in (\d+) picture\(s\)", done.err)
    assert told and 8 <= int(told[1]) <= 12, done.err

"""What a training leaves: a network that infer runs at once, validation measures, experiments, stages."""

import json
import re
import shutil

import h5py
import numpy as np
import pytest
import torch
from ddp_reference import read_table
from training import CLASSES, MEAN, STD, history, train, write_bundle

from conftest import mgpu_run


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory):
    """Four epochs with batch norm on 2 ranks, validated on 599 held-out digits (no multiple of any batch)."""
    folder = tmp_path_factory.mktemp("trained")
    done = train("--model", data["normed"], "--input", data["folder"] / "train", "--validate", data["held_out"], "--epochs", 4, "--batch-size", 16, "--optimizer",
                 "adamw", "--lr", "0.003", "--lr-schedule", "cosine", "--output", folder / "out.h5", "--save", folder / "best.pt", "--seed", 1)
    return folder, done


def predictions(path, table):
    model = torch.jit.load(str(path)).eval()
    inputs, targets = read_table(table, MEAN, STD, CLASSES)
    with torch.inference_mode():
        logits = torch.cat([model(part) for part in inputs.split(64)])
    return logits, targets


def test_validation_is_exact(trained, data):
    """The saved (best) network's loss and accuracies over all 599 items, recomputed by PyTorch: no item counted twice or left out."""
    folder, _ = trained
    logits, targets = predictions(folder / "best.pt", data["held_out"])
    five = (logits.topk(5).indices == targets[:, None]).any(1).double().mean().item()
    right = (logits.argmax(1) == targets).double().mean().item()
    wanted = [torch.nn.functional.cross_entropy(logits.double(), targets).item(), right, five]
    told = np.stack([history(folder / "out.h5", f"validation_{name}") for name in ("loss", "accuracy", "top5")], 1)
    assert told.shape == (4, 3) and right > 0.9
    np.testing.assert_allclose(told[told[:, 1].argmax()], wanted, rtol=1e-4)


def test_the_trained_network_runs_in_infer_at_once(trained, data, tmp_path):
    folder, _ = trained
    bundle = tmp_path / "bundle"
    bundle.mkdir()
    (bundle / "bundle.json").write_text((data["normed"] / "bundle.json").read_text())
    (bundle / "model.pt").write_bytes((folder / "best.pt").read_bytes())
    done = mgpu_run("infer", "--model", bundle, "--input", data["held_out"], "--label-column", "label", "--output", tmp_path / "out.h5", "--batch-size", 16)
    assert done.code == 0, done.err
    logits, targets = predictions(folder / "best.pt", data["held_out"])
    with h5py.File(tmp_path / "out.h5") as file:
        np.testing.assert_allclose(file["results/logits"][:], logits, atol=1e-4)
        got = (file["results/label"][:] == targets.numpy()).mean()
    assert got == pytest.approx(history(folder / "out.h5", "validation_accuracy").max(), abs=1e-9)


def test_the_result_file_and_the_table_at_the_end(trained):
    folder, done = trained
    with h5py.File(folder / "out.h5") as file:
        assert file.attrs["job"] == "train" and file.attrs["complete"] == 1 and file.attrs["world_size"] == 2
        training = file["training"]
        steps = len(training["loss"])
        assert steps == 4 * 38
        for name in ("step", "epoch", "lr", "samples_per_s", "samples", "grad_norm"):
            assert training[name].shape == (steps,), name
        for name in ("load_s", "forward_s", "backward_s"):
            assert (file["ranks"][:][name] > 0).all(), name
        assert (file["items/status"][:] == 1).all() and len(file["items/status"]) == 1198
    for word in ("forward", "backward", "zero", "nine"):
        assert word in done.out, word
    summary = json.loads((folder / "out.h5.summary.json").read_text())
    assert summary["exit_code"] == 0 and summary["complete"]


def test_folders_and_tables_give_the_same_classes(data, tmp_path):
    """A bundle without labels takes them from the folders' names, in order."""
    bundle = tmp_path / "bundle"
    bundle.mkdir()
    plain = json.loads((data["plain"] / "bundle.json").read_text())
    del plain["labels"]
    (bundle / "bundle.json").write_text(json.dumps(plain))
    (bundle / "model.pt").write_bytes((data["plain"] / "model.pt").read_bytes())
    done = train("--model", bundle, "--input", data["folder"] / "train", "--validate", data["folder"] / "test", "--epochs", 1, "--output", tmp_path / "out.h5")
    assert "seven" in done.out


def test_quick_test_tries_everything(data, tmp_path):
    train("--model", data["normed"], "--input", data["table"], "--validate", data["held_out"], "--quick-test", "--epochs", 50, "--output", tmp_path / "out.h5", "--save",
          tmp_path / "best.pt")
    assert len(history(tmp_path / "out.h5")) == 6 and len(history(tmp_path / "out.h5", "validation_loss")) == 2
    assert torch.jit.load(str(tmp_path / "best.pt"))
    assert list(tmp_path.rglob("checkpoint.json"))


def test_an_experiment_has_its_folder(data, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    train("--model", data["normed"], "--input", data["table"], "--validate", data["held_out"], "--quick-test", "--experiment-name", "first")
    folder = tmp_path / "runs/first"
    for name in ("config.json", "best.pt", "result.h5"):
        assert (folder / name).is_file(), name
    assert list((folder / "checkpoints").rglob("checkpoint.json")) and list((folder / "logs").iterdir())
    config = json.loads((folder / "config.json").read_text())
    assert config["experiment-name"] == "first"


def test_stages_change_the_rate_and_freeze(data, tmp_path):
    """First the head alone at one rate, then everything at another."""
    stages = tmp_path / "stages.toml"
    stages.write_text('[[stage]]\nepochs = 1\nlr = 0.01\nfreeze = ["body"]\n\n[[stage]]\nepochs = 1\nlr = 0.002\n')
    train("--model", data["plain"], "--input", data["table"], "--global-batch", 32, "--stages", stages, "--checkpoint-every", "1e", "--output", tmp_path / "out.h5", "--save",
          tmp_path / "net.pt")
    lr = history(tmp_path / "out.h5", "lr")
    assert len(lr) == 76
    np.testing.assert_allclose(lr[:38], 0.01)
    np.testing.assert_allclose(lr[38:], 0.002)
    frozen = tmp_path / "frozen.toml"
    frozen.write_text('[[stage]]\nepochs = 1\nlr = 0.01\nfreeze = ["body"]\n')
    train("--model", data["plain"], "--input", data["table"], "--global-batch", 32, "--stages", frozen, "--output", tmp_path / "f.h5", "--save", tmp_path / "f.pt")
    before, after = torch.jit.load(str(data["plain"] / "model.pt")).state_dict(), torch.jit.load(str(tmp_path / "f.pt")).state_dict()
    for name in before:
        assert torch.equal(before[name], after[name]) == name.startswith("body"), name


def test_a_trained_network_is_trained_again(trained, data, tmp_path):
    """As it is, and after a step in Python."""
    best = trained[0] / "best.pt"
    train("--model", best, "--input", data["table"], "--global-batch", 32, "--max-steps", 3, "--output", tmp_path / "again.h5", "--save", tmp_path / "again.pt")
    assert all(parameter.requires_grad for parameter in torch.jit.load(str(tmp_path / "again.pt")).parameters())
    network = torch.jit.load(str(best)).train()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01)
    torch.nn.functional.cross_entropy(network(torch.zeros(2, 1, 32, 32)), torch.tensor([1, 2])).backward()
    optimizer.step()
    fine = shutil.copytree(data["plain"], tmp_path / "fine")
    network.save(str(fine / "model.pt"))
    train("--model", fine, "--input", data["table"], "--global-batch", 32, "--max-steps", 3, "--output", tmp_path / "fine.h5")


class HalfFrozen(torch.nn.Module):
    """A backbone with batch norm that Python has frozen, and a head."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(12)
        self.backbone = torch.nn.Sequential(torch.nn.Conv2d(1, 8, 5, stride=4), torch.nn.BatchNorm2d(8), torch.nn.ReLU(), torch.nn.Flatten())
        self.norm = torch.nn.BatchNorm1d(8 * 7 * 7)
        self.head = torch.nn.Linear(8 * 7 * 7, 10)
        self.backbone.requires_grad_(False)

    def forward(self, x):
        return self.head(self.norm(self.backbone(x)))


def test_frozen_layers_and_their_statistics_stay(data, tmp_path):
    """Frozen in Python (requires_grad) or by a stage: neither weights nor running statistics move, and later trainings find the same flags."""
    half = write_bundle(tmp_path, HalfFrozen(), "half")
    stages = tmp_path / "stages.toml"
    stages.write_text('[[stage]]\nepochs = 1\nlr = 0.01\nfreeze = ["body"]\n')
    for name, model, options, still in (("half", half, ("--epochs", 1), "backbone"), ("staged", data["normed"], ("--stages", stages), "body")):
        done = train("--model", model, "--input", data["table"], "--global-batch", 32, *options, "--output", tmp_path / f"{name}.h5", "--save", tmp_path / f"{name}.pt")
        assert "parameters are trained, the others frozen" in done.err, done.err
        before, after = torch.jit.load(str(model / "model.pt")), torch.jit.load(str(tmp_path / f"{name}.pt"))
        for key, value in before.state_dict().items():
            if not key.endswith("num_batches_tracked"):
                assert torch.equal(value, after.state_dict()[key]) == key.startswith(still), key
        assert [p.requires_grad for p in before.parameters()] == [p.requires_grad for p in after.parameters()]


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_mixed_precision_learns(dtype, data, tmp_path):
    """Master weights stay float32; the curve is near the float32 one."""
    outputs = []
    for name in ("float32", dtype):
        outputs.append(tmp_path / f"{name}.h5")
        train("--model", data["plain"], "--input", data["table"], "--no-shuffle", "--global-batch", 32, "--lr", "0.005", "--max-steps", 60, "--dtype", name, "--output",
              outputs[-1], "--save", tmp_path / f"{name}.pt")
    full, half = (history(path) for path in outputs)
    np.testing.assert_allclose(half, full, rtol=0.1)
    assert (full != half).any()
    assert all(value.dtype == torch.float32 for value in torch.jit.load(str(tmp_path / f"{dtype}.pt")).state_dict().values())


def test_augmented_epochs_are_the_same_for_any_number_of_ranks(data, tmp_path):
    curves = []
    for ranks in (1, 2):
        output = tmp_path / f"{ranks}.h5"
        train("--model", data["plain"], "--input", data["table"], "--global-batch", 32, "--lr", "0.005", "--max-steps", 60, "--augment", "flip", "--seed", 2, "--output",
              output, ranks=ranks)
        curves.append(history(output))
    np.testing.assert_allclose(curves[0], curves[1], rtol=1e-4)
    plain = tmp_path / "plain.h5"
    train("--model", data["plain"], "--input", data["table"], "--global-batch", 32, "--lr", "0.005", "--max-steps", 60, "--seed", 2, "--output", plain)
    assert (history(plain) != curves[1]).any()


@pytest.mark.parametrize("ranks, more", [(1, ()), (2, ("--max-steps", 50)), (2, ("--global-batch", 24))])
def test_the_plan_says_what_is_done(ranks, more, data, tmp_path):
    """Stages with subsets and batches of their own, cut by --max-steps."""
    (tmp_path / "stages.toml").write_text('[[stage]]\nname = "part"\nepochs = 3\nlr = 0.01\nsubset = 0.3\n\n[[stage]]\nname = "small"\nepochs = 2\nlr = 0.02\nbatch_size = 4\nsubset = 0.1\n\n'
                                          '[[stage]]\nname = "all"\nepochs = 1\nlr = 0.001\n')
    if "--global-batch" in more:
        (tmp_path / "stages.toml").write_text((tmp_path / "stages.toml").read_text().replace("batch_size = 4\n", ""))
    done = train("--model", data["plain"], "--input", data["table"], "--batch-size", 16, "--stages", tmp_path / "stages.toml", "--output", tmp_path / "out.h5", "--lr-scaling", "linear",
                 "--lr-reference-batch", 16, *more, ranks=ranks)
    said = re.findall(r"stage (\w+): (\d+) epochs of (\d+) steps of (\d+) samples.*?, learning rate ([\d.e-]+)(?:; (\d+) steps of it)?", done.out + done.err)
    steps = [int(cut) if cut else int(epochs) * int(each) for _, epochs, each, _, _, cut in said]
    total = int(re.search(r"(\d+) steps in all", done.out + done.err)[1])
    samples, rates = history(tmp_path / "out.h5", "samples"), history(tmp_path / "out.h5", "lr")
    assert total == sum(steps) == len(samples), done.out
    at = 0
    for (_, _, each, batch, rate, _), count in zip(said, steps, strict=True):
        if count == 0:
            continue
        assert samples[at] == int(batch)
        np.testing.assert_allclose(rates[at], float(rate), rtol=1e-5)
        if int(each) < count:
            assert samples[at + int(each)] == int(batch) and samples[at + int(each) - 1] <= int(batch)
        at += count

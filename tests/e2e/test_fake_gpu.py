"""Whole runs on GPUs of host threads (tests/fake_gpu): their kernels do nothing, so that copies, memory, errors and processes are looked at, not numbers."""

import os
import pathlib
import re
import struct
import wave

import h5py
import numpy as np
import pytest
import torch
from PIL import Image

from conftest import mgpu_run

FAKE_GPU = pathlib.Path(os.environ["MGPU_FAKE_GPU"])
ITEMS = 96
RANK_1_FAILS = {"FAKE_GPU_FAIL_AT": 24, "FAKE_GPU_FAIL_RANK": 1, "FAKE_GPU_DELAY_US": 5000}  # in its first batches; rank 0 is not done by then


class Scaled(torch.nn.Module):
    """Element-wise operations and a reduction: neither cuDNN nor cuBLAS, which do not start there."""

    def __init__(self):
        super().__init__()
        self.scale = torch.nn.Parameter(torch.ones(4))
        self.bias = torch.nn.Parameter(torch.zeros(4))

    def forward(self, x):
        return (x * 2).mean(dim=(1, 2, 3))[:, None] * self.scale + self.bias


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fake_gpu")
    torch.jit.trace(Scaled().eval(), torch.rand(2, 3, 8, 8)).save(str(folder / "net.pt"))
    (folder / "pictures").mkdir()
    for index in range(ITEMS):
        Image.fromarray(np.random.default_rng(index).integers(0, 256, (16, 16, 3), dtype=np.uint8)).save(folder / f"pictures/{index:03}.png")
    (folder / "table.csv").write_text("path,label\n" + "".join(f"pictures/{index:03}.png,{'abcd'[index % 4]}\n" for index in range(ITEMS)))
    return folder


def on_fake_gpu(*arguments, ranks=1, code=0, **settings):
    done = mgpu_run(*arguments, ranks=ranks, CUDA_VISIBLE_DEVICES="0,1,2,3", LD_PRELOAD=f"{FAKE_GPU}/libcudart.so.13:{FAKE_GPU}/libnccl.so.2", LD_LIBRARY_PATH=str(FAKE_GPU),
                    **{name: str(value) for name, value in settings.items()})
    done.text = done.out + done.err
    assert done.code == code, done.text
    return done


def infer(data, output, *options, **settings):
    settings.setdefault("MGPU_BAD_DEVICES", output.parent / "bad_devices")
    return on_fake_gpu("infer", "--model", data / "net.pt", "--image-size", 8, "--input", data / "pictures", "--output", output, "--batch-size", 4, *options, **settings)


def train(data, output, *options, **settings):
    settings.setdefault("MGPU_BAD_DEVICES", output.parent / "bad_devices")
    return on_fake_gpu("train", "--model", data / "net.pt", "--image-size", 8, "--input", data / "table.csv", "--output", output, "--batch-size", 4, "--lr", "0.01", *options, **settings)


def check_all_ok(output):
    with h5py.File(output) as file:
        assert file.attrs["complete"] == 1
        assert (file["items/status"][:] == 1).all()
        return [device.decode() for device in file["ranks"]["device"]]


def counted(folder):
    """Calls of the process that launched kernels, the worker: tests/fake_gpu/calls.cpp has the format."""
    workers = []
    for file in folder.iterdir():
        entries = struct.iter_unpack("<56sq", file.read_bytes())
        calls = {name.rstrip(b"\0").decode(): times for name, times in entries if name[0]}
        if calls.get("kernel", 0) > 0:
            workers.append(calls)
    assert len(workers) == 1
    return workers[0]


def more_calls(run, folder, few, many):
    """By which a longer run's calls exceed a shorter one's: what starting costs is in both."""
    calls = []
    for length in (few, many):
        counts = folder / f"counts_{length}"
        counts.mkdir()
        run(length, FAKE_GPU_COUNTS=counts)
        calls.append(counted(counts))
    return {name: calls[1].get(name, 0) - calls[0].get(name, 0) for name in {*calls[0], *calls[1]}}


def test_what_a_batch_of_ragged_rows_waits_for(tmp_path):
    """The lengths are known on the host; one wait a batch for its results is all."""

    class Loud(torch.nn.Module):
        def forward(self, x: torch.Tensor, lengths: torch.Tensor):
            return (x[:, 0] * x[:, 0]) * 2

    torch.jit.script(Loud().eval()).save(str(tmp_path / "loud.pt"))
    for index in range(80):
        with wave.open(str(tmp_path / f"{index:02}.wav"), "wb") as sound:
            sound.setparams((1, 2, 8000, 0, "NONE", ""))
            sound.writeframes(np.random.default_rng(index).integers(-9999, 9999, 200 + 10 * index, dtype=np.int16).tobytes())

    def run(items, **settings):
        (tmp_path / f"{items}.txt").write_text("".join(f"{tmp_path}/{index:02}.wav\n" for index in range(items)))
        output = tmp_path / f"{items}.h5"
        on_fake_gpu("infer", "--model", tmp_path / "loud.pt", "--sample-rate", 8000, "--input", tmp_path / f"{items}.txt", "--output", output, "--batch-size", 4, **settings)
        with h5py.File(output) as file:
            assert (file["items/status"][:] == 1).all() and len(file["results/output/offsets"]) == items + 1

    more = more_calls(run, tmp_path, 40, 80)
    assert more["stream synchronize"] == 0 and more.get("pageable copy", 0) == 0, more
    assert more["event synchronize"] <= 10, more


@pytest.mark.parametrize("options", [(), ("--accumulate", 3), ("--clip-norm", 1), ("--dtype", "float16")])
def test_what_a_training_step_waits_for(options, data, tmp_path):
    """By events, for the copy of each unit and once for the losses; what ranks tell each other stops no stream."""
    units = 3 if "--accumulate" in options else 1
    steps = 2 * ITEMS // 4 // units

    def run(epochs, **settings):
        train(data, tmp_path / f"{epochs}.h5", "--epochs", epochs, "--checkpoint-every", 1000, *options, **settings)

    more = more_calls(run, tmp_path, 2, 4)
    assert more["stream synchronize"] <= 8, more
    assert more.get("pageable copy", 0) <= 8, more
    assert more["event synchronize"] <= (units + 1) * steps + 8, more


def test_the_wait_for_the_device_is_counted(data, tmp_path):
    """What a step takes stands in one of the columns, also what its host code does not see."""
    train(data, tmp_path / "out.h5", "--epochs", 2, FAKE_GPU_DELAY_US=3000)
    with h5py.File(tmp_path / "out.h5") as file:
        row = file["ranks"][0]
        steps_s = (file["training/samples"][:] / file["training/samples_per_s"][:]).sum()
    named_s = sum(row[column] for column in ("load_wait_s", "forward_s", "backward_s", "reduce_wait_s", "update_s"))
    assert 0.8 * steps_s < named_s < 1.2 * steps_s, (named_s, steps_s)
    assert row["backward_s"] > 0.3 * steps_s, (row, steps_s)


@pytest.mark.parametrize("ranks", [1, 2, 4])
def test_infer(ranks, data, tmp_path):
    infer(data, tmp_path / "out.h5", ranks=ranks, FAKE_GPU_DEVICES=ranks)
    devices = [device for device in check_all_ok(tmp_path / "out.h5") if device]  # without one: all was done before it was ready
    assert len(set(devices)) == len(devices) and set(devices) <= {f"cuda:{index} Fake GPU" for index in range(ranks)}


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision(dtype, data, tmp_path):
    infer(data, tmp_path / "out.h5", "--dtype", dtype)
    check_all_ok(tmp_path / "out.h5")


def test_ranks_that_see_a_gpu_each_of_their_own(data, tmp_path):
    """As under `srun --gpus-per-task=1`."""
    infer(data, tmp_path / "out.h5", ranks=2, FAKE_GPU_OWN=1)
    assert set(check_all_ok(tmp_path / "out.h5")) <= {"", "cuda:0 Fake GPU"}
    train(data, tmp_path / "trained.h5", "--epochs", 1, ranks=2, FAKE_GPU_OWN=1)


def test_more_ranks_than_gpus(data, tmp_path):
    done = infer(data, tmp_path / "out.h5", ranks=2, code=2)
    assert "2 ranks on host" in done.err and "1 GPU to use" in done.err and "--oversubscribe" in done.err, done.err
    infer(data, tmp_path / "out.h5", "--oversubscribe", ranks=2)


def test_another_device_is_not_touched(data, tmp_path):
    """A context costs each GPU hundreds of megabytes, which its owner misses."""
    done = infer(data, tmp_path / "out.h5", "--devices", "1", FAKE_GPU_DEVICES=2, FAKE_GPU_FORBIDDEN=0)
    assert check_all_ok(tmp_path / "out.h5") == ["cuda:1 Fake GPU"]
    assert "device 0 was used" not in done.text
    done = train(data, tmp_path / "trained.h5", "--devices", "1", "--epochs", 1, FAKE_GPU_DEVICES=2, FAKE_GPU_FORBIDDEN=0)
    assert "device 0 was used" not in done.text
    done = infer(data, tmp_path / "other.h5", "--devices", "1", FAKE_GPU_DEVICES=2, FAKE_GPU_FORBIDDEN=1)
    assert "device 1 was used" in done.text, "the fake GPU does not see it"


def test_a_device_that_fails_once(data, tmp_path):
    done = infer(data, tmp_path / "out.h5", FAKE_GPU_FAIL_AT=60, FAKE_GPU_FAIL_ONCE=tmp_path / "once")
    check_all_ok(tmp_path / "out.h5")
    assert "an illegal memory access was encountered" in done.text and "another takes its place" in done.text, done.text
    assert not (tmp_path / "bad_devices").exists()


@pytest.mark.parametrize("kernel", range(2, 24, 3))
def test_a_device_that_always_fails_costs_its_rank_only(kernel, data, tmp_path):
    """In the trial batch or later; no item is charged, as another GPU does them."""
    done = infer(data, tmp_path / "out.h5", ranks=2, FAKE_GPU_DEVICES=2, **RANK_1_FAILS | {"FAKE_GPU_FAIL_AT": kernel})
    check_all_ok(tmp_path / "out.h5")
    assert re.search(r"rank 1 on \S+.*an illegal memory access was encountered", done.text), done.text


@pytest.mark.parametrize("kernel", range(2, 24, 3))
def test_the_only_device_always_fails(kernel, data, tmp_path):
    """The run ends with the reason, not with that of the process."""
    done = infer(data, tmp_path / "out.h5", code=1, FAKE_GPU_FAIL_AT=kernel)
    assert "an illegal memory access was encountered" in done.lines_of_ours()[-1], done.text


def test_an_assertion_of_a_kernel_in_the_trial_is_the_models_fault(data, tmp_path):
    done = infer(data, tmp_path / "out.h5", code=2, ranks=2, FAKE_GPU_DEVICES=2, FAKE_GPU_FAIL_AT=5, FAKE_GPU_FAIL_CODE=710)
    assert "a trial batch of 4 rows failed: CUDA error: device-side assert triggered" in done.err, done.text


@pytest.mark.parametrize("nvml, banned", [(0, False), (6, False), (15, True), (16, True)])
def test_nvml_is_asked_about_a_device_that_failed(nvml, banned, data, tmp_path):
    """6, Not Found, is what it says of a MIG instance."""
    done = infer(data, tmp_path / "out.h5", ranks=2, FAKE_GPU_DEVICES=2, FAKE_GPU_NVML=nvml, FAKE_GPU_FAIL_ONCE=tmp_path / "once", **RANK_1_FAILS)
    check_all_ok(tmp_path / "out.h5")
    assert ((tmp_path / "bad_devices").exists() and "GPU-" in (tmp_path / "bad_devices").read_text()) == banned, done.text


def test_hardware_errors_ban_a_device(data, tmp_path):
    """ECC: the next run leaves that GPU out by itself."""
    infer(data, tmp_path / "out.h5", "--max-restarts", 1, ranks=2, FAKE_GPU_DEVICES=2, FAKE_GPU_FAIL_CODE=214, **RANK_1_FAILS)
    check_all_ok(tmp_path / "out.h5")  # no item is charged, as another GPU does them
    assert "000002" in (tmp_path / "bad_devices").read_text()
    done = infer(data, tmp_path / "next.h5", ranks=2, FAKE_GPU_DEVICES=2, code=2)
    assert "1 GPU to use" in done.err, done.err


def test_a_batch_that_does_not_fit(data, tmp_path):
    """In the trial batch, and later."""
    done = infer(data, tmp_path / "out.h5", "--image-size", 256, "--batch-size", 64, FAKE_GPU_MEMORY=90_000_000)
    check_all_ok(tmp_path / "out.h5")
    assert "out of memory" in done.text, done.text


@pytest.mark.parametrize("ranks", [1, 2, 4])
@pytest.mark.parametrize("options", [(), ("--cuda-graph",), ("--shard-optimizer", "--optimizer", "adamw"), ("--gradient-compression", "bfloat16")])
def test_train(ranks, options, data, tmp_path):
    train(data, tmp_path / "out.h5", "--epochs", 2, "--accumulate", 2, *options, ranks=ranks, FAKE_GPU_DEVICES=ranks)
    with h5py.File(tmp_path / "out.h5") as file:
        assert file.attrs["complete"] == 1


@pytest.mark.parametrize("options", [(), ("--cuda-graph",)])
def test_a_training_batch_that_does_not_fit(options, data, tmp_path):
    done = train(data, tmp_path / "out.h5", "--image-size", 256, "--batch-size", 64, "--epochs", 2, *options, FAKE_GPU_MEMORY=90_000_000)
    assert "out of memory" in done.text and "micro-batches of" in done.text, done.text


def test_the_batch_that_is_found_fits_the_steps_too(data, tmp_path):
    done = train(data, tmp_path / "out.h5", "--image-size", 256, "--batch-size", "auto", "--epochs", 1, "--optimizer", "adamw", FAKE_GPU_MEMORY=150_000_000)
    assert "out of memory" not in done.text, done.text


def test_recordings_end_with_their_stage(data, tmp_path):
    """The second stage records anew, in a pool of its own."""
    (tmp_path / "stages.toml").write_text("[[stage]]\nepochs = 1\n[[stage]]\nepochs = 1\nbatch_size = 8\n")
    train(data, tmp_path / "out.h5", "--stages", tmp_path / "stages.toml", "--cuda-graph", FAKE_GPU_DEVICES=2, ranks=2)


def test_a_worker_killed_in_a_training(data, tmp_path):
    """The others notice, though they wait for it in a collective, and all begin again at the last checkpoint."""
    done = train(data, tmp_path / "out.h5", "--epochs", 3, "--checkpoint-every", 4, "--fault", "kill:rank=1,step=10,times=1", ranks=2, FAKE_GPU_DEVICES=2)
    assert re.search("all workers restart|continues from", done.text), done.text


def test_a_collective_that_never_ends(data, tmp_path):
    done = train(data, tmp_path / "out.h5", "--epochs", 3, "--reduce-timeout", 3, "--max-restarts", 0, "--progress", "none", ranks=2, code=1, FAKE_GPU_DEVICES=2, FAKE_GPU_NCCL_HANG=40)
    assert "3 s" in done.err, done.err


def test_a_device_that_fails_in_a_training(data, tmp_path):
    train(data, tmp_path / "out.h5", "--epochs", 3, "--checkpoint-every", 4, ranks=2, FAKE_GPU_DEVICES=2, FAKE_GPU_FAIL_AT=300, FAKE_GPU_FAIL_RANK=1, FAKE_GPU_FAIL_ONCE=tmp_path / "once")
    assert (tmp_path / "once").exists(), "it was over before"

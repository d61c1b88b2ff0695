"""GPUs that get hot, fail or do not answer, on GPUs of host threads whose NVML says what a file says (tests/fake_gpu/nvml.cpp)."""

import collections
import shutil
import subprocess
import time

import h5py
import numpy as np
import pytest

from conftest import BIN, ENVIRONMENT, RUN_LIMIT_S, arrays
from test_fake_gpu import FAKE_GPU, check_all_ok, data, infer, train  # noqa: F401

ITEMS = 240
COOL = "* temperature 60"
INTERVAL = {"MGPU_HEALTH_INTERVAL": 0.1}
GPU_2 = "GPU-00000000-0000-0000-0000-000000000002"


class Nvml:
    """What the driver says; a line an entry, as nvml.cpp reads them."""

    def __init__(self, folder, *lines):
        self.path = folder / "nvml.txt"
        self.say(*lines)

    def say(self, *lines):
        new = self.path.with_suffix(".new")
        new.write_text("".join(f"{line}\n" for line in lines))
        new.rename(self.path)  # a reader sees the old file or the new one


class Run:
    """A run that goes on while the test looks at it."""

    def __init__(self, folder, *arguments, ranks=2, **settings):
        self.path = folder / f"run_{time.monotonic_ns()}.txt"
        environment = {**ENVIRONMENT, "CUDA_VISIBLE_DEVICES": "0,1,2,3", "LD_PRELOAD": f"{FAKE_GPU}/libcudart.so.13:{FAKE_GPU}/libnccl.so.2", "LD_LIBRARY_PATH": str(FAKE_GPU),
                       "FAKE_GPU_DEVICES": str(ranks), "MGPU_BAD_DEVICES": str(folder / "bad_devices"), **{name: str(value) for name, value in (INTERVAL | settings).items()}}
        command = [shutil.which("mpirun"), "--oversubscribe", "--timeout", str(RUN_LIMIT_S), "-np", str(ranks), str(BIN / "mgpu_run"), *map(str, arguments)]
        with open(self.path, "wb") as out:
            self.process = subprocess.Popen(command, env=environment, stdout=out, stderr=subprocess.STDOUT)

    @property
    def text(self):
        return self.path.read_text(errors="replace")

    def wait_for(self, words, limit_s=60):
        limit = time.monotonic() + limit_s
        while words not in self.text:
            assert self.process.poll() is None, f"it ended without '{words}':\n{self.text}"
            assert time.monotonic() < limit, f"no '{words}' within {limit_s} s:\n{self.text}"
            time.sleep(0.02)

    def end(self, code=0):
        assert self.process.wait(RUN_LIMIT_S + 30) == code, self.text
        return self.text


@pytest.fixture
def long_list(data, tmp_path):  # noqa: F811
    """More items than one rank does within some seconds."""
    pictures = sorted((data / "pictures").iterdir())
    (tmp_path / "list.txt").write_text("".join(f"{pictures[index % len(pictures)]}\n" for index in range(ITEMS)))
    return tmp_path / "list.txt"


def start(data, folder, long_list, nvml, *options, ranks=2, **settings):  # noqa: F811
    return Run(folder, "infer", "--model", data / "net.pt", "--image-size", 8, "--input", long_list, "--output", folder / "out.h5", "--batch-size", 4, *options, ranks=ranks,
               **{"FAKE_GPU_NVML_FILE": nvml.path, "FAKE_GPU_DELAY_US": 20000} | settings)


def telemetry(output):
    with h5py.File(output) as file:
        return file["telemetry"][:]


def check_each_item_once(output):
    check_all_ok(output)
    with h5py.File(output) as file:
        assert (file["items/attempts"][:] == 1).all()
        return collections.Counter(file["items/rank"][:].tolist())


@pytest.mark.parametrize("schedule", ["dynamic", "block", "cyclic"])
def test_a_rank_that_gets_hot_rests_and_comes_back(schedule, data, long_list, tmp_path):  # noqa: F811
    nvml = Nvml(tmp_path, COOL)
    run = start(data, tmp_path, long_list, nvml, "--max-gpu-temp", 85, "--schedule", schedule)
    run.wait_for("rank 1 on")  # is ready
    nvml.say(COOL, "2 temperature 95")
    run.wait_for("at 95 °C, --max-gpu-temp is 85")
    assert "rank 1 on" in run.text and " rests: its GPU " + GPU_2 in run.text
    nvml.say(COOL, "2 temperature 82")
    time.sleep(0.5)
    assert "works again" not in run.text, "5 degrees below is 80"
    nvml.say(COOL)
    run.wait_for("works again")
    text = run.end()
    assert "was too hot for" in text and text.count(" rests: ") == 1, text
    assert check_each_item_once(tmp_path / "out.h5")[1] > 0
    rows = telemetry(tmp_path / "out.h5")
    assert set(rows["rank"]) == {0, 1}
    assert (rows["state"][rows["rank"] == 0] == 0).all() and (rows["state"][rows["rank"] == 1] == 1).any() and rows["state"][rows["rank"] == 1][-1] == 0
    assert rows["temperature_c"][rows["rank"] == 1].max() == 95
    assert {uuid.decode() for uuid in rows["uuid"][rows["rank"] == 1]} == {GPU_2}
    assert not (tmp_path / "bad_devices").exists()


def test_a_gpu_with_a_fatal_xid_leaves(data, long_list, tmp_path):  # noqa: F811
    """And the next run does without it."""
    nvml = Nvml(tmp_path, COOL)
    run = start(data, tmp_path, long_list, nvml)
    run.wait_for("rank 1 on")
    nvml.say(COOL, "2 xid 31", "2 xid 74", "2 xid 79")
    run.wait_for("gets no more work")
    text = run.end()
    assert "Xid 79 (the GPU has fallen off the bus)" in text and "Xid 74" in text and "Xid 31" not in text, text
    assert check_each_item_once(tmp_path / "out.h5")[0] > ITEMS / 2
    until, uuid, reason = (tmp_path / "bad_devices").read_text().strip().split(" ", 2)
    assert uuid == GPU_2 and "Xid 79" in reason and abs(float(until) - time.time() - 24 * 3600) < 300
    assert 79 in telemetry(tmp_path / "out.h5")["xid"]
    done = infer(data, tmp_path / "next.h5", ranks=2, FAKE_GPU_DEVICES=2, code=2)
    assert "1 GPU to use" in done.err and f"left out: {GPU_2} (failed lately: Xid 79" in done.err, done.err
    infer(data, tmp_path / "next.h5", FAKE_GPU_DEVICES=2)
    assert check_all_ok(tmp_path / "next.h5") == ["cuda:0 Fake GPU"]


@pytest.mark.parametrize("lines, words", [(["2 ecc 1"], "1 uncorrected memory error(s)"), (["2 remap_failed 1", "2 remap_pending 0"], "could not be replaced"), (["2 code 15"], "GPU is lost")])
def test_other_ends_of_a_gpu(lines, words, data, long_list, tmp_path):  # noqa: F811
    healthy = [COOL, "* ecc 0", "* remap_failed 0", "* remap_pending 0"]
    nvml = Nvml(tmp_path, *healthy)
    run = start(data, tmp_path, long_list, nvml)
    run.wait_for("rank 1 on")
    time.sleep(0.5)  # its first sample
    nvml.say(*healthy, *lines)
    run.wait_for("gets no more work")
    assert words in run.end()
    check_each_item_once(tmp_path / "out.h5")
    assert GPU_2 in (tmp_path / "bad_devices").read_text()


def test_all_hot(data, long_list, tmp_path):  # noqa: F811
    """The run waits, stops with nothing lost, and is resumed."""
    nvml = Nvml(tmp_path, COOL)
    run = start(data, tmp_path, long_list, nvml, "--max-gpu-temp", 85, "--max-hold", 2)
    run.wait_for("rank 1 on")
    time.sleep(1)
    nvml.say("* temperature 95")
    text = run.end(75)
    assert "the run waits" in text and "(--max-hold)" in text and "--resume finishes the job" in text, text
    with h5py.File(tmp_path / "out.h5") as file:
        assert file.attrs["complete"] == 0
        done = int((file["items/status"][:] == 1).sum())
    assert 0 < done < ITEMS
    nvml.say(COOL)
    text = start(data, tmp_path, long_list, nvml, "--max-gpu-temp", 85, "--max-hold", 2, "--resume").end()
    assert f"{done} of {ITEMS} items are done already" in text, text
    check_each_item_once(tmp_path / "out.h5")
    (tmp_path / "alone").mkdir()
    start(data, tmp_path / "alone", long_list, nvml, ranks=1, FAKE_GPU_DELAY_US=200).end()
    assert arrays(tmp_path / "out.h5") == arrays(tmp_path / "alone/out.h5"), "the bits of an undisturbed run"


def test_the_last_gpu_fails(data, long_list, tmp_path):  # noqa: F811
    nvml = Nvml(tmp_path, COOL)
    run = start(data, tmp_path, long_list, nvml, ranks=1, FAKE_GPU_DEVICES=2)
    run.wait_for("rank 0 on")
    time.sleep(0.5)
    nvml.say(COOL, "1 xid 48")
    assert "the last one: its GPU" in run.end(75)
    start(data, tmp_path, long_list, nvml, "--resume", ranks=1, FAKE_GPU_DEVICES=2).end()
    check_each_item_once(tmp_path / "out.h5")
    assert check_all_ok(tmp_path / "out.h5") == ["cuda:1 Fake GPU"]


def test_what_a_gpu_shows_is_in_the_file(data, tmp_path):  # noqa: F811
    nvml = Nvml(tmp_path, "* temperature 61", "* slowdown 90", "* utilization 97", "* power_mw 350500", "* clock 1755", "* throttle 68", "* ecc 0", "* remap_failed 0",
                "* remap_pending 1", "* used 1000000000", "* total 4000000000")
    for make, name in ((infer, "infer.h5"), (train, "train.h5")):
        done = make(data, tmp_path / name, FAKE_GPU_NVML_FILE=nvml.path, **INTERVAL)
        row = telemetry(tmp_path / name)[0]
        assert (row["rank"], row["uuid"]) == (0, b"GPU-00000000-0000-0000-0000-000000000001")
        assert (row["temperature_c"], row["utilization_percent"], row["power_w"], row["sm_clock_mhz"]) == (61, 97, 350.5, 1755)
        assert (row["memory_used_bytes"], row["memory_total_bytes"], row["throttle_reasons"], row["uncorrected_ecc"]) == (1e9, 4e9, 68, 0)
        assert (row["remap_pending"], row["remap_failed"], row["xid"], row["state"], row["time_s"] >= 0) == (1, 0, 0, 0, True)
        assert "slowed down by heat" in done.text and "replaced at its next reset" in done.text, done.text


def test_what_is_unknown(data, tmp_path):  # noqa: F811
    """A driver that answers little is no trouble, nor one that knows no such GPU (MIG), nor one that never answers."""
    infer(data, tmp_path / "little.h5", "--max-gpu-temp", 40, FAKE_GPU_NVML_FILE=Nvml(tmp_path).path, **INTERVAL)
    row = telemetry(tmp_path / "little.h5")[0]
    assert np.isnan(row["temperature_c"]) and np.isnan(row["power_w"]) and row["uncorrected_ecc"] == -1 and row["memory_total_bytes"] > 0
    infer(data, tmp_path / "mig.h5", FAKE_GPU_NVML=6, **INTERVAL)
    with h5py.File(tmp_path / "mig.h5") as file:
        assert "telemetry" not in file
    began = time.monotonic()
    infer(data, tmp_path / "plain.h5")
    plain_s, began = time.monotonic() - began, time.monotonic()
    done = infer(data, tmp_path / "hangs.h5", ranks=1, FAKE_GPU_NVML_FILE=Nvml(tmp_path, "* hang 1").path, **INTERVAL)
    assert time.monotonic() - began < plain_s + 5, done.text
    check_all_ok(tmp_path / "hangs.h5")


def test_gpus_that_others_use(data, tmp_path):  # noqa: F811
    nvml = Nvml(tmp_path, "1 used 3000000000", "1 total 4000000000")
    both = {"FAKE_GPU_DEVICES": 2, "FAKE_GPU_NVML_FILE": nvml.path}
    done = infer(data, tmp_path / "auto.h5", "--max-gpu-memory", "10%", **both)
    assert check_all_ok(tmp_path / "auto.h5") == ["cuda:1 Fake GPU"]
    assert "other processes use 75% of the memory of GPU 0" in done.text, done.text
    done = infer(data, tmp_path / "named.h5", "--max-gpu-memory", "10%", "--devices", 0, code=2, **both)
    assert "type --devices 1, or --max-gpu-memory 75%" in done.err, done.err
    infer(data, tmp_path / "named.h5", "--max-gpu-memory", "75%", "--devices", 0, **both)
    (tmp_path / "run.toml").write_text('max-gpu-memory = "10%"\n')
    done = infer(data, tmp_path / "few.h5", "--config", tmp_path / "run.toml", ranks=2, code=2, **both)
    assert "others use 75% of its memory" in done.err, done.err
    nvml.say("* hang 1")
    done = infer(data, tmp_path / "hangs.h5", "--max-gpu-memory", "10%", **both)
    assert "is not known: NVML did not answer within 10 s" in done.text, done.text


@pytest.mark.parametrize("ranks_left, code", [(1, 0), (0, 75)])
def test_a_gpu_that_fails_in_a_training(ranks_left, code, data, tmp_path):  # noqa: F811
    """With --min-ranks the others continue; without, the run stops at its last checkpoint, and is resumed on other GPUs."""
    nvml = Nvml(tmp_path, COOL)
    options = ["train", "--model", data / "net.pt", "--image-size", 8, "--input", data / "table.csv", "--output", tmp_path / "out.h5", "--global-batch", 8, "--lr", "0.01", "--epochs", 5,
               "--checkpoint-every", 4, "--min-ranks", ranks_left]
    settings = {"FAKE_GPU_NVML_FILE": nvml.path, "FAKE_GPU_DELAY_US": 4000}
    run = Run(tmp_path, *options, **settings)
    run.wait_for("rank 1 on")
    limit = time.monotonic() + 60
    while not list(tmp_path.glob("out.h5.checkpoints/step-*/checkpoint.json")) and time.monotonic() < limit:
        time.sleep(0.05)
    nvml.say(COOL, "2 xid 48")
    text = run.end(code)
    assert "Xid 48 (a double-bit memory error)" in text, text
    assert GPU_2 in (tmp_path / "bad_devices").read_text()
    if code != 0:
        Run(tmp_path, *options, "--resume", ranks=1, **settings | {"FAKE_GPU_DEVICES": 2}).end()
    with h5py.File(tmp_path / "out.h5") as file:
        assert file.attrs["complete"] == 1 and (np.diff(file["training/step"][:]) == 1).all()


@pytest.mark.parametrize("options, words", [
    (["--max-gpu-temp", "900"], "--max-gpu-temp 900: degrees Celsius from 30 to 120"), (["--max-gpu-temp", "1"], "--max-gpu-temp 1:"), (["--max-gpu-temp", "hot"], "--max-gpu-temp hot"),
    (["--max-gpu-memory", "10"], "--max-gpu-memory 10: a share of the GPU's memory from 0% to 100%"), (["--max-gpu-memory", "101%"], "--max-gpu-memory 101%"),
    (["--max-gpu-memory", "nan%"], "--max-gpu-memory nan%"), (["--max-hold", "-1"], "--max-hold -1"), (["--max-hold", "1e300"], "--max-hold 1e+300: seconds")])
def test_unsuitable_values(options, words, data, tmp_path):  # noqa: F811
    assert words in infer(data, tmp_path / "out.h5", *options, code=2).err
    assert not (tmp_path / "out.h5").exists()

"""The right numbers, and the same bits whoever computed them."""

import csv
import io
import json
import os
import pathlib
import signal
import subprocess
import time

import h5py
import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import transforms

from conftest import BIN, ENVIRONMENT, SmallNet, arrays, mgpu_run
from processes import left_in_shared_memory


@pytest.fixture(scope="module")
def reference(tmp_path_factory, bundle, pictures):
    """One rank, dynamic: what every other run must equal."""
    output = tmp_path_factory.mktemp("reference") / "one.h5"
    done = mgpu_run("infer", "--model", bundle, "--input", pictures, "--output", output, "--batch-size", 4, "--threads", 1, ranks=1)
    assert done.code == 0, done.err
    return output


@pytest.mark.parametrize("schedule", ["dynamic", "block", "cyclic"])
@pytest.mark.parametrize("ranks", [1, 2, 3, 8])
def test_ranks_and_schedules_change_no_bit(ranks, schedule, tmp_path, reference, bundle, pictures):
    output = tmp_path / "out.h5"
    done = mgpu_run("infer", "--model", bundle, "--input", pictures, "--output", output, "--batch-size", 4, "--threads", 1,
                    "--schedule", schedule, ranks=ranks)
    assert done.code == 0, done.err
    assert arrays(output) == arrays(reference)


@pytest.mark.parametrize("options", [("--ship", "bytes"), ("--model-load", "staged"), ("--model-load", "staggered"), ("--loaders", "3")])
def test_ways_of_shipping_and_loading_change_no_bit(options, tmp_path, reference, bundle, pictures):
    output = tmp_path / "out.h5"
    done = mgpu_run("infer", "--model", bundle, "--input", pictures, "--output", output, "--batch-size", 4, "--threads", 1, *options)
    assert done.code == 0, done.err
    assert arrays(output) == arrays(reference)
    assert not left_in_shared_memory(), "the staged model"


def test_agrees_with_torchvision_and_pytorch(reference, pictures):
    """Same files through Pillow, torchvision and PyTorch; tolerance 2e-3 on logits of order 0.3 (lossy decoders round differently)."""
    prepare = transforms.Compose([transforms.Resize(110), transforms.CenterCrop(96), transforms.ToTensor(),
                                  transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])])
    net = SmallNet().eval()
    with h5py.File(reference) as file:
        paths = [os.fsdecode(path) for path in file["items/path"][:]]
        got = file["results/logits"][:]
        labels, scores = file["results/label"][:], file["results/score"][:]
    assert paths == sorted(paths) and len(paths) == 45
    with torch.inference_mode():
        wanted = net(torch.stack([prepare(Image.open(path).convert("RGB")) for path in paths])).numpy()
    np.testing.assert_allclose(got, wanted, atol=2e-3)
    np.testing.assert_array_equal(labels, got.argmax(axis=1))
    np.testing.assert_allclose(scores, torch.softmax(torch.from_numpy(got), 1).amax(1).numpy(), atol=1e-6)


def test_summary_inspect_and_export_tell_the_same(reference):
    summary = json.loads(pathlib.Path(str(reference) + ".summary.json").read_text())
    assert summary["items"] == summary["ok"] == 45 and summary["exit_code"] == 0 and summary["complete"]
    shown = mgpu_run("inspect", reference, ranks=0)
    assert shown.code == 0 and "45 ok" in shown.out and "logits" in shown.out
    rows = list(csv.DictReader(io.StringIO(mgpu_run("export", reference, "--format", "csv", ranks=0).out)))
    lines = [json.loads(line) for line in mgpu_run("export", reference, "--format", "jsonl", ranks=0).out.splitlines()]
    assert len(rows) == len(lines) == 45
    assert [row["path"] for row in rows] == [line["path"] for line in lines]
    with h5py.File(reference) as file:
        assert [int(line["label"]) for line in lines] == list(file["results/label"][:])


@pytest.mark.parametrize("ranks", [1, 2])
def test_aotinductor_and_torchscript_agree(ranks, tmp_path, pictures):
    """The same network as .pt2 and as .pt, made by the model tests' fixture; tolerance 1e-5."""
    models = pathlib.Path(os.environ["MGPU_TEST_MODELS"])
    for kind in ("pt", "pt2"):
        done = mgpu_run("infer", "--model", models / f"images.{kind}", "--image-size", "16", "--outputs", "logits", "--input", pictures, "--output",
                        tmp_path / f"{kind}.h5", "--batch-size", 4, "--threads", 1, ranks=ranks)
        assert done.code == 0, done.err
    with h5py.File(tmp_path / "pt.h5") as script, h5py.File(tmp_path / "pt2.h5") as package:
        np.testing.assert_allclose(script["results/logits"][:], package["results/logits"][:], atol=1e-5)
        assert package["results/logits"].shape == (45, 5)


def test_topk_names_columns_and_batches(tmp_path, bundle, pictures):
    output = tmp_path / "out.h5"
    done = mgpu_run("infer", "--model", bundle, "--input", pictures, "--output", output, "--topk", 3, "--batch_size", 7)
    assert done.code == 0, done.err
    with h5py.File(output) as file:
        assert file["results/label"].shape == (45, 3)
        scores = file["results/score"][:]
        assert (np.diff(scores, axis=1) <= 0).all()
        assert file.attrs["world_size"] == 2 and file.attrs["complete"] == 1
        assert json.loads(file.attrs["config"])["batch-size"] == "7"


def test_existing_output_is_kept_unless_told(tmp_path, bundle, pictures):
    output = tmp_path / "out.h5"
    arguments = ("infer", "--model", bundle, "--input", pictures / "part0", "--output", output)
    assert mgpu_run(*arguments, ranks=0).code == 0
    before = output.read_bytes()
    refused = mgpu_run(*arguments)
    assert refused.code == 2 and len(refused.lines_of_ours()) == 1 and output.read_bytes() == before
    resumed = mgpu_run(*arguments, "--resume")
    assert resumed.code == 0 and "complete already" in resumed.out and output.read_bytes() == before
    assert mgpu_run(*arguments, "--overwrite").code == 0


def test_dry_run_prints_the_plan_and_runs_nothing(tmp_path, bundle, pictures):
    done = mgpu_run("infer", "--model", bundle, "--input", pictures, "--output", tmp_path / "out.h5", "--dry-run", "--schedule", "block")
    assert done.code == 0 and "45 items" in done.out and not list(tmp_path.iterdir())


def test_each_rank_has_its_log(tmp_path, bundle, bad_item):
    done = mgpu_run("infer", "--model", bundle, "--input", bad_item, "--output", tmp_path / "out.h5", "--log-dir", tmp_path / "logs")
    assert done.code == 3, done.err
    logs = "".join(path.read_text() for path in (tmp_path / "logs").glob("rank-*.log"))
    assert "item 0" in logs and "not a picture" in logs


@pytest.fixture
def bad_item(tmp_path):
    (tmp_path / "text.jpg").write_text("no picture")
    return tmp_path / "text.jpg"


def test_trace_opens_as_json(tmp_path, bundle, pictures):
    trace = tmp_path / "trace.json"
    done = mgpu_run("infer", "--model", bundle, "--input", pictures, "--output", tmp_path / "out.h5", "--trace", trace)
    assert done.code == 0, done.err
    events = json.loads(trace.read_text())
    assert {event["pid"] for event in events if event["ph"] == "X"} <= {0, 1} and len(events) > 10


def workers_of(process):
    """Process ids of the workers below an mpirun that have been told their job: neither standby workers nor fork servers."""
    table = subprocess.run(["ps", "-eo", "pid,ppid,comm"], capture_output=True, text=True).stdout.split("\n")[1:]
    rows = [line.split(None, 2) for line in table if line.strip()]
    below, found = {process.pid}, []
    for _ in range(5):
        below |= {int(pid) for pid, parent, _ in rows if int(parent) in below}
    for pid, _, name in rows:
        if int(pid) in below and name.strip() == "mgpu_worker":
            found.append(int(pid))
    return found


@pytest.fixture
def long_run(tmp_path, bundle, pictures):
    """A run of some seconds in the background."""
    table = tmp_path / "many.csv"
    paths = sorted(path for path in pictures.rglob("*.*") if path.is_file())
    table.write_text("path\n" + "\n".join(str(paths[index % len(paths)]) for index in range(20000)) + "\n")
    output = tmp_path / "out.h5"
    command = ["mpirun", "--oversubscribe", "--timeout", "120", "-np", "2", str(BIN / "mgpu_run"), "infer", "--model", str(bundle),
               "--input", str(table), "--output", str(output), "--batch-size", "8", "--threads", "1"]
    process = subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    for _ in range(600):
        if pathlib.Path(str(output) + ".partial").exists():
            break
        time.sleep(0.05)
    time.sleep(1.0)
    yield process, output
    if process.poll() is None:
        process.kill()


def test_a_killed_worker_is_replaced(long_run):
    process, output = long_run
    for _ in range(200):  # a worker is one once it has been told its job
        workers = workers_of(process)
        if len(workers) == 2 or process.poll() is not None:
            break
        time.sleep(0.05)
    assert len(workers) == 2
    os.kill(workers[1], signal.SIGKILL)
    text, _ = process.communicate(timeout=150)
    assert process.returncode == 0, text
    assert "its worker died" in text and "another takes its place" in text
    with h5py.File(output) as file:
        assert (file["items/status"][:] == 1).all() and file.attrs["complete"] == 1


def test_a_signal_stops_early_with_everything_kept(long_run):
    process, output = long_run
    process.send_signal(signal.SIGUSR2)
    text, _ = process.communicate(timeout=150)
    assert process.returncode == 75, text
    with h5py.File(output) as file:
        status = file["items/status"][:]
        assert file.attrs["complete"] == 0 and 0 < (status == 1).sum() < len(status)
        assert np.isnan(file["results/logits"][:][status != 1]).all()
        assert np.isfinite(file["results/logits"][:][status == 1]).all()

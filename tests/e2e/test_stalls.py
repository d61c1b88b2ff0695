"""Servers that do not answer: of the input nobody is charged for it, and rank 0's loop does not wait for any folder."""

import hashlib
import os
import pathlib
import shutil
import signal
import subprocess
import time

import h5py
import numpy as np
import pytest

from conftest import BIN, ENVIRONMENT, RUN_LIMIT_S, arrays, mgpu_run
from struck import agents_of


@pytest.fixture(scope="module")
def preload(tmp_path_factory):
    library = tmp_path_factory.mktemp("stall") / "stall.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", library, pathlib.Path(__file__).parent / "stall.c", "-ldl"], check=True)
    return library


def start(preload, flag, part, ranks, *arguments, **environment):
    command = [shutil.which("mpirun"), "--oversubscribe", "--timeout", str(RUN_LIMIT_S), "-np", str(ranks), "-x", "LD_PRELOAD", str(BIN / "mgpu_run"), *map(str, arguments)]
    return subprocess.Popen(command, env={**ENVIRONMENT, "LD_PRELOAD": str(preload), "STALL_FLAG": str(flag), "STALL_PATH": part, **environment},
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


@pytest.mark.parametrize("ranks", [1, 2, 4])
def test_an_input_server_that_is_away_costs_no_item(preload, bundle, pictures, tmp_path, ranks):
    """Away for ten times --stall-timeout."""
    flag = tmp_path / "away"
    flag.touch()
    run = start(preload, flag, "/crop0", ranks, "infer", "--model", bundle, "--input", pictures, "--output", tmp_path / "out.h5", "--batch-size", 8, "--progress", "plain",
                "--stall-timeout", 2)
    time.sleep(23)
    assert run.poll() is None, run.communicate()[0]
    flag.unlink()
    out = run.communicate(timeout=RUN_LIMIT_S)[0]
    assert run.returncode == 0, out
    assert "no item is charged" in out, out
    well = mgpu_run("infer", "--model", bundle, "--input", pictures, "--output", tmp_path / "well.h5", "--batch-size", 8, ranks=1)
    assert well.code == 0
    assert arrays(tmp_path / "out.h5") == arrays(tmp_path / "well.h5")


@pytest.mark.parametrize("ranks", [1, 2])
def test_one_file_that_never_opens_costs_its_row(preload, bundle, pictures, tmp_path, ranks):
    """The others can be read: the server is there."""
    flag = tmp_path / "away"
    flag.touch()
    run = start(preload, flag, "crop017", ranks, "infer", "--model", bundle, "--input", pictures, "--output", tmp_path / "out.h5", "--batch-size", 8, "--progress", "plain",
                "--stall-timeout", 1)
    out = run.communicate(timeout=RUN_LIMIT_S)[0]
    assert run.returncode == 3, out
    with h5py.File(tmp_path / "out.h5") as file:
        assert (file["items/status"][:] == 2).sum() == 1 and file.attrs["complete"] == 1


@pytest.mark.parametrize("ranks", [2, 4])
def test_a_status_file_that_stalls_loses_no_rank(preload, tmp_path, ranks):
    (tmp_path / "list.csv").write_text("path\n" + "".join(f"item{i}\n" for i in range(400)))
    (tmp_path / "m.pt").write_bytes(b"a fake worker opens nothing")
    flag = tmp_path / "stalled"
    run = start(preload, flag, "status.json", ranks, "infer", "--input", tmp_path / "list.csv", "--output", tmp_path / "out.h5", "--model", tmp_path / "m.pt", "--image-size", 8,
                "--batch-size", 2, "--rank-timeout", 3, "--devices", "cpu", "--progress", "plain", MGPU_WORKER=os.environ["MGPU_FAKE_WORKER"], FAKE_ITEM_S=str(0.035 * ranks))
    for _ in range(200):
        if (tmp_path / "out.h5.status.json").exists():
            break
        time.sleep(0.05)
    flag.touch()
    time.sleep(13)
    flag.unlink()
    out = run.communicate(timeout=RUN_LIMIT_S)[0]
    assert run.returncode == 0, out
    assert "is out of the run" not in out
    with h5py.File(tmp_path / "out.h5") as file:
        assert (file["results/double_index"][:] == 2.0 * np.arange(400)).all()


@pytest.mark.parametrize("ranks", [1, 2])
@pytest.mark.parametrize("what, part", [("--input", "items.csv"), ("--model", "weights.pt"), ("--output", "out.h5.lock")])
def test_what_is_looked_at_before_the_work_has_an_end(preload, what, part, tmp_path, ranks):
    (tmp_path / "items.csv").write_text("path\na.png\n")
    (tmp_path / "weights.pt").write_bytes(b"a fake worker opens nothing")
    (tmp_path / "flag").touch()
    begin = time.monotonic()
    run = start(preload, tmp_path / "flag", part, ranks, "infer", "--model", tmp_path / "weights.pt", "--image-size", 8, "--input", tmp_path / "items.csv", "--output", tmp_path / "out.h5",
                "--model-sha256", hashlib.sha256(b"a fake worker opens nothing").hexdigest(), "--stall-timeout", 2, STALL_STILL="1", MGPU_WORKER=os.environ["MGPU_FAKE_WORKER"])
    out = run.communicate(timeout=RUN_LIMIT_S)[0]
    assert run.returncode == 75, out
    assert f"{what}: nothing has moved" in out, out
    assert time.monotonic() - begin < 15


@pytest.mark.parametrize("load, ranks", [("staged", 1), ("staged", 2), ("independent", 2)])
def test_a_model_that_does_not_answer_has_an_end(preload, load, tmp_path, ranks):
    """It cannot be staged, or, where workers have it already, not be hashed."""
    (tmp_path / "items.csv").write_text("path\n" + "".join(f"{index}.png\n" for index in range(40)))
    (tmp_path / "weights.pt").write_bytes(b"a fake worker opens nothing")
    (tmp_path / "flag").touch()
    begin = time.monotonic()
    run = start(preload, tmp_path / "flag", "weights.pt", ranks, "infer", "--model", tmp_path / "weights.pt", "--image-size", 8, "--input", tmp_path / "items.csv", "--output", tmp_path / "out.h5",
                "--model-load", load, "--stall-timeout", 2, STALL_STILL="1", MGPU_WORKER=os.environ["MGPU_FAKE_WORKER"])
    out = run.communicate(timeout=RUN_LIMIT_S)[0]
    assert run.returncode == 75, out
    assert "does its file system answer?" in out, out
    assert time.monotonic() - begin < 25
    assert not (tmp_path / "out.h5").exists()


@pytest.mark.parametrize("ranks", [1, 2])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, "launcher"])
def test_reading_the_input_hears_signals(number, tmp_path, ranks):
    """A list that nobody writes; a pipe takes as long as who writes it, so there is no time limit."""
    os.mkfifo(tmp_path / "list.txt")
    (tmp_path / "weights.pt").write_bytes(b"a fake worker opens nothing")
    command = [shutil.which("mpirun"), "--oversubscribe", "-np", str(ranks), str(BIN / "mgpu_run"), "infer", "--model", str(tmp_path / "weights.pt"), "--image-size", "8",
               "--input", str(tmp_path / "list.txt"), "--output", str(tmp_path / "out.h5"), "--stall-timeout", "1"]
    run = subprocess.Popen(command, env={**ENVIRONMENT, "MGPU_WORKER": os.environ["MGPU_FAKE_WORKER"]}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    limit = time.monotonic() + 30
    while len(agents_of(tmp_path / "out.h5")) < ranks:
        assert time.monotonic() < limit
        time.sleep(0.05)
    time.sleep(3)
    assert run.poll() is None, run.communicate()[0]
    os.kill(run.pid if number == "launcher" else agents_of(tmp_path / "out.h5")[0], signal.SIGKILL if number == "launcher" else number)
    out = run.communicate(timeout=30)[0]
    while agents_of(tmp_path / "out.h5"):
        assert time.monotonic() < limit + 30, "agents outlive their mpirun"
        time.sleep(0.05)
    if number != "launcher":
        assert run.returncode == 75, out
        assert "before the work began" in out, out


@pytest.mark.parametrize("ranks", [1, 2, 4])
def test_a_fifo_among_shipped_files_is_one_failed_row(bundle, pictures, tmp_path, ranks):
    paths = sorted(str(path) for path in pictures.rglob("*") if path.is_file())
    os.mkfifo(tmp_path / "fifo")
    paths[7] = str(tmp_path / "fifo")
    (tmp_path / "list.txt").write_text("\n".join(paths) + "\n")
    done = mgpu_run("infer", "--model", bundle, "--input", tmp_path / "list.txt", "--output", tmp_path / "out.h5", "--batch-size", 8, "--ship", "bytes", ranks=ranks)
    assert done.code == 3, done.err
    with h5py.File(tmp_path / "out.h5") as file:
        status = file["items/status"][:]
        assert status[7] == 2 and (np.delete(status, 7) == 1).all()
        assert file["items/error"][7] == b"not a regular file"

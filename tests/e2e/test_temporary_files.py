"""What workers unpack goes with them, even when they are killed."""

import os
import pathlib
import shutil
import signal
import subprocess
import time

import pytest
from conftest import BIN, ENVIRONMENT, RUN_LIMIT_S

WAIT_S = 60


def until(found):
    """The first non-empty answer of `found`, asked for at most WAIT_S."""
    for _ in range(int(WAIT_S / 0.02)):
        answer = found()
        if answer:
            return answer
        time.sleep(0.02)
    pytest.fail("waited too long")


def worker_of(folder):
    """The process whose TMPDIR is `folder`."""
    for process in pathlib.Path("/proc").iterdir():
        try:
            if process.name.isdigit() and f"TMPDIR={folder}".encode() in (process / "environ").read_bytes().split(b"\0"):
                return int(process.name)
        except OSError:
            continue  # it has ended meanwhile
    return None


def unpacked_of_two_workers(place):
    """Where two workers hold their model, or None. Each unpacks it twice, the first time only to read what it was compiled for."""
    found = {}
    for note in place.glob("mgpu_worker.*/*"):
        folder = note.resolve()
        if any(name.endswith(".so") for _, _, names in os.walk(folder) for name in names):
            found[note.parent] = folder
    return list(found.values()) if len(found) == 2 else None


def test_a_killed_worker_leaves_no_unpacked_model(tmp_path, pictures):
    model = pathlib.Path(os.environ["MGPU_TEST_MODELS"]) / "images.pt2"
    paths = sorted(path for path in pictures.rglob("*.*") if path.is_file())
    table = tmp_path / "many.csv"
    table.write_text("path\n" + "\n".join(str(paths[index % len(paths)]) for index in range(300000)) + "\n")
    place = tmp_path / "tmp"
    place.mkdir()
    (place / "neighbour").write_text("not ours")
    output = tmp_path / "out.h5"
    command = [shutil.which("mpirun"), "--oversubscribe", "--timeout", str(RUN_LIMIT_S), "-np", "2", str(BIN / "mgpu_run"), "infer", "--model",
               str(model), "--image-size", "16", "--outputs", "logits", "--input", str(table), "--output", str(output), "--batch-size", "4",
               "--threads", "1"]
    process = subprocess.Popen(command, env={**ENVIRONMENT, "TMPDIR": str(place)}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        until(lambda: pathlib.Path(str(output) + ".partial").exists())
        unpacked = until(lambda: unpacked_of_two_workers(place))
        folders = list(place.glob("mgpu_worker.*"))
        os.kill(until(lambda: worker_of(folders[0])), signal.SIGKILL)
        process.send_signal(signal.SIGUSR2)
        text, _ = process.communicate(timeout=RUN_LIMIT_S + 30)
    finally:
        if process.poll() is None:
            process.kill()
    assert process.returncode == 75, text
    assert not list(place.glob("mgpu_worker.*"))
    assert not any(folder.exists() for folder in unpacked)
    assert (place / "neighbour").exists()

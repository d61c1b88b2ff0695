"""Workers that die, hang or run out of memory: one bad item costs its own row, and nothing else changes."""

import os
import pathlib
import signal
import shutil
import subprocess
import time

import h5py
import numpy as np
import pytest

from conftest import BIN, ENVIRONMENT, RUN_LIMIT_S, arrays, mgpu_run
from test_results import workers_of

BATCH = 8


def infer(bundle, pictures, output, *options, ranks=2, code=0):
    done = mgpu_run("infer", "--model", bundle, "--input", pictures, "--output", output, "--batch-size", BATCH, "--progress", "none", *options, ranks=ranks)
    assert done.code == code, done.err + done.out
    return done


@pytest.fixture(scope="module")
def undisturbed(bundle, pictures, tmp_path_factory):
    output = tmp_path_factory.mktemp("undisturbed") / "out.h5"
    infer(bundle, pictures, output)
    return output


def rows(path):
    with h5py.File(path) as file:
        return {name: file["items"][name][:] for name in ("status", "error", "attempts")} | {"logits": file["results/logits"][:]}


def check_only(output, undisturbed, failed):
    """All rows are bit-equal to the undisturbed run's, but the failed one, which is blank. Returns its error."""
    mine, theirs = rows(output), rows(undisturbed)
    others = np.arange(len(mine["status"])) != failed
    assert (mine["status"][others] == 1).all()
    assert mine["logits"][others].tobytes() == theirs["logits"][others].tobytes()
    assert mine["status"][failed] == 2 and np.isnan(mine["logits"][failed]).all()
    return mine["error"][failed].decode()


@pytest.mark.parametrize("ranks", [1, 2, 4])
def test_an_item_that_crashes_the_decoder(bundle, pictures, undisturbed, tmp_path, ranks):
    done = infer(bundle, pictures, tmp_path / "out.h5", "--fault", "segv:item=9", ranks=ranks, code=3)
    error = check_only(tmp_path / "out.h5", undisturbed, 9)
    assert "3 worker(s) died over it" in error and "signal 11" in error and "while preparing item 9" in error, error
    assert "another takes its place" in done.out + done.err
    with h5py.File(tmp_path / "out.h5") as file:
        assert file["ranks"]["items"].sum() == 45 and file["ranks"]["failed"].sum() == 1, "what workers did that died later counts, too"


def test_an_item_that_kills_without_a_trace(bundle, pictures, undisturbed, tmp_path):
    """As the kernel does when memory is short: nobody knows which of the items in hand it was."""
    infer(bundle, pictures, tmp_path / "out.h5", "--fault", "kill:item=17", code=3)
    assert "signal 9" in check_only(tmp_path / "out.h5", undisturbed, 17)


def test_an_item_that_hangs(bundle, pictures, undisturbed, tmp_path):
    infer(bundle, pictures, tmp_path / "out.h5", "--fault", "hang:item=12", "--item-timeout", 1, "--retries", 1, code=3)
    error = check_only(tmp_path / "out.h5", undisturbed, 12)
    assert "2 worker(s) died over it" in error and "preparing item 12 took longer than --item-timeout allows (1 s)" in error, error


@pytest.mark.parametrize("place", ["item=12", "batch=2"])
def test_one_that_stands_still_is_noticed_without_a_limit(place, bundle, pictures, undisturbed, tmp_path):
    done = infer(bundle, pictures, tmp_path / "out.h5", "--fault", f"hang:{place},times=1", "--stall-timeout", 2)
    assert "did nothing for 2 s while" in done.out + done.err, done.err
    assert arrays(tmp_path / "out.h5") == arrays(undisturbed)


def test_a_batch_that_dies_once_is_done_again(bundle, pictures, undisturbed, tmp_path):
    infer(bundle, pictures, tmp_path / "out.h5", "--fault", "abort:batch=2,times=1")
    assert arrays(tmp_path / "out.h5") == arrays(undisturbed)
    attempts = rows(tmp_path / "out.h5")["attempts"]
    assert (attempts[2 * BATCH:3 * BATCH] == 2).all() and (np.delete(attempts, np.s_[2 * BATCH:3 * BATCH]) == 1).all(), attempts


def test_a_device_that_fails_for_good_costs_its_rank_only(bundle, pictures, tmp_path):
    """Small batches in two halves: rank 1 has work that nobody takes until it is given up."""
    options = ["--batch-size", 1, "--schedule", "block"]
    done = infer(bundle, pictures, tmp_path / "out.h5", "--fault", "gpu-lost:rank=1", "--max-restarts", 1, *options)
    infer(bundle, pictures, tmp_path / "well.h5", *options)
    assert arrays(tmp_path / "out.h5") == arrays(tmp_path / "well.h5")
    assert "rank 1" in done.out + done.err and "is out of the run: its worker died 2 times" in done.out + done.err


def test_the_last_rank_ends_the_run(bundle, pictures, tmp_path):
    done = infer(bundle, pictures, tmp_path / "out.h5", "--fault", "gpu-lost:batch=3", "--max-restarts", 1, ranks=1, code=1)
    assert "no rank is left" in done.lines_of_ours()[0] and "the device is lost" in done.lines_of_ours()[0]


def test_memory_that_runs_out_halves_the_batch(bundle, pictures, undisturbed, tmp_path):
    infer(bundle, pictures, tmp_path / "out.h5", "--fault", "oom:above=3")
    np.testing.assert_allclose(rows(tmp_path / "out.h5")["logits"], rows(undisturbed)["logits"], rtol=1e-5, atol=1e-6)


def test_a_full_disk_stops_in_good_order(bundle, pictures, undisturbed, tmp_path):
    done = infer(bundle, pictures, tmp_path / "out.h5", "--fault", "enospc:after=20kB", code=75)
    assert "no room to write" in done.err, done.err
    infer(bundle, pictures, tmp_path / "out.h5", "--resume")
    assert arrays(tmp_path / "out.h5") == arrays(undisturbed)


def test_a_result_that_is_not_a_number_is_flagged(bundle, pictures, undisturbed, tmp_path):
    infer(bundle, pictures, tmp_path / "out.h5", "--fault", "nan:item=5")
    with h5py.File(tmp_path / "out.h5") as file:
        assert np.isnan(file["results/logits"][5]).all() and file["items/flags"][5] == 1 and file["items/flags"][:].sum() == 1


@pytest.mark.parametrize("blow", [signal.SIGKILL, signal.SIGSTOP])
def test_a_worker_struck_from_outside(bundle, pictures, undisturbed, tmp_path, blow):
    """Item 20 hangs the first time, so that there is a worker to strike."""
    output = tmp_path / "out.h5"
    command = [shutil.which("mpirun"), "--oversubscribe", "--timeout", str(RUN_LIMIT_S), "-np", "2", BIN / "mgpu_run", "infer", "--model", bundle, "--input", pictures,
               "--output", output, "--batch-size", BATCH, "--progress", "none", "--stall-timeout", 8, "--fault", "hang:item=20,times=1"]
    run = subprocess.Popen(list(map(str, command)), env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        for _ in range(600):  # until one hangs: all else is done by then
            time.sleep(0.1)
            with_rows = pathlib.Path(str(output) + ".partial")
            if with_rows.exists() and len(workers_of(run)) == 2 and time.time() - with_rows.stat().st_mtime > 2:
                break
        for worker in workers_of(run):
            os.kill(worker, blow)
        out, _ = run.communicate(timeout=RUN_LIMIT_S)
    finally:
        run.kill()
    assert run.returncode == 0, out
    assert arrays(output) == arrays(undisturbed)
    assert "its worker died" in out

"""A training whose workers die begins again from its last checkpoint by itself, its agents stay; with --min-ranks on fewer ranks."""

import os
import signal
import time

import h5py
import numpy as np
import pytest
from processes import left_in_shared_memory
from test_results import workers_of
from training import assert_same_bits, history, start_train, train

COMMON = ("--global-batch", 32, "--batch-size", 16, "--optimizer", "adamw", "--lr", "0.0005", "--seed", 3, "--epochs", 100, "--max-steps", 120, "--checkpoint-every", 25,
          "--validate-every", 30)


def options(data, folder, *more):
    return ("--model", data["plain"], "--input", data["table"], "--validate", data["held_out"], *COMMON, "--output", folder / "out.h5", "--save", folder / "net.pt", *more)


@pytest.fixture(scope="module")
def undisturbed(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed")
    train(*options(data, folder), ranks=2)
    return folder / "out.h5", folder / "net.pt"


@pytest.mark.parametrize("fault", ["kill:rank=1,step=70,times=1", "segv:rank=0,step=10,times=1", "abort:rank=0,step=60,times=2"])
def test_the_bits_are_those_of_an_undisturbed_run(fault, data, undisturbed, tmp_path):
    """After a checkpoint; before the first one; twice."""
    done = train(*options(data, tmp_path, "--fault", fault), ranks=2)
    assert (done.out + done.err).count("all workers restart") == (2 if "times=2" in fault else 1), done.err
    assert_same_bits((tmp_path / "out.h5", tmp_path / "net.pt"), undisturbed)
    for name in ("validation_loss", "validation_accuracy", "validation_step"):
        np.testing.assert_array_equal(history(tmp_path / "out.h5", name), history(undisturbed[0], name), err_msg=name)
    assert not left_in_shared_memory(), "of the workers that died"


POISON = 417


@pytest.fixture(scope="module")
def without_poison(data, tmp_path_factory):
    """As if the item were a file that cannot be decoded."""
    folder = tmp_path_factory.mktemp("without_poison")
    (folder / "bad.png").write_text("this is not a picture\n" * 20)
    rows = [(data["folder"] / path, label) for path, label in data["rows"]]
    rows[POISON] = (folder / "bad.png", rows[POISON][1])
    (folder / "table.csv").write_text("path,label\n" + "".join(f"{path},{label}\n" for path, label in rows))
    done = train(*options({**data, "table": folder / "table.csv"}, folder), ranks=2, code=3)
    assert f"skipped item {POISON}" in done.out + done.err
    return folder / "out.h5", folder / "net.pt"


@pytest.mark.parametrize("fault", [f"segv:item={POISON}", f"hang:item={POISON}"])
def test_an_item_that_ends_workers_is_left_out(fault, data, without_poison, tmp_path):
    done = train(*options(data, tmp_path, "--fault", fault, "--retries", 1, "--max-restarts", 1, "--item-timeout", 2), ranks=2, code=3)
    text = done.out + done.err
    assert text.count("all workers restart") == 2, text
    assert f"skipped item {POISON}" in text and "2 worker(s) died over it" in text, text
    assert_same_bits((tmp_path / "out.h5", tmp_path / "net.pt"), without_poison)
    with h5py.File(tmp_path / "out.h5") as file:
        assert "2 worker(s) died over it" in file["items/error"].asstr()[POISON]


def test_what_was_left_out_stays_out_when_it_is_resumed(data, without_poison, tmp_path):
    poisoned = options(data, tmp_path, "--retries", 0, "--max-restarts", 1)
    done = train(*poisoned, "--fault", f"segv:item={POISON}; kill:rank=0,step=110", ranks=2, code=1)
    assert (done.out + done.err).count("all workers restart") == 2
    done = train(*poisoned, "--fault", f"segv:item={POISON}", "--resume", ranks=2, code=3)
    assert "all workers restart" not in done.out + done.err
    assert_same_bits((tmp_path / "out.h5", tmp_path / "net.pt"), without_poison)


def test_a_loader_that_stands_still_is_noticed(data, undisturbed, tmp_path):
    done = train(*options(data, tmp_path, "--fault", f"hang:item={POISON},times=1", "--stall-timeout", 3), ranks=2)
    assert f"did nothing for 3 s while preparing item {POISON}" in done.out + done.err, done.err
    assert_same_bits((tmp_path / "out.h5", tmp_path / "net.pt"), undisturbed)


def test_one_rank_alone_begins_again(data, tmp_path):
    train(*options(data, tmp_path, "--fault", "kill:step=40,times=1"), ranks=1)
    assert len(history(tmp_path / "out.h5")) == 120


def test_a_rank_that_dies_again_and_again_ends_the_run(data, tmp_path):
    done = train(*options(data, tmp_path, "--fault", "kill:rank=1,step=70", "--max-restarts", 1), ranks=2, code=1)
    assert (done.out + done.err).count("all workers restart") == 1
    assert any("rank 1" in line and "signal 9" in line for line in done.lines_of_ours())
    train(*options(data, tmp_path, "--resume"), ranks=2)
    assert len(history(tmp_path / "out.h5")) == 120


@pytest.mark.parametrize("rank", [0, 1, 2])
def test_others_go_on_without_a_rank_that_is_out(rank, data, undisturbed, tmp_path):
    done = train(*options(data, tmp_path, "--fault", f"kill:rank={rank},step=70,times=2", "--max-restarts", 1, "--min-ranks", 2), ranks=3)
    assert "2 rank(s) continue, the global batch of 32 stays" in done.out + done.err
    # The same training up to rounding: the same samples at the same rates. Rounding grows from step to step, so what comes long after it
    # is compared as a whole.
    for name in ("step", "epoch", "lr", "samples"):
        np.testing.assert_array_equal(history(tmp_path / "out.h5", name), history(undisturbed[0], name), err_msg=name)
    ours, theirs = history(tmp_path / "out.h5"), history(undisturbed[0])
    np.testing.assert_allclose(ours[:75], theirs[:75], rtol=1e-3)
    np.testing.assert_allclose(ours[75:].mean(), theirs[75:].mean(), rtol=0.05)
    assert ours[-10:].mean() < 0.5 * ours[:10].mean()


def test_what_a_worker_says_itself_is_not_tried_again(data, tmp_path):
    done = train(*options(data, tmp_path, "--fault", "nan:step=30", "--max-nonfinite", 1), ranks=2, code=1)
    assert "all workers restart" not in done.out + done.err


@pytest.mark.parametrize("blow", [signal.SIGKILL, signal.SIGSTOP])
def test_a_worker_struck_from_outside(blow, data, undisturbed, tmp_path):
    with open(tmp_path / "text", "w+") as output:
        process = start_train(*options(data, tmp_path, "--stall-timeout", 3, "--reduce-timeout", 60), output=output)
        try:
            limit = time.time() + 100
            while process.poll() is None and time.time() < limit and not list(tmp_path.rglob("checkpoint.json")):
                time.sleep(0.005)
            assert process.poll() is None, "over before it could be struck"
            os.kill(workers_of(process)[-1], blow)
            code = process.wait(timeout=100)
        finally:
            if process.poll() is None:
                process.kill()
        output.seek(0)
        text = output.read()
    assert code == 0, text
    assert "all workers restart" in text
    assert_same_bits((tmp_path / "out.h5", tmp_path / "net.pt"), undisturbed)

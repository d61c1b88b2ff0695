"""What goes wrong in a training: memory, killed processes, numbers that are not finite, parameters nobody uses."""

import json
import os
import signal
import subprocess
import time

import h5py
import numpy as np
import pytest
from test_results import workers_of
from training import assert_same_bits, assert_same_curve, history, parameters_of, start_train, train

STEPS = 250
CHAIN = ("--global-batch", 32, "--batch-size", 16, "--lr", "0.005", "--weight-decay", "0.01", "--seed", 3, "--epochs", 100, "--checkpoint-every", 40)


@pytest.mark.parametrize("ranks", [1, 2])
def test_out_of_memory_on_one_rank_changes_the_micro_batch_only(ranks, data, tmp_path):
    """Injected on the last rank in step 3: the same samples in smaller pieces, the curve as before (1e-5)."""
    outputs = []
    for name, fault in (("before", ()), ("after", ("--fault", f"oom:rank={ranks - 1},step=3"))):
        outputs.append(tmp_path / f"{name}.h5")
        train("--model", data["plain"], "--input", data["table"], "--no-shuffle", *CHAIN, "--max-steps", 60, "--output", outputs[-1], *fault, ranks=ranks)
    assert_same_curve(*outputs, 1e-5)
    micro, times = history(outputs[1], "micro_batch")[:37], history(outputs[1], "accumulation")[:37]  # the 38th step is a short one
    assert (micro[:2] == 16).all() and (micro[3:] == 8).all()
    assert (times[:2] == 2 // ranks).all() and (times[3:] == 4 // ranks).all()
    assert (history(outputs[0], "micro_batch")[:37] == 16).all()
    np.testing.assert_array_equal(history(outputs[0], "samples"), history(outputs[1], "samples"))


def chain(data, folder, *more):
    return ("--model", data["wide"], "--input", data["table"], *CHAIN, "--max-steps", STEPS, "--validate", data["held_out"], "--output", folder / "out.h5", "--save",
            folder / "net.pt", *more)


@pytest.fixture(scope="module")
def undisturbed(data, tmp_path_factory):
    """The run that none disturbed, with 2 ranks."""
    folder = tmp_path_factory.mktemp("undisturbed")
    train(*chain(data, folder), ranks=2)
    assert len(history(folder / "out.h5")) == STEPS
    return folder / "out.h5", folder / "net.pt"


def interrupt(data, folder, strike):
    """Starts the same run, waits for a whole checkpoint, and lets `strike` end it; its exit code and its text."""
    with open(folder / "text", "w+") as output:
        process = start_train(*chain(data, folder, "--max-restarts", 0), output=output)
        try:
            limit = time.time() + 100
            while process.poll() is None and time.time() < limit and not list(folder.rglob("checkpoint.json")):
                time.sleep(0.01)
            assert process.poll() is None, "the run was over before it could be interrupted"
            strike(process)
            code = process.wait(timeout=100)
        finally:
            if process.poll() is None:
                process.kill()
        output.seek(0)
        wait_for_the_end(folder)
        return code, output.read()


def kill_worker(process):
    os.kill(workers_of(process)[-1], signal.SIGKILL)


def kill_mpirun(process):
    """Its ranks notice by themselves."""
    process.kill()


def wait_for_the_end(folder):
    """Until no process of the run in `folder` is left; each has 20 s."""
    limit = time.time() + 20
    while subprocess.run(["pgrep", "-f", f"mgpu_run.*{folder}"], capture_output=True).returncode == 0:
        assert time.time() < limit, "processes outlive their mpirun"
        time.sleep(0.05)


@pytest.mark.parametrize("strike", [kill_worker, kill_mpirun])
def test_resume_after_a_kill_is_bit_for_bit_the_same(strike, data, undisturbed, tmp_path):
    code, text = interrupt(data, tmp_path, strike)
    assert code not in (0, 3), text
    if strike is kill_worker:
        assert code in (1, 75) and "rank 1" in text, text
    done = train(*chain(data, tmp_path, "--resume"), ranks=2)
    assert "resume" in done.out.lower() + done.err.lower()
    assert_same_bits((tmp_path / "out.h5", tmp_path / "net.pt"), undisturbed)
    for name in ("validation_loss", "validation_accuracy"):
        np.testing.assert_array_equal(history(tmp_path / "out.h5", name), history(undisturbed[0], name), err_msg=name)


def test_a_signal_stops_after_the_step_with_a_checkpoint(data, undisturbed, tmp_path):
    code, text = interrupt(data, tmp_path, lambda process: process.send_signal(signal.SIGUSR2))
    assert code == 75, text
    train(*chain(data, tmp_path, "--resume"), ranks=2)
    assert_same_bits((tmp_path / "out.h5", tmp_path / "net.pt"), undisturbed)


@pytest.mark.parametrize("ranks", [1, 3])
def test_resume_on_another_number_of_ranks_goes_on_correctly(ranks, data, undisturbed, tmp_path):
    code, text = interrupt(data, tmp_path, lambda process: process.send_signal(signal.SIGUSR2))
    assert code == 75, text
    train(*chain(data, tmp_path, "--resume"), ranks=ranks)
    assert_same_curve(tmp_path / "out.h5", undisturbed[0], 1e-4)
    ours, theirs = parameters_of(tmp_path / "net.pt"), parameters_of(undisturbed[1])
    for name in theirs:
        np.testing.assert_allclose(ours[name], theirs[name], rtol=1e-3, atol=1e-4, err_msg=name)


def test_sharded_state_survives_another_number_of_ranks(data, tmp_path):
    """AdamW with --shard-optimizer: killed on 2 ranks, gone on with on 3, beside one run without a break."""
    common = ("--model", data["wide"], "--input", data["table"], "--global-batch", 32, "--optimizer", "adamw", "--lr", "0.0003", "--epochs", 100, "--seed", 3,
              "--max-steps", 80, "--checkpoint-every", 20, "--output")
    train(*common, tmp_path / "whole.h5", ranks=2)
    train(*common, tmp_path / "parts.h5", "--shard-optimizer", "--fault", "kill:rank=1,step=70", "--max-restarts", 0, ranks=2, code=1)
    assert list(tmp_path.rglob("checkpoint.json"))
    train(*common, tmp_path / "parts.h5", "--shard-optimizer", "--resume", ranks=3)
    assert_same_curve(tmp_path / "parts.h5", tmp_path / "whole.h5", 1e-4)


def test_nothing_random_is_forgotten(data, tmp_path):
    """Dropout, augmentation, batch norm, bfloat16, AdamW, a schedule: the bits of a run without a break."""
    common = ("--model", data["stateful"], "--input", data["table"], "--validate", data["held_out"], "--augment", "crop,flip", "--dtype", "bfloat16", "--optimizer", "adamw",
              "--lr", "0.002", "--lr-schedule", "cosine", "--warmup", "10", "--epochs", 4, "--batch-size", 16, "--checkpoint-every", 30, "--validate-every", 25)
    whole, parts = ((tmp_path / f"{name}.h5", tmp_path / f"{name}.pt") for name in ("whole", "parts"))
    train(*common, "--output", whole[0], "--save", whole[1])
    train(*common, "--output", parts[0], "--save", parts[1], "--fault", "kill:rank=1,step=140", "--max-restarts", 0, code=1)
    train(*common, "--output", parts[0], "--save", parts[1], "--resume")
    assert_same_bits(parts, whole)
    np.testing.assert_array_equal(history(parts[0], "validation_loss"), history(whole[0], "validation_loss"))


def test_resume_of_a_complete_run_does_nothing(data, tmp_path):
    options = ("--model", data["plain"], "--input", data["table"], *CHAIN, "--max-steps", 20, "--output", tmp_path / "out.h5")
    train(*options)
    before = (tmp_path / "out.h5").read_bytes()
    assert "complete already" in train(*options, "--resume").out
    assert (tmp_path / "out.h5").read_bytes() == before


@pytest.mark.parametrize("ranks", [1, 2])
def test_an_unused_parameter_is_named(ranks, data, tmp_path):
    options = ("--model", data["unused"], "--input", data["table"], *CHAIN, "--max-steps", 20, "--output")
    done = train(*options, tmp_path / "out.h5", ranks=ranks, code=2)
    assert len(done.lines_of_ours()) == 1 and "forgotten.weight" in done.err and "--find-unused-parameters" in done.err, done.err
    train(*options, tmp_path / "allowed.h5", "--find-unused-parameters", ranks=ranks)
    loss = history(tmp_path / "allowed.h5")
    assert loss[-1] < loss[0]


def test_numbers_that_are_not_finite_end_the_run(data, tmp_path):
    """After --max-nonfinite steps in a row, with the step, the rank and the items; one such step changes nothing and the run goes on."""
    options = ("--model", data["plain"], "--input", data["table"], "--no-shuffle", *CHAIN, "--max-steps", 30, "--max-nonfinite", 3, "--output")
    train(*options, tmp_path / "once.h5", "--fault", "nan:rank=1,step=5")
    assert list(np.isnan(history(tmp_path / "once.h5"))) == [step == 5 for step in range(1, 31)]
    assert list(history(tmp_path / "once.h5", "updated")) == [step != 5 for step in range(1, 31)]
    done = train(*options, tmp_path / "out.h5", "--fault", "nan:rank=1,step=5; nan:rank=1,step=6; nan:rank=1,step=7", ranks=2, code=1)
    assert any("step 7 on rank 1 (the batch of item 208)" in line for line in done.lines_of_ours()), done.err
    assert "items 208 209 210" in done.err, done.err


def test_a_network_that_blows_up_ends_the_run(data, tmp_path):
    """No fault injected: a rate a million times too high."""
    done = train("--model", data["plain"], "--input", data["table"], "--lr", "1e30", "--max-steps", 60, "--output", tmp_path / "out.h5", code=1)
    assert "finite" in " ".join(done.lines_of_ours()), done.err


def test_an_unreadable_picture_is_skipped_and_listed(data, tmp_path):
    """Exit 3; its reason stands in /items, and the curve is that of the other items at the same places."""
    folder = data["folder"]
    (tmp_path / "bad.png").write_text("this is not a picture\n" * 20)
    rows = [(folder / path, label) for path, label in data["rows"][:320]]
    rows[37] = (tmp_path / "bad.png", rows[37][1])
    table = tmp_path / "table.csv"
    table.write_text("path,label\n" + "".join(f"{path},{label}\n" for path, label in rows))
    curves = []
    for ranks in (1, 2):
        output = tmp_path / f"{ranks}.h5"
        train("--model", data["plain"], "--input", table, "--no-shuffle", "--global-batch", 32, "--lr", "0.005", "--epochs", 2, "--output", output, ranks=ranks, code=3)
        with h5py.File(output) as file:
            status, errors = file["items/status"][:], file["items/error"].asstr()[:]
            assert len(status) == 320 and status[37] == 2 and "not a picture" in errors[37]
            assert (np.delete(status, 37) == 1).all() and not any(np.delete(errors, 37))
        assert list(history(output, "samples")) == [32, 31, *[32] * 8] * 2
        curves.append(output)
        summary = json.loads((tmp_path / f"{ranks}.h5.summary.json").read_text())
        assert summary["exit_code"] == 3 and summary["failed"] == 1
    assert_same_curve(*curves, 1e-4)


def test_too_many_unreadable_pictures_stop_the_run(data, tmp_path):
    rows = [(data["folder"] / path, label) for path, label in data["rows"][:320]]
    for index in range(0, 320, 10):
        (tmp_path / f"bad{index}.png").write_text("no picture")
        rows[index] = (tmp_path / f"bad{index}.png", rows[index][1])
    table = tmp_path / "table.csv"
    table.write_text("path,label\n" + "".join(f"{path},{label}\n" for path, label in rows))
    done = train("--model", data["plain"], "--input", table, "--global-batch", 32, "--epochs", 2, "--max-failures", 5, "--output", tmp_path / "out.h5", code=1)
    assert "--max-failures allows 5" in done.err and "is kept" in done.out


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_what_ends_mpirun_costs_no_steps(number, data, tmp_path):
    """mpirun gives its ranks parts of a second: a checkpoint of the last step is written in them."""
    with open(tmp_path / "text", "w+") as output:
        options = ["--model", data["wide"], "--input", data["table"], "--output", tmp_path / "out.h5", "--epochs", 500, "--batch-size", 8, "--lr", 1e-4, "--checkpoint-every", "400e"]
        process = start_train(*options, output=output)
        try:
            limit = time.time() + 60
            while not (tmp_path / "out.h5.training").exists():
                assert process.poll() is None and time.time() < limit
                time.sleep(0.05)
            time.sleep(2)
            os.kill(process.pid, number)
            assert process.wait(timeout=30) != 0
        finally:
            if process.poll() is None:
                process.kill()
        output.seek(0)
        assert "--resume continues" in output.read()
    assert json.loads((tmp_path / "out.h5.status.json").read_text())["exit_code"] == 75
    assert list((tmp_path / "out.h5.checkpoints").glob("step-*/checkpoint.json")), "all steps are lost"

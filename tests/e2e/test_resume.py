"""Runs that are killed, stopped or out of disk, and gone on with: the bits of the undisturbed run; other runs are refused."""

import json
import pathlib
import random
import shutil
import signal
import time

import h5py
import pytest

import material
from conftest import BIN, arrays, mgpu_run
from processes import Run
from results import Rows, compare_recovered, in_a_child

class Case:
    def __init__(self, make, folder, items):
        self.items, self.arguments = items, make(folder, items)
        self.whole = folder / "whole.h5"
        began = time.monotonic()
        done = mgpu_run(*self.arguments, "--output", self.whole, ranks=2)
        self.seconds = time.monotonic() - began
        assert done.code == 3, done.err
        self.reference, self.arrays = Rows(self.whole), arrays(self.whole)

    def start(self, output, ranks):
        """A run that has begun to write results, in the background."""
        run = Run(ranks, [BIN / "mgpu_run", *self.arguments, "--output", output], str(output) + ".log")
        journal = pathlib.Path(str(output) + ".journal")
        end = time.monotonic() + 60
        while not (journal.exists() and journal.stat().st_size > 20_000):
            assert run.mpirun.poll() is None and time.monotonic() < end, pathlib.Path(run.log).read_text()
            time.sleep(0.01)
        return run

    def resume(self, output, ranks, *more):
        return mgpu_run(*self.arguments, "--output", output, "--resume", *more, ranks=ranks)


@pytest.fixture(scope="module")
def pictures_case(tmp_path_factory):
    return Case(material.pictures, tmp_path_factory.mktemp("pictures_case"), 30000)


@pytest.fixture(scope="module")
def recordings_case(tmp_path_factory):
    return Case(material.recordings, tmp_path_factory.mktemp("recordings_case"), 6000)


@pytest.fixture(params=["pictures", "recordings"])
def case(request):
    return request.getfixturevalue(request.param + "_case")


@pytest.mark.parametrize("ranks, later", [(1, 2), (2, 2), (2, 4), (4, 1)])
def test_kill_everything_recover_and_resume(ranks, later, case, tmp_path):
    generator = random.Random(ranks * 10 + later)
    output = tmp_path / "out.h5"
    run = case.start(output, ranks)
    time.sleep(generator.uniform(0, case.seconds / 3))
    run.kill_all()
    assert run.wait_gone(20)
    too_late = output.exists()  # it was whole before it was killed
    if not too_late:
        recovered = mgpu_run("recover", output, ranks=0)
        assert recovered.code == 0, recovered.err
        done, wrong = in_a_child(lambda: compare_recovered(output, case.reference))
        assert done > 0 and wrong == 0 and f"{done} of {case.items}" in recovered.out
    resumed = case.resume(output, later)
    assert resumed.code == 3, resumed.err  # some items are bad, which a complete file remembers
    assert arrays(output) == case.arrays
    assert not pathlib.Path(str(output) + ".journal").exists() and not pathlib.Path(str(output) + ".partial").exists()
    again = case.resume(output, later)
    assert again.code == 3 and "complete already" in again.out


def test_a_stopped_run_is_readable_and_goes_on(case, tmp_path):
    output = tmp_path / "out.h5"
    run = case.start(output, 2)
    run.mpirun.send_signal(signal.SIGUSR2)
    assert run.wait(60) == 75 and run.wait_gone(20)
    done, wrong = compare_recovered(output, case.reference)
    assert 0 < done < case.items and wrong == 0
    with h5py.File(output) as file:
        assert file.attrs["complete"] == 0
    resumed = case.resume(output, 2)
    assert resumed.code == 3 and f"{done} of {case.items} items are done already" in resumed.out, resumed.err
    assert arrays(output) == case.arrays
    summary = json.loads(pathlib.Path(str(output) + ".summary.json").read_text())
    assert summary["earlier"] == done and summary["done"] == case.items
    with h5py.File(output) as file:
        assert file.attrs["complete"] == 1 and file.attrs["resumes"] == 1


def test_a_full_disk_stops_the_run_and_keeps_what_is_there(case, tmp_path):
    output = tmp_path / "out.h5"
    run = case.start(output, 2)
    assert run.limit_files(pathlib.Path(str(output) + ".journal").stat().st_size)
    assert run.wait(60) == 75 and run.wait_gone(20)
    assert "more are needed" in run.log.read_text()
    resumed = case.resume(output, 2)
    assert resumed.code == 3, resumed.err
    assert arrays(output) == case.arrays


@pytest.fixture
def killed(pictures_case, tmp_path):
    output = tmp_path / "out.h5"
    run = pictures_case.start(output, 2)
    run.kill_all()
    assert run.wait_gone(20) and not output.exists()
    return pictures_case, output


def test_another_run_is_refused_with_the_difference(killed, tmp_path):
    case, output = killed
    model = case.arguments[case.arguments.index("--model") + 1]
    table = case.arguments[case.arguments.index("--input") + 1]
    other_model, other_table, moved_model = tmp_path / "other", tmp_path / "other.csv", tmp_path / "moved"
    for copy in (other_model, moved_model):
        shutil.copytree(model, copy)
    with open(other_model / "bundle.json", "a") as file:
        file.write("\n")
    other_table.write_text(pathlib.Path(table).read_text().replace("row 17\n", "row 18\n"))
    before = {ending: pathlib.Path(str(output) + ending).read_bytes() for ending in (".partial", ".journal")}
    for more, difference in (
        (("--mean", "0.4,0.4,0.4"), "--mean: '' then, 0.4,0.4,0.4 now"),
        (("--topk", "2"), "--topk: 3 then, 2 now"),
        (("--batch-size", "16"), "--batch-size: 8 then, 16 now"),
        (("--dtype", "bfloat16"), "--dtype: float32 then, bfloat16 now"),
        (("--model", other_model), "--model:"),
        (("--input", other_table), "--input: the paths or columns"),
    ):
        refused = case.resume(output, 2, *more)
        assert refused.code == 2 and difference in refused.err, (more, refused.err)
    for ending, data in before.items():
        assert pathlib.Path(str(output) + ending).read_bytes() == data, "a refusal changes nothing"
    resumed = case.resume(output, 2, "--model", moved_model, "--schedule", "cyclic", "--loaders", "2", "--verify")
    assert resumed.code == 3, resumed.err
    assert arrays(output) == case.arrays


def test_nothing_to_recover_is_said(tmp_path):
    done = mgpu_run("recover", tmp_path / "none.h5", ranks=0)
    assert done.code == 2 and "nothing to recover" in done.err and len(done.lines_of_ours()) == 1

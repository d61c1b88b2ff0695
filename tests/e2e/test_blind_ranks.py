"""Ranks that cannot read what others can: nothing fails for good, and the rank is put aside."""

import os
import shutil
import subprocess

import h5py
import pytest

from conftest import BIN, ENVIRONMENT, RUN_LIMIT_S, arrays, mgpu_run


@pytest.fixture(scope="module")
def many(pictures, tmp_path_factory):
    """600 pictures, by links in one folder."""
    folder = tmp_path_factory.mktemp("many")
    sources = sorted(path for path in pictures.rglob("*") if path.is_file())
    for index in range(600):
        os.link(sources[index % len(sources)], folder / f"{index:04d}{sources[index % len(sources)].suffix}")
    return folder


@pytest.fixture(scope="module")
def undisturbed(bundle, many, tmp_path_factory):
    output = tmp_path_factory.mktemp("blind") / "out.h5"
    done = mgpu_run("infer", "--model", bundle, "--input", many, "--output", output, "--batch-size", 4, "--progress", "none", ranks=1)
    assert done.code == 0, done.err
    return output


@pytest.mark.parametrize("ranks", [2, 4])
@pytest.mark.parametrize("schedule", ["dynamic", "block"])
def test_a_rank_that_sees_no_files(bundle, many, undisturbed, tmp_path, ranks, schedule):
    command = ["infer", "--model", bundle, "--input", many, "--output", tmp_path / "out.h5", "--batch-size", 4, "--progress", "none", "--schedule", schedule,
               "--fault", "io:rank=1"]
    done = mgpu_run(*command, ranks=ranks)
    assert done.code == 0, done.err + done.out
    assert arrays(tmp_path / "out.h5") == arrays(undisturbed)
    said = [line for line in done.err.splitlines() if "is out of the run" in line]
    assert len(said) == 1 and said[0].startswith("rank 1 ") and "others could do them" in said[0], done.err


@pytest.mark.parametrize("ranks", [2, 4])
def test_real_files_that_one_rank_does_not_find(bundle, many, tmp_path, ranks):
    """mpirun starts one rank in another folder: the relative paths of the input lead nowhere there."""
    (tmp_path / "elsewhere").mkdir()
    start = [shutil.which("mpirun"), "--oversubscribe", "--timeout", str(RUN_LIMIT_S)]
    program = [str(BIN / "mgpu_run"), "infer", "--model", str(bundle), "--input", many.name, "--output", str(tmp_path / "out.h5"), "--batch-size", "4"]
    command = [*start, "-np", str(ranks - 1), "-wdir", str(many.parent), *program, ":", "-np", "1", "-wdir", str(tmp_path / "elsewhere"), *program]
    done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, timeout=RUN_LIMIT_S + 30, text=True)
    assert done.returncode == 0, done.stderr
    with h5py.File(tmp_path / "out.h5") as file:
        assert (file["items/status"][:] == 1).all() and file.attrs["complete"] == 1
    assert f"rank {ranks - 1} on" in done.stderr and "no such file" in done.stderr and "is out of the run" in done.stderr, done.stderr


@pytest.mark.parametrize("ranks", [1, 2, 4])
def test_missing_files_fail_with_their_reason_and_cost_no_rank(bundle, pictures, tmp_path, ranks):
    paths = sorted(str(path) for path in pictures.rglob("*") if path.is_file())
    paths[3::4] = [f"{path}.gone" for path in paths[3::4]]
    (tmp_path / "list.txt").write_text("\n".join(paths) + "\n")
    done = mgpu_run("infer", "--model", bundle, "--input", tmp_path / "list.txt", "--output", tmp_path / "out.h5", "--batch-size", 8, ranks=ranks)
    assert done.code == 3, done.err
    assert "is out of the run" not in done.err
    with h5py.File(tmp_path / "out.h5") as file:
        status, error = file["items/status"][:], file["items/error"][:]
    assert [index for index in range(len(paths)) if status[index] != 1] == list(range(3, len(paths), 4))
    assert {error[index] for index in range(3, len(paths), 4)} == {b"no such file"}


@pytest.mark.parametrize("ranks", [2, 4])
def test_an_item_that_finds_no_memory_is_tried_elsewhere(bundle, pictures, tmp_path, ranks):
    done = mgpu_run("infer", "--model", bundle, "--input", pictures, "--output", tmp_path / "out.h5", "--batch-size", 8,
                    "--fault", "oom:item=9,times=1", ranks=ranks)
    assert done.code == 0, done.err + done.out
    with h5py.File(tmp_path / "out.h5") as file:
        assert (file["items/status"][:] == 1).all()

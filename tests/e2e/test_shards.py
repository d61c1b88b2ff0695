"""--shard I/N and merge: the bits of the run without --shard, or a refusal."""

import errno
import json
import pathlib
import shutil
import subprocess
import time

import h5py
import numpy as np
import pytest

import material
from conftest import BIN, ENVIRONMENT, arrays, mgpu_run
from processes import Run

PICTURES, RECORDINGS, BATCH = 301, 212, 8  # the last batches are of 5 and 4 items; each third has items that fail


class Case:
    """A job and the file of its run without --shard."""

    def __init__(self, make, folder, items):
        self.items, self.arguments = items, make(folder, items)
        self.whole = folder / "whole.h5"
        assert mgpu_run(*self.arguments, "--output", self.whole).code == 3

    def shard(self, index, count, output, *more, ranks=2):
        return mgpu_run(*self.arguments, "--shard", f"{index}/{count}", "--output", output, *more, ranks=ranks)


@pytest.fixture(scope="module")
def pictures_case(tmp_path_factory):
    return Case(material.pictures, tmp_path_factory.mktemp("pictures_case"), PICTURES)


@pytest.fixture(scope="module")
def recordings_case(tmp_path_factory):
    return Case(material.recordings, tmp_path_factory.mktemp("recordings_case"), RECORDINGS)


def datasets(path):
    """Name → (type, names of an enum, shape, bytes) of everything that must be the same with and without shards."""
    found = {}
    with h5py.File(path) as file:
        def take(name, node):
            if isinstance(node, h5py.Dataset):
                values = node[:]
                data = [bytes(value) for value in values] if values.dtype == object else values.tobytes()
                found[name] = (node.dtype.str, h5py.check_enum_dtype(node.dtype), node.shape, data, node.attrs.get("position"))
        file.visititems(take)
    describe_the_run = ("items/attempts", "items/rank", "items/seconds", "ranks")
    return {name: value for name, value in found.items() if name not in describe_the_run and not name.startswith("shards/")}


def merge(output, *shards, code=3, **options):
    done = mgpu_run("merge", *shards, "-o", output, ranks=0, **options)
    assert done.code == code, (done.out, done.err)
    return done


@pytest.mark.parametrize("ranks", [1, 2])
@pytest.mark.parametrize("kind", ["pictures", "recordings"])
def test_merged_shards_have_the_bits_of_the_run_without(kind, ranks, request, tmp_path):
    case = request.getfixturevalue(kind + "_case")
    parts = [tmp_path / f"part{index}.h5" for index in (1, 2, 3)]
    for index, part in enumerate(parts, 1):
        done = case.shard(index, 3, part, "--schedule", ("dynamic", "block", "cyclic")[index - 1], ranks=ranks)
        assert done.code == 3 and f"Shard {index}/3: items" in done.out, done.out + done.err
        assert mgpu_run("verify", part, ranks=0).code == 0
    merged = tmp_path / "all.h5"
    merge(merged, parts[2], parts[0], parts[1])
    assert datasets(merged) == datasets(case.whole) and arrays(merged) == arrays(case.whole)

    with h5py.File(merged) as file, h5py.File(case.whole) as whole:
        assert set(file.attrs) == set(whole.attrs) and file.attrs["complete"] == 1
        ours, theirs = (json.loads(each.attrs["identity"]) for each in (file, whole))
        assert ours == theirs
        ours, theirs = (json.loads(each.attrs["config"]) for each in (file, whole))
        assert {name for name in theirs if ours[name] != theirs[name]} <= {"output", "schedule"}
        assert file.attrs["world_size"] == 3 * ranks
        assert sorted(file["ranks"]["rank"]) == list(range(3 * ranks)) and sum(file["ranks"]["items"]) == case.items
        first = [int(each) for each in file["shards/first_item"]] + [case.items]
        assert first[0] == 0 and all(at % BATCH == 0 for at in first[:-1]) and list(file["shards/items"]) == list(np.diff(first))
        for shard in range(3):
            rank = file["items/rank"][first[shard]:first[shard + 1]]
            assert ((rank >= shard * ranks) & (rank < (shard + 1) * ranks)).all()
        with h5py.File(parts[1]) as part:
            assert part.attrs["shard"] == "2/3" and part.attrs["first_item"] == first[1] and part.attrs["manifest_items"] == case.items
            assert list(part["items/attempts"]) == list(file["items/attempts"][first[1]:first[2]])
            assert part["items/seconds"][:].tobytes() == file["items/seconds"][first[1]:first[2]].tobytes()

    verified = mgpu_run("verify", merged, ranks=0)
    assert verified.code == 0 and "the list of items is the one the run began with" in verified.out, verified.out
    assert "3, merged" in mgpu_run("inspect", merged, ranks=0).out and "2/3: items" in mgpu_run("inspect", parts[1], ranks=0).out
    summary = json.loads(pathlib.Path(f"{merged}.summary.json").read_text())
    assert summary["items"] == summary["done"] == case.items and summary["exit_code"] == 3 and summary["shards"] == 3
    resumed = mgpu_run(*case.arguments, "--output", merged, "--resume", ranks=ranks)
    assert resumed.code == 3 and "complete already" in resumed.out, resumed.err
    other = case.shard(1, 3, parts[1], "--resume", ranks=ranks)
    assert other.code == 2 and "--shard: 2/3 then, 1/3 now" in other.err, other.err


@pytest.mark.parametrize("ranks, later", [(1, 2), (2, 1)])
def test_a_killed_shard_is_resumed_and_merged(ranks, later, pictures_case, tmp_path):
    case, parts = pictures_case, [tmp_path / f"part{index}.h5" for index in (1, 2, 3)]
    for index in (1, 3):
        assert case.shard(index, 3, parts[index - 1]).code == 3
    # Item 190 of the list, in the last batches of the second shard, never ends: faults name items as the whole list does.
    words = ["120" if before == "--item-timeout" else word for before, word in zip([None, *case.arguments], case.arguments)]
    words = ["120" if before == "--stall-timeout" else word for before, word in zip([None, *words], words)]
    run = Run(ranks, [BIN / "mgpu_run", *words, "--shard", "2/3", "--output", parts[1], "--fault", "hang:item=190"], str(parts[1]) + ".log")
    journal, end = pathlib.Path(f"{parts[1]}.journal"), time.monotonic() + 90
    while not (journal.exists() and journal.stat().st_size > 2000):
        assert run.mpirun.poll() is None and time.monotonic() < end, pathlib.Path(run.log).read_text()
        time.sleep(0.05)
    time.sleep(1)
    run.kill_all()
    assert run.wait_gone(20) and not parts[1].exists()

    merged = tmp_path / "all.h5"
    assert "an unfinished run left" in merge(merged, *parts, code=2).err
    other = case.shard(3, 3, parts[1], "--resume", ranks=later)
    assert other.code == 2 and "--shard: 2/3 then, 3/3 now" in other.err, other.err
    resumed = case.shard(2, 3, parts[1], "--resume", ranks=later)
    assert resumed.code == 3 and "items are done already" in resumed.out, resumed.out + resumed.err
    assert case.shard(2, 3, parts[1], "--resume", ranks=later).code == 3
    merge(merged, *parts)
    assert datasets(merged) == datasets(case.whole)


@pytest.mark.parametrize("ranks", [1, 2])
def test_more_shards_than_batches(ranks, tmp_path, bundle, pictures):
    files = sorted(pictures.rglob("*.jpg"))[:6]
    job = ["infer", "--model", bundle, "--batch-size", 4, "--threads", 1]
    listed = tmp_path / "list.txt"
    listed.write_text("".join(f"{path}\n" for path in files))
    assert mgpu_run(*job, "--input", listed, "--output", tmp_path / "whole.h5").code == 0
    parts = [tmp_path / f"part{index}.h5" for index in (1, 2, 3)]
    for index, part in enumerate(parts, 1):
        # The list from standard input, as every job of an array may get it.
        command = ["mpirun", "--oversubscribe", "--timeout", "100", "-np", str(ranks), BIN / "mgpu_run", *job, "--input", "-", "--shard", f"{index}/3", "--output", part]
        done = subprocess.run([str(word) for word in command], env=ENVIRONMENT, input=listed.read_text(), capture_output=True, text=True, timeout=130)
        assert done.returncode == 0, done.stderr
        if index == 3:
            assert "none of the input's 6 items" in done.stdout
    with h5py.File(parts[2]) as file:
        assert file["items/path"].shape == (0,) and file.attrs["complete"] == 1
    assert mgpu_run("verify", parts[2], ranks=0).code == 0 and mgpu_run("export", parts[2], ranks=0).code == 0
    again = mgpu_run(*job, "--input", listed, "--shard", "3/3", "--output", parts[2], "--resume", ranks=ranks)
    assert again.code == 0 and "complete already" in again.out, again.err
    merge(tmp_path / "all.h5", *parts, code=0)
    assert datasets(tmp_path / "all.h5") == datasets(tmp_path / "whole.h5")


def test_merge_says_what_the_run_without_shards_says(tmp_path, bundle, pictures):
    """The accuracy is that of all rows."""
    files = sorted(pictures.rglob("*.*"))[:20]
    files = [path for path in files if path.is_file()]
    table = tmp_path / "table.csv"
    table.write_text("path,label\n" + "".join(f"{path},{'abcdefghij'[index % 3]}\n" for index, path in enumerate(files)))
    job = ["infer", "--model", bundle, "--input", table, "--label-column", "label", "--batch-size", 4, "--threads", 1]
    whole = mgpu_run(*job, "--output", tmp_path / "whole.h5")
    assert whole.code == 0, whole.err
    said = [line for line in whole.out.splitlines() if "ccuracy" in line]
    assert said
    parts = [tmp_path / f"part{index}.h5" for index in (1, 2)]
    for index, part in enumerate(parts, 1):
        assert mgpu_run(*job, "--shard", f"{index}/2", "--output", part).code == 0
    merged = merge(tmp_path / "all.h5", *parts, code=0)
    assert [line for line in merged.out.splitlines() if "ccuracy" in line] == said


def test_failed_rows_of_merged_shards_can_be_done_again(tmp_path, bundle, pictures):
    files = sorted(pictures.rglob("*.jpg"))[:10]
    share = tmp_path / "share"
    share.mkdir()
    for index, path in enumerate(files):
        shutil.copy(path, share / f"{index}.jpg")
    listed = tmp_path / "list.txt"
    listed.write_text("".join(f"share/{index}.jpg\n" for index in range(10)))
    job = ["infer", "--model", bundle, "--input", listed, "--batch-size", 4, "--threads", 1]
    assert mgpu_run(*job, "--output", tmp_path / "whole.h5").code == 0
    (share / "5.jpg").rename(share / "away")
    parts = [tmp_path / f"part{index}.h5" for index in (1, 2)]
    codes = [mgpu_run(*job, "--shard", f"{index}/2", "--output", part).code for index, part in enumerate(parts, 1)]
    assert codes == [3, 0]
    merge(tmp_path / "all.h5", *parts)
    (share / "away").rename(share / "5.jpg")
    done = mgpu_run(*job, "--output", tmp_path / "all.h5", "--retry-failed")
    assert done.code == 0, done.err
    assert datasets(tmp_path / "all.h5") == datasets(tmp_path / "whole.h5")


@pytest.mark.parametrize("shard, why", [("0/3", "counted from 1"), ("4/3", "there are 3 shard(s)"), ("two", "give I/N"), ("1/0", "give I/N"), ("-1/3", "give I/N")])
def test_what_is_no_shard_is_refused(shard, why, tmp_path, bundle, pictures):
    done = mgpu_run("infer", "--model", bundle, "--input", pictures, "--batch-size", 4, f"--shard={shard}", "--output", tmp_path / "out.h5")
    assert done.code == 2 and why in done.err and len(done.lines_of_ours()) == 1 and not list(tmp_path.iterdir()), done.err


def test_a_shard_needs_its_batch_size_and_an_item_job(tmp_path, bundle, pictures, data):
    job = ("infer", "--model", bundle, "--input", pictures, "--output", tmp_path / "out.h5", "--shard", "2/3")
    done = mgpu_run(*job)
    assert done.code == 2 and "--batch-size 64" in done.err and len(done.lines_of_ours()) == 1, done.err
    dry = mgpu_run(*job, "--batch-size", 4, "--dry-run")
    assert dry.code == 0 and "Shard 2/3: items 16 to 31 of the input's 45" in dry.out and "Plan: 16 items in 4 batches of 4" in dry.out, dry.out
    train = mgpu_run("train", "--model", data["plain"], "--input", data["table"], "--batch-size", 4, "--shard", "1/2", "--output", tmp_path / "out.h5")
    assert train.code == 2 and "cannot be cut" in train.err, train.err
    assert not list(tmp_path.iterdir())


def test_merge_refuses_what_is_not_all_of_one_run(pictures_case, tmp_path):
    case, parts = pictures_case, [tmp_path / f"part{index}.h5" for index in (1, 2)]
    for index, part in enumerate(parts, 1):
        assert case.shard(index, 2, part).code == 3
    other = tmp_path / "other.h5"
    assert case.shard(2, 2, other, "--topk", "2").code == 3
    merged = tmp_path / "all.h5"
    for shards, why in (
        (parts[:1], "1 of 2 shards are missing: 2/2"),
        ([*parts, parts[0]], "are both shard 1/2"),
        ([parts[0], other], "--topk: 3 in"),
        ([parts[0], case.whole], "is no shard"),
        ([parts[0], tmp_path / "none.h5"], "no such file"),
        ([], "SHARDS is required"),
    ):
        refused = merge(merged, *shards, code=2)
        assert why in refused.err and not merged.exists(), refused.err
    with h5py.File(parts[1], "r+") as file:
        row = int(np.flatnonzero(file["items/status"][:] == 1)[3])
        good = file["results/logits"][row]
        file["results/logits"][row] = good + 1
    damaged = merge(merged, *parts, code=1)
    assert "part2.h5" in damaged.err and f"row {row} (" in damaged.err and not merged.exists(), damaged.err
    with h5py.File(parts[1], "r+") as file:
        file["results/logits"][row] = good
    merge(merged, *parts)
    before = merged.read_bytes()
    assert "--overwrite replaces it" in merge(merged, *parts, code=2).err and merged.read_bytes() == before
    merge(merged, *parts, "--overwrite")
    helped = mgpu_run("merge", "--help", ranks=0)
    assert helped.code == 0 and "merge part1.h5 part2.h5 part3.h5 -o all.h5" in helped.out


@pytest.mark.parametrize("error", ["ENOSPC", "EIO"])
def test_a_file_call_that_fails_costs_no_row(error, recordings_case, tmp_path):
    """Each call on the merged file in turn: all of it is there, or nothing."""
    library = tmp_path / "file_faults.so"
    source = pathlib.Path(__file__).resolve().parents[1] / "torture/file_faults.c"
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", library, source, "-ldl"], check=True, timeout=60)
    case, merged, parts = recordings_case, tmp_path / "all.h5", [tmp_path / f"part{index}.h5" for index in (1, 2)]
    for index, part in enumerate(parts, 1):
        assert case.shard(index, 2, part).code == 3
    faults = {"OMPI_COMM_WORLD_RANK": "0", "FAULT_RANK": "0", "FAULT_PROGRAM": "agent", "FAULT_PART": str(merged), "FAULT_CALLS": "1", "LD_PRELOAD": str(library)}
    expected, refused = datasets(case.whole), 0
    for call in range(1, 100):
        done = mgpu_run("merge", *parts, "-o", merged, ranks=0, **faults, FAULT_AT=str(call), FAULT_ERRNO=str(getattr(errno, error)))
        assert done.code in (1, 2, 3, 75) and not pathlib.Path(f"{merged}.merging").exists(), (call, done.err)
        refused += done.code != 3
        if merged.exists():  # the fault was after all rows, or harmless
            assert datasets(merged) == expected, (call, done.code, done.err)
            merged.unlink()
        else:
            assert done.code != 3, call
    assert refused > 20

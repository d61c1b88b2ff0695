"""Runs that meet the files of other runs: who may write an output, what --resume takes for its own, what --overwrite keeps, whose files are never touched."""

import pathlib
import shutil
import subprocess
import time

import h5py
import pytest

import material
from conftest import BIN, arrays, mgpu_run
from processes import Run
from training import train, write_table

CHAIN = ("--global-batch", 32, "--batch-size", 16, "--lr", "0.005", "--seed", 3, "--epochs", 100)

LOCKS = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/file.h>
/* NO_LOCKS=nfs: LOCK_EX on a descriptor that is only read is refused, as NFSv4 does. flock: none of these. all: none at all. */
static int has(const char* word) { const char* set = getenv("NO_LOCKS"); return set && *set == *word; }
int flock(int fd, int how) {
  static int (*real)(int, int);
  if (!real) real = (int (*)(int, int))dlsym(RTLD_NEXT, "flock");
  if (has("flock") || has("all")) { errno = ENOLCK; return -1; }
  if (has("nfs") && (how & LOCK_EX) && (fcntl(fd, F_GETFL) & O_ACCMODE) == O_RDONLY) { errno = EBADF; return -1; }
  return real(fd, how);
}
static int lock_call(const char* name, int fd, int what, void* more) {
  int (*real)(int, int, ...) = (int (*)(int, int, ...))dlsym(RTLD_NEXT, name);
  if (has("all") && (what == F_OFD_SETLK || what == F_SETLK)) { errno = ENOLCK; return -1; }
  return real(fd, what, more);
}
int fcntl(int fd, int what, ...) { va_list all; va_start(all, what); void* more = va_arg(all, void*); va_end(all); return lock_call("fcntl", fd, what, more); }
int fcntl64(int fd, int what, ...) { va_list all; va_start(all, what); void* more = va_arg(all, void*); va_end(all); return lock_call("fcntl64", fd, what, more); }
"""


@pytest.fixture(scope="module")
def no_locks(tmp_path_factory):
    folder = tmp_path_factory.mktemp("no_locks")
    (folder / "locks.c").write_text(LOCKS)
    subprocess.run(["cc", "-shared", "-fPIC", "-o", folder / "locks.so", folder / "locks.c", "-ldl"], check=True, timeout=60)
    return folder / "locks.so"


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    return material.pictures(tmp_path_factory.mktemp("many"), 20000)


@pytest.mark.parametrize("kind", ["plain", "nfs", "flock", "all"])
@pytest.mark.parametrize("ranks", [1, 2, 4])
def test_a_second_run_touches_nothing_of_a_living_one(ranks, kind, many, no_locks, tmp_path):
    output = tmp_path / "out.h5"
    environment = {"NO_LOCKS": kind, "LD_PRELOAD": str(no_locks)}
    # A beat is looked at for seconds: the run must last for longer than that.
    slow = ("--fault", "hang:item=19990,times=1") if kind == "all" else ()
    words = ["12" if before == "--item-timeout" and slow else word for before, word in zip([None, *many], many)]
    with_locks = ["env", *(f"{name}={value}" for name, value in environment.items())]
    run = Run(ranks, [*with_locks, BIN / "mgpu_run", *words, "--output", output, *slow], str(output) + ".log")
    journal = pathlib.Path(str(output) + ".journal")
    end = time.monotonic() + 90
    while not (journal.exists() and journal.stat().st_size > 20_000):
        assert run.mpirun.poll() is None and time.monotonic() < end, pathlib.Path(run.log).read_text()
        time.sleep(0.01)
    other = mgpu_run(*many, "--output", output, "--overwrite", ranks=ranks, **environment)
    assert run.mpirun.poll() is None or other.code == 2, "too late to tell"
    assert other.code == 2 and "another run is writing it now" in other.err, other.err
    assert run.mpirun.wait(120) == 3, pathlib.Path(run.log).read_text()
    assert ("no locks" in pathlib.Path(run.log).read_text()) == (kind == "all")
    with h5py.File(output) as file:
        assert file.attrs["complete"] == 1 and (file["items/status"][:] != 0).all()


@pytest.mark.parametrize("ranks", [1, 2, 4])
def test_resume_of_a_complete_file_compares_the_run(ranks, tmp_path, bundle, pictures):
    output = tmp_path / "out.h5"
    good = sorted(pictures.rglob("*.jpg"))
    table = tmp_path / "items.txt"
    table.write_text("\n".join(map(str, good[:6])) + "\n")
    common = ("infer", "--output", output)
    assert mgpu_run(*common, "--model", bundle, "--input", table, ranks=ranks).code == 0
    before = output.read_bytes()

    def resumed(*options, model=bundle, code):
        done = mgpu_run(*common, "--model", model, *options, "--resume", ranks=ranks)
        assert done.code == code and output.read_bytes() == before, (done.out, done.err)
        return done

    assert "complete already" in resumed("--input", table, code=0).out
    assert "--input" in resumed("--input", pictures / "part0", code=2).err
    assert "--topk" in resumed("--input", table, "--topk", 2, code=2).err
    other = tmp_path / "other"
    other.mkdir()
    for file in bundle.iterdir():
        (other / file.name).write_bytes(file.read_bytes())
    assert "complete already" in resumed("--input", table, model=other, code=0).out  # the same bytes elsewhere
    (other / "bundle.json").write_text((bundle / "bundle.json").read_text().replace("0.485", "0.5"))
    assert "--model" in resumed("--input", table, model=other, code=2).err
    table.write_text("\n".join(map(str, good[1:7])) + "\n")
    assert "--input" in resumed("--input", table, code=2).err


def test_resume_of_a_complete_file_ends_as_the_run_did(tmp_path, bundle, pictures):
    table = tmp_path / "items.txt"
    table.write_text(f"{next(pictures.rglob('*.jpg'))}\n/nowhere.jpg\n")
    options = ("infer", "--model", bundle, "--input", table, "--output", tmp_path / "out.h5")
    assert mgpu_run(*options).code == 3
    again = mgpu_run(*options, "--resume")
    assert again.code == 3 and "complete already" in again.out, again.err


@pytest.mark.parametrize("ranks", [1, 2, 4])
def test_overwrite_keeps_a_run_until_the_model_works(ranks, many, bundle, tmp_path):
    output = tmp_path / "out.h5"
    run = Run(ranks, [BIN / "mgpu_run", *many, "--output", output], str(output) + ".log")
    journal = pathlib.Path(str(output) + ".journal")
    end = time.monotonic() + 90
    while not (journal.exists() and journal.stat().st_size > 20_000):
        assert run.mpirun.poll() is None and time.monotonic() < end, pathlib.Path(run.log).read_text()
        time.sleep(0.01)
    run.kill_all()
    assert run.wait_gone(20)
    broken = tmp_path / "broken.pt"
    broken.write_bytes(b"no model")
    done = mgpu_run(*many, "--output", output, "--model", broken, "--image-size", "32", "--overwrite", ranks=ranks)
    assert done.code == 2, done.err
    resumed = mgpu_run(*many, "--output", output, "--resume", ranks=ranks)
    assert resumed.code == 3 and "items are done already" in resumed.out, (resumed.out, resumed.err)
    assert sorted(path.name for path in tmp_path.glob("out.h5*")) == ["out.h5", "out.h5.lock", "out.h5.log", "out.h5.status.json", "out.h5.summary.json"]


def test_what_stands_beside_the_output_follows_no_link_and_costs_no_run(tmp_path, bundle, pictures):
    precious = tmp_path / "precious"
    precious.write_text("keep me")
    for name in ("status.json.new", "status.json", "summary.json.new", "summary.json"):
        (tmp_path / f"out.h5.{name}").symlink_to(precious)
    options = ("infer", "--model", bundle, "--input", pictures / "part0", "--output")
    assert mgpu_run(*options, tmp_path / "out.h5").code == 0
    assert precious.read_text() == "keep me" and not (tmp_path / "out.h5.summary.json").is_symlink()
    (tmp_path / "more.h5.summary.json.new").mkdir()
    done = mgpu_run(*options, tmp_path / "more.h5")
    assert done.code == 0 and "warning: cannot write" in done.err, done.err


@pytest.mark.parametrize("ranks", [1, 2, 4])
def test_an_output_that_cannot_be_written_is_said_before_the_plan(ranks, bundle, pictures):
    done = mgpu_run("infer", "--model", bundle, "--input", pictures / "part0", "--output", "/proc/a.h5", ranks=ranks)
    assert done.code == 2 and "Plan" not in done.out and len(done.lines_of_ours()) == 1 and "/proc/a.h5" in done.err, (done.out, done.err)


@pytest.mark.parametrize("ranks", [1, 2])
def test_a_training_is_recognised_and_kept(ranks, data, tmp_path):
    output = tmp_path / "out.h5"
    options = ("--input", data["table"], *CHAIN, "--max-steps", 20, "--checkpoint-every", 10, "--output", output)
    train("--model", data["plain"], *options, ranks=ranks)
    marks = sorted(tmp_path.rglob("checkpoint.json"))
    assert marks
    assert "complete already" in train("--model", data["plain"], *options, "--resume", ranks=ranks).out
    other = write_table(tmp_path / "other.csv", data["rows"][::-1])
    for more in (("--model", data["stateful"]), ("--model", data["plain"], "--input", other), ("--model", data["plain"], "--seed", 5)):
        refused = train(*options, *more, "--resume", ranks=ranks, code=2)
        assert "was begun by another run" in refused.err and more[-2] in refused.err, refused.err
    broken = tmp_path / "broken.pt"
    broken.write_bytes(b"no model")
    train("--model", broken, *options, "--overwrite", ranks=ranks, code=2)
    assert sorted(tmp_path.rglob("checkpoint.json")) == marks
    refused = train("--model", data["plain"], "--input", data["table"], *CHAIN, "--output", tmp_path / "more.h5", "--checkpoint-dir", f"{output}.checkpoints", ranks=ranks, code=2)
    assert "holds checkpoints of an earlier training" in refused.err


@pytest.mark.parametrize("ranks, later", [(1, 2), (2, 4), (4, 1)])
def test_retry_failed_gives_the_bits_of_a_run_without_failures(ranks, later, tmp_path, bundle, pictures):
    """A share was away for some of the files; the rest is not done again."""
    table = tmp_path / "list.txt"
    files = sorted(pictures.rglob("*.jpg"))
    copies = tmp_path / "share"
    copies.mkdir()
    names = [f"{index:03}{files[index % len(files)].suffix}" for index in range(48)]
    for index, name in enumerate(names):
        shutil.copy(files[index % len(files)], copies / name)
    table.write_text("".join(f"share/{name}\n" for name in names))
    job = ["infer", "--model", bundle, "--input", table, "--batch-size", 4]
    assert mgpu_run(*job, "--output", tmp_path / "whole.h5").code == 0
    away = tmp_path / "away"
    away.mkdir()
    for name in names[8:15]:
        (copies / name).rename(away / name)
    output = tmp_path / "out.h5"
    failed = mgpu_run(*job, "--output", output, ranks=ranks)
    assert failed.code == 3 and "--retry-failed does them again" in failed.out, failed.out + failed.err
    again = mgpu_run(*job, "--output", output, "--resume", ranks=later)
    assert again.code == 3 and "--retry-failed" in again.out, "a resume of a complete file changes nothing, and says what would"
    assert mgpu_run(*job, "--output", output, "--retry-failed", ranks=later).code == 3, "still away"
    for name in names[8:15]:
        (away / name).rename(copies / name)
    done = mgpu_run(*job, "--output", output, "--retry-failed", ranks=later)
    assert done.code == 0, done.err
    assert "40 of 48 items are done already" in done.out + done.err, done.out + done.err
    assert arrays(output) == arrays(tmp_path / "whole.h5")
    verified = mgpu_run("verify", output, ranks=0)
    assert verified.code == 0 and "48 rows: 48 ok" in verified.out, verified.out
    nothing = mgpu_run(*job, "--output", output, "--retry-failed", ranks=later)
    assert nothing.code == 0 and "nothing to do" in nothing.out

    with h5py.File(output, "r+") as file:
        name = next(name for name in file["results"] if isinstance(file["results"][name], h5py.Dataset) and file["results"][name].dtype.kind == "f")
        row = file["results"][name][21]
        file["results"][name][21] = row + 1
    verified = mgpu_run("verify", output, ranks=0)
    assert verified.code == 1 and "row 21" in verified.out and "1 row(s) wrong" in verified.out, verified.out
    mended = mgpu_run(*job, "--output", output, "--retry-failed", "--verify", ranks=later)
    assert mended.code == 0, mended.err
    assert arrays(output) == arrays(tmp_path / "whole.h5")


def test_a_training_has_no_rows_to_retry(data, tmp_path):
    done = mgpu_run("train", "--model", data["plain"], "--input", data["table"], "--output", tmp_path / "out.h5", "--retry-failed")
    assert done.code == 2 and "--retry-failed" in done.err

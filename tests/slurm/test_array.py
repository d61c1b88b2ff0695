"""sbatch --array slurm/array.sbatch: shards that are merged, lists of their own, requeues of one task."""

import h5py
import numpy as np
import pytest
from jobs import SlowJob, submit
from struck import agents_of

from conftest import arrays, mgpu_run

TASKS = (1, 2, 3)


def test_three_shards_merged_are_the_unsharded_run(cluster, bundle, pictures, tmp_path):
    arguments = ["--model", bundle, "--input", pictures, "--batch-size", "4", "--threads", "1"]
    alone = mgpu_run("infer", *arguments, "--output", tmp_path / "alone.h5", ranks=0)
    assert alone.code == 0, alone.err
    job = submit(cluster, "array.sbatch", ("--array=1-3", "-n1"), [*arguments, "--output", tmp_path / "all.h5"], tmp_path)
    for task in TASKS:
        assert cluster.wait_ended(f"{job}_{task}") == ("COMPLETED", 0), cluster.text(f"{job}_{task}")
    merged = mgpu_run("merge", *(tmp_path / f"all.shard{task}.h5" for task in TASKS), "-o", tmp_path / "all.h5", ranks=0)
    assert merged.code == 0, merged.err
    assert arrays(tmp_path / "all.h5") == arrays(tmp_path / "alone.h5")


def test_a_requeued_task_leaves_its_siblings_alone(cluster, tmp_path):
    """Each task has a list of its own."""
    for task in TASKS:
        (tmp_path / f"list{task}.csv").write_text("path\n" + "".join(f"item{task}_{index}.png\n" for index in range(1500)))
    job = SlowJob(cluster, tmp_path, "--input", tmp_path / "list%a.csv", "--output", tmp_path / "out%a.h5", script="array.sbatch", options=("--array=1-3", "-n1"), item_s=0.01)
    second = f"{job.id}_2"
    job.wait_for(lambda: len([task for task in TASKS if agents_of(tmp_path / f"out{task}.h5")]) == 3 and (tmp_path / "out2.h5.journal").exists())
    job.hurry()
    cluster.run("scancel", "--signal=USR2", second)
    job.wait_for(lambda: int(cluster.show(second)["Restarts"]) == 1)
    assert f"job {second} stopped early: requeue 1 of 10" in cluster.text(second)
    for task in TASKS:
        name = f"{job.id}_{task}"
        assert cluster.wait_ended(name) == ("COMPLETED", 0), cluster.text(name)
        assert cluster.show(name)["Restarts"] == ("1" if task == 2 else "0")
        with h5py.File(tmp_path / f"out{task}.h5") as file:
            assert file.attrs["complete"] == 1 and (file["items/status"][:] == 1).all() and file["items/path"][7].decode().endswith(f"item{task}_7.png")
            np.testing.assert_array_equal(file["results/double_index"][:], 2.0 * np.arange(1500))


@pytest.mark.parametrize(("options", "more", "environment", "told"), [
    (("--array=0-1",), (), {}, "shards are numbered from 1: type sbatch --array=1-2"),
    (("--array=2",), (), {}, "MGPU_SHARDS=N sbatch --array=2"),
    (("--array=2",), ("--input", "list%a.csv"), {}, "all tasks would write"),
    ((), (), {}, "no array: type sbatch --array=1-3"),
    (("--array=2",), ("--input", "absent%a.csv", "--output", "out%a.h5"), {}, "absent2.csv"),
])
def test_bad_arrays_are_refused(options, more, environment, told, cluster, tmp_path):
    job = SlowJob(cluster, tmp_path, *more, script="array.sbatch", options=(*options, "-n1"), items=4, **environment)
    name = job.id + (f"_{options[0].partition('=')[2][0]}" if options else "")
    assert cluster.wait_ended(name) == ("FAILED", 2), cluster.text(name)
    assert told in cluster.text(name)

"""srun --mpi=pmix with both values of --kill-on-bad-exit: what an exit code of 3 and a killed rank cost."""

import os
import pathlib
import signal
import subprocess

import pytest
from jobs import SlowJob
from struck import agents_of

from conftest import BIN

VALUES = (0, 1)
LIMIT_S = 60


def step(value, *arguments):
    return ["srun", "--mpi=pmix", f"--kill-on-bad-exit={value}", "-N2", "-n4", str(BIN / "mgpu_run"), "infer", *map(str, arguments)]


@pytest.mark.parametrize("value", VALUES)
def test_failed_items_are_told_by_the_exit_code(value, cluster, bundle, pictures, tmp_path):
    (tmp_path / "broken.png").write_text("not a picture")
    good = sorted(path for path in pathlib.Path(pictures).rglob("*") if path.is_file())[:7]
    (tmp_path / "items.txt").write_text("\n".join(map(str, [tmp_path / "broken.png", *good])))
    done = cluster.run(*step(value, "--model", bundle, "--input", tmp_path / "items.txt", "--batch-size", "2", "--threads", "1", "--output", tmp_path / "out.h5"), check=False)
    assert done.returncode == 3, done.stderr
    assert "task 0: Exited with exit code 3" in done.stderr and "Killed" not in done.stderr and "Terminated" not in done.stderr, done.stderr


@pytest.mark.parametrize("value", VALUES)
def test_a_killed_rank_costs_the_step(value, cluster, tmp_path):
    """SLURM's PMIx plugin ends the step, also with 0. What was finished is kept."""
    job = SlowJob(cluster, tmp_path, options=("-N2", "-n4", "--hold"))  # for its files and arguments
    cluster.run("scancel", job.id)
    with open(tmp_path / "step.log", "w") as log:
        with subprocess.Popen(step(value, *job.arguments), env={**cluster.environment, **job.environment}, stdin=subprocess.DEVNULL, stdout=log, stderr=log) as running:
            sizes = set()

            def at_work():
                journal = tmp_path / "out.h5.journal"
                sizes.update([journal.stat().st_size] if journal.exists() else [])
                return len(sizes) > 2 and len(agents_of(job.output)) == 4
            cluster.wait_for(at_work, LIMIT_S, (tmp_path / "step.log").read_text)
            job.hurry()
            os.kill(agents_of(job.output)[3], signal.SIGKILL)
            assert running.wait(LIMIT_S) not in (0, 3)
    cluster.wait_for(lambda: not agents_of(job.output), LIMIT_S)
    again = SlowJob(cluster, tmp_path)
    assert again.wait_ended() == ("COMPLETED", 0) and "more were done by earlier runs" in again.text(), again.text()
    again.check_complete()

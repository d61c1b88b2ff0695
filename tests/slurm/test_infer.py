"""sbatch slurm/infer.sbatch over two nodes: the file of one rank without SLURM, also after ends in the middle."""

import os
import re
import signal
import time

import pytest
from jobs import SlowJob, submit
from struck import agents_of

from conftest import BIN, arrays, mgpu_run

ROWS = 300


@pytest.fixture(scope="session")
def real_run(tmp_path_factory, bundle, pictures):
    """Arguments of a run with the real worker, and the arrays of its file by one rank without SLURM. One of the items is no picture."""
    folder = tmp_path_factory.mktemp("real")
    files = sorted(path for path in pictures.rglob("*") if path.is_file())
    (folder / "broken.png").write_text("not a picture")
    rows = [str(files[index % len(files)]) for index in range(ROWS - 1)] + [str(folder / "broken.png")]
    (folder / "items.csv").write_text("path\n" + "\n".join(rows) + "\n")
    arguments = ["--model", bundle, "--input", folder / "items.csv", "--batch-size", "2", "--threads", "1"]
    alone = mgpu_run("infer", *arguments, "--output", folder / "alone.h5", ranks=0)
    assert alone.code == 3, alone.err
    return arguments, arrays(folder / "alone.h5")


def write_program(folder, lines):
    """In place of mgpu_run."""
    path = folder / "program"
    path.write_text(f'#!/bin/sh\n{lines}\nexec {BIN}/mgpu_run "$@"\n')
    path.chmod(0o755)
    return str(path)


def test_two_nodes_give_the_file_of_one_rank(cluster, real_run, tmp_path):
    arguments, alone = real_run
    job = submit(cluster, "infer.sbatch", ("-N2", "-n4"), [*arguments, "--output", tmp_path / "out.h5"], tmp_path)
    # 3: some items failed. Neighbours of rank 0 are not shown as killed though this cluster has KillOnBadExit=1.
    assert cluster.wait_ended(job) == ("FAILED", 3), cluster.text(job)
    text = cluster.text(job)
    assert "4 rank(s) on 2 node(s)" in text and "Terminating" not in text and "Killed" not in text, text
    assert arrays(tmp_path / "out.h5") == alone


def test_requeued_twice_gives_the_file_of_one_rank(cluster, real_run, tmp_path):
    """All ranks of the first start come to a halt after 30 of 150 batches, those of the second one after 90."""
    arguments, alone = real_run
    output, journal = tmp_path / "out.h5", tmp_path / "out.h5.journal"
    program = write_program(tmp_path, '''case ${SLURM_RESTART_COUNT:-0} in 0) halt=30 ;; 1) halt=90 ;; *) halt= ;; esac
[ -z "$halt" ] || set -- "$@" --grace 1 --stall-timeout 600 --fault "$(seq -s ';' -f 'hang:batch=%g' "$halt" $((halt + 40)))"''')
    job = submit(cluster, "infer.sbatch", ("-N2", "-n4"), [*arguments, "--output", output], tmp_path, MGPU_RUN=program)
    begun_s = time.time()
    for start, end in enumerate((("scancel", "--signal=USR2", job), ("scontrol", "requeue", job))):
        cluster.wait_for(lambda begun_s=begun_s: journal.exists() and begun_s < journal.stat().st_mtime < time.time() - 3, 60, lambda: cluster.text(job))
        cluster.run(*end)
        cluster.wait_for(lambda start=start: int(cluster.show(job)["Restarts"]) == start + 1, 60, lambda: cluster.text(job))
        begun_s = time.time()
    assert cluster.wait_ended(job) == ("FAILED", 3), cluster.text(job)
    text = cluster.text(job)
    first = int(re.search(r"signal USR2\. (\d+) of 300 items are done", text)[1])
    second = int(re.findall(r"(\d+) more were done by earlier runs", text)[-1])
    assert 0 < first < second < ROWS and f"job {job} stopped early: requeue 1 of 10" in text, text
    assert arrays(output) == alone


def test_a_cancelled_job_ends_and_can_be_resumed(cluster, tmp_path):
    job = SlowJob(cluster, tmp_path).wait_for_work()
    cluster.run("scancel", job.id)
    state, _ = job.wait_ended()
    assert state == "CANCELLED", job.text()
    cluster.wait_for(lambda: not agents_of(job.output), 30)
    facts = cluster.show(job.id)
    assert facts["Restarts"] == "0", "it requeued itself although it was cancelled"
    job.hurry()
    again = SlowJob(cluster, tmp_path)
    assert again.wait_ended() == ("COMPLETED", 0), again.text()
    assert "more were done by earlier runs" in again.text()
    again.check_complete()


def test_a_time_limit_requeues_the_job(cluster, tmp_path):
    """The shortest limit there is; SLURM looks every 30 s which job is near its limit. Meanwhile its step has a name, and its comment shows the progress."""
    job = SlowJob(cluster, tmp_path, "--progress", "plain", options=("-N2", "-n4", "--time=1", "--signal=USR2@20"), items=20000)
    job.wait_for_work()
    assert f"{job.id}.0 infer:out.h5" in cluster.run("squeue", "-h", "-s", "-o", "%i %j").stdout
    job.hurry()
    job.wait_for(lambda: int(cluster.show(job.id)["Restarts"]) == 1, 90)
    assert "/20000 items · " in cluster.comment(job.id)
    assert "signal USR2 received" in job.text() and "requeue 1 of 10" in job.text(), job.text()
    assert job.wait_ended() == ("COMPLETED", 0), job.text()
    job.check_complete()


def test_requeues_have_a_limit(cluster, tmp_path):
    job = SlowJob(cluster, tmp_path, items=8000, MAX_REQUEUES="1")
    for start in range(2):
        job.wait_for_work(start).signal()
        job.wait_for(lambda start=start: job.text().count("Stopped early: signal USR2") == start + 1)
    assert job.wait_ended() == ("FAILED", 75), job.text()
    assert "was restarted 1 times (MAX_REQUEUES=1); the same sbatch line continues it" in job.text()
    assert cluster.show(job.id)["Restarts"] == "1"


def test_a_killed_rank_costs_the_step_and_the_job_is_requeued(cluster, tmp_path):
    """SLURM ends the step (test_bad_exit.py); rank 0 has left no last word then."""
    job = SlowJob(cluster, tmp_path).wait_for_work()


    job.hurry()
    os.kill(agents_of(job.output)[3], signal.SIGKILL)
    job.wait_for(lambda: int(cluster.show(job.id)["Restarts"]) == 1)
    assert "requeue 1 of 10" in job.text()
    assert job.wait_ended() == ("COMPLETED", 0), job.text()
    job.check_complete()


def test_ranks_that_die_before_the_work_are_started_again(cluster, tmp_path):
    """As Open MPI's ranks do at times in MPI_Init (ompi #12495)."""
    job = SlowJob(cluster, tmp_path, items=8, MGPU_RUN=write_program(tmp_path, "[ $SLURM_STEP_ID != 0 ] || kill -SEGV $$"))
    assert job.wait_ended() == ("COMPLETED", 0), job.text()
    assert job.text().count("the ranks ended before the work began") == 1 and cluster.show(job.id)["Restarts"] == "0", job.text()


def test_ranks_that_always_die_before_the_work_end_the_job(cluster, tmp_path):
    job = SlowJob(cluster, tmp_path, items=8, MGPU_RUN=write_program(tmp_path, "kill -SEGV $$"))
    state, code = job.wait_ended()
    assert state == "FAILED" and code > 3 and code != 75, job.text()
    assert job.text().count("the ranks ended before the work began") == 2 and cluster.show(job.id)["Restarts"] == "0", job.text()

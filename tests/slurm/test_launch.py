"""sbatch slurm/launch.sbatch: mpirun over the nodes of the job."""

import os
import signal

from jobs import SlowJob
from struck import agents_of


def test_a_killed_rank_costs_its_rank_and_the_signal_is_passed_on(cluster, tmp_path):
    """SLURM sends the signal to the batch script only: B: in the script."""
    job = SlowJob(cluster, tmp_path, script="launch.sbatch", first=("infer",), items=6000).wait_for_work()
    os.kill(agents_of(job.output)[3], signal.SIGKILL)
    job.wait_for(lambda: "rank 3 on" in job.text() and "is out of the run" in job.text())
    job.hurry()
    cluster.run("scancel", "--batch", "--signal=USR2", job.id)
    job.wait_for(lambda: int(cluster.show(job.id)["Restarts"]) == 1)
    text = job.text()
    assert "4 rank(s) on" in text and "Stopped early: signal" in text and "requeue 1 of 10" in text, text
    assert "starting it again" not in text, text
    assert job.wait_ended() == ("COMPLETED", 0), job.text()
    job.check_complete()


def test_a_lost_job_is_restarted_in_its_allocation(cluster, tmp_path):
    job = SlowJob(cluster, tmp_path, script="launch.sbatch", first=("infer",), options=("-N2", "--ntasks-per-node=2")).wait_for_work()
    job.hurry()
    os.kill(agents_of(job.output)[0], signal.SIGKILL)
    assert job.wait_ended() == ("COMPLETED", 0), job.text()
    assert "4 rank(s) on" in job.text() and "starting it again with --resume (1 of 3 restarts)" in job.text() and cluster.show(job.id)["Restarts"] == "0", job.text()
    job.check_complete()


def test_a_cancelled_launch_leaves_nobody(cluster, tmp_path):
    job = SlowJob(cluster, tmp_path, script="launch.sbatch", first=("infer",)).wait_for_work()
    cluster.run("scancel", job.id)
    assert job.wait_ended()[0] == "CANCELLED", job.text()
    cluster.wait_for(lambda: not agents_of(job.output), 30)
    assert cluster.show(job.id)["Restarts"] == "0"


def test_a_job_that_is_none_is_refused(cluster, tmp_path):
    job = SlowJob(cluster, tmp_path, script="launch.sbatch")
    assert job.wait_ended() == ("FAILED", 2) and "type sbatch … launch.sbatch infer …" in job.text(), job.text()

"""sbatch slurm/train.sbatch over two nodes: the loss curve of one rank, also after a requeue."""

from jobs import submit
from struck import agents_of
from training import assert_same_curve, history, train

STEPS = 240  # some seconds


def test_two_nodes_and_a_requeue_change_no_curve(cluster, data, tmp_path):
    common = ("--model", data["plain"], "--input", data["table"], "--no-shuffle", "--global-batch", 36, "--optimizer", "adamw", "--lr", "0.0005", "--epochs", 100,
              "--max-steps", STEPS, "--clip-norm", "0.5")
    train(*common, "--output", tmp_path / "alone.h5", ranks=0)
    output = tmp_path / "nodes.h5"
    job = submit(cluster, "train.sbatch", ("-N2", "-n4"), [*common, "--threads", 1, "--output", output], tmp_path)
    cluster.wait_for(lambda: (tmp_path / "nodes.h5.training").exists() and agents_of(output), 60, lambda: cluster.text(job))
    cluster.run("scancel", "--signal=USR2", job)
    assert cluster.wait_ended(job, 100) == ("COMPLETED", 0), cluster.text(job)
    assert cluster.show(job)["Restarts"] == "1" and "resuming from step" in cluster.text(job), cluster.text(job)
    assert len(history(output)) == STEPS
    assert_same_curve(output, tmp_path / "alone.h5", 1e-4)

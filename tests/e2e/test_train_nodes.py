"""Several nodes, which are this machine under other names: their ranks sum in memory of their own, the agents sum between them over MPI."""

import shutil
import subprocess
import tempfile

import h5py
import pytest
from emulated_nodes import write_shell
from training import assert_same_curve, train

from conftest import BIN, ENVIRONMENT, RUN_LIMIT_S


@pytest.fixture(scope="module")
def remote_shell():
    with tempfile.TemporaryDirectory(prefix="mgpu_nodes_") as folder:
        yield write_shell(folder) or pytest.skip("this system lets nobody give a process another host name")


def on_nodes(shell, hosts, ranks, *arguments):
    command = [shutil.which("mpirun"), "--prtemca", "plm_ssh_agent", shell, "--host", hosts, "--map-by", "node:OVERSUBSCRIBE", "--mca", "btl", "self,tcp", "--timeout",
               RUN_LIMIT_S, "-np", ranks, BIN / "mgpu_run", "train", *arguments, "--threads", 1]
    done = subprocess.run(list(map(str, command)), env=ENVIRONMENT, capture_output=True, text=True, timeout=RUN_LIMIT_S + 30)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done


@pytest.mark.parametrize("more", [(), ("--shard-optimizer",)])
@pytest.mark.parametrize(("hosts", "ranks"), [("nodeA:2,nodeB:2", 4), ("nodeA:1,nodeB:2", 3)])
def test_nodes_change_nothing(hosts, ranks, more, remote_shell, data, tmp_path):
    common = ("--model", data["plain"], "--input", data["table"], "--no-shuffle", "--global-batch", 36, "--optimizer", "adamw", "--lr", "0.002", "--epochs", 100,
              "--max-steps", 60, "--clip-norm", "0.5", "--output")
    train(*common, tmp_path / "alone.h5", ranks=1)
    on_nodes(remote_shell, hosts, ranks, *common, tmp_path / "nodes.h5", *more)
    assert_same_curve(tmp_path / "nodes.h5", tmp_path / "alone.h5", 1e-4)
    with h5py.File(tmp_path / "nodes.h5") as file:
        assert {bytes(host) for host in file["ranks"]["host"]} == {b"nodeA", b"nodeB"}


@pytest.mark.parametrize("rank", [1, 2])  # the first of its node, and one that is not
def test_a_worker_that_dies_restarts_all_nodes(rank, remote_shell, data, tmp_path):
    common = ("--model", data["plain"], "--input", data["table"], "--no-shuffle", "--global-batch", 36, "--lr", "0.002", "--epochs", 100, "--max-steps", 60,
              "--checkpoint-every", 20, "--output")
    on_nodes(remote_shell, "nodeA:2,nodeB:2", 4, *common, tmp_path / "undisturbed.h5")
    done = on_nodes(remote_shell, "nodeA:2,nodeB:2", 4, *common, tmp_path / "struck.h5", "--fault", f"kill:rank={rank},step=31,times=1")
    assert (done.stdout + done.stderr).count("all workers restart from step 20") == 1, done.stderr
    assert_same_curve(tmp_path / "struck.h5", tmp_path / "undisturbed.h5", 0)

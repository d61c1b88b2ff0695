"""Two nodes and the network between them: results, a file system that is not shared, and a link that is pulled."""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import time

import h5py
import pytest
from network_nodes import NetworkNodes, why_forbidden
from struck import Run
from training import assert_same_curve, train

from conftest import BIN, ENVIRONMENT, RUN_LIMIT_S, arrays, mgpu_run

LEFT_LIMIT_S = 60  # until the daemon of a node that is reached again has gone
STEP_LIMIT_S = 120  # for whatever takes seconds on an idle machine
# mpirun's own connections: without these it takes a silent node for well for many minutes.
KEEPALIVE = ("--prtemca", "oob_tcp_keepalive_time", "3", "--prtemca", "oob_tcp_keepalive_intvl", "1", "--prtemca", "oob_tcp_keepalive_probes", "3")
TRAINING = ("--no-shuffle", "--global-batch", 36, "--optimizer", "adamw", "--lr", "0.002", "--epochs", 100, "--clip-norm", "0.5", "--threads", 1)


@pytest.fixture(scope="module")
def all_nodes(tmp_path_factory):
    if reason := why_forbidden():
        pytest.skip(f"this system allows no network namespaces ({reason}); test_train_nodes.py and test_launch.py have nodes without them")
    with NetworkNodes(tmp_path_factory.mktemp("net")) as nodes:
        yield nodes


@pytest.fixture
def nodes(all_nodes):
    """With a link, one file system, and no process of an earlier test."""
    all_nodes.set_link("up")
    all_nodes.hide()
    yield all_nodes
    all_nodes.set_link("up")
    assert_all_gone(all_nodes)


def assert_all_gone(nodes):
    limit = time.monotonic() + LEFT_LIMIT_S
    while left := nodes.processes():
        if time.monotonic() > limit:
            nodes.end_processes()
            raise AssertionError(f"left on the nodes: {left}")
        time.sleep(0.1)


def on_nodes(nodes, *arguments, each=2):
    """`mgpu_run ARGUMENTS` with `each` ranks per node, to its end; (exit code, all that it said)."""
    command = nodes.on_node_a([shutil.which("mpirun"), *nodes.options(each, each), "--timeout", RUN_LIMIT_S, "-np", 2 * each, BIN / "mgpu_run", *arguments])
    done = subprocess.run(command, env=ENVIRONMENT | {"TMPDIR": str(nodes.folder / "nodeA")}, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=RUN_LIMIT_S + 30)
    return done.returncode, done.stdout + done.stderr


@pytest.fixture(scope="module")
def inference(bundle, pictures, tmp_path_factory):
    """The options of a run over the pictures, and what one rank makes of them."""
    common = ("infer", "--model", bundle, "--input", pictures, "--batch-size", 4, "--threads", 1, "--progress", "none", "--output")
    output = tmp_path_factory.mktemp("alone") / "out.h5"
    done = mgpu_run(*common, output, ranks=1)
    assert done.code == 0, done.err
    return common, arrays(output)


def test_nothing_is_left_of_nodes_whose_test_is_killed(all_nodes, tmp_path):
    made = "import sys, time, network_nodes; nodes = network_nodes.NetworkNodes(sys.argv[1]); print(*nodes.all_processes(), flush=True); time.sleep(100)"
    with subprocess.Popen([sys.executable, "-c", made, tmp_path], cwd=pathlib.Path(__file__).parent, stdout=subprocess.PIPE, text=True) as test:
        places = [pathlib.Path("/proc", pid) for pid in test.stdout.readline().split()]
        assert len(places) >= 3 and all(place.exists() for place in places)
        networks = {os.readlink(place / "ns/net") for place in places}
        assert len(networks) == 2 and os.readlink("/proc/self/ns/net") not in networks
        test.kill()
    limit = time.monotonic() + 10
    while any(place.exists() for place in places):
        assert time.monotonic() < limit, "processes of the nodes outlive their test"
        time.sleep(0.05)


def ranks_used(output):
    with h5py.File(output) as file:
        return set(file["items/rank"][:])


def test_nodes_change_no_bit(nodes, inference, tmp_path):
    common, alone = inference
    code, said = on_nodes(nodes, *common, tmp_path / "out.h5", "--schedule", "cyclic")
    assert code == 0, said
    assert arrays(tmp_path / "out.h5") == alone
    with h5py.File(tmp_path / "out.h5") as file:
        assert [bytes(host) for host in file["ranks"]["host"]] == [b"nodeA", b"nodeA", b"nodeB", b"nodeB"]
    assert ranks_used(tmp_path / "out.h5") == {0, 1, 2, 3}


def test_without_a_shared_file_system_files_are_shipped(nodes, inference, pictures, tmp_path):
    common, alone = inference
    nodes.hide(pictures, tmp_path)
    code, said = on_nodes(nodes, *common, tmp_path / "out.h5", "--schedule", "cyclic", "--ship", "bytes")
    assert code == 0, said
    assert arrays(tmp_path / "out.h5") == alone
    assert ranks_used(tmp_path / "out.h5") == {0, 1, 2, 3}


def test_what_one_node_cannot_read_the_other_does(nodes, inference, pictures, tmp_path):
    """Without --ship bytes: nothing fails. (test_blind_ranks.py has what is said of ranks that see no files.)"""
    common, alone = inference
    nodes.hide(pictures, tmp_path)
    code, said = on_nodes(nodes, *common, tmp_path / "out.h5", "--schedule", "cyclic")
    assert code == 0, said
    assert arrays(tmp_path / "out.h5") == alone
    assert ranks_used(tmp_path / "out.h5") <= {0, 1}


def test_a_training_on_two_nodes_has_the_curve_of_one_rank(nodes, data, tmp_path):
    common = ("--model", data["plain"], "--input", data["table"], *TRAINING, "--max-steps", 60, "--output")
    train(*common, tmp_path / "alone.h5", ranks=1)
    code, said = on_nodes(nodes, "train", *common, tmp_path / "nodes.h5")
    assert code == 0, said
    assert_same_curve(tmp_path / "nodes.h5", tmp_path / "alone.h5", 1e-4)
    with h5py.File(tmp_path / "nodes.h5") as file:
        assert {bytes(host) for host in file["ranks"]["host"]} == {b"nodeA", b"nodeB"}


def struck_run(nodes, folder, *options, items, launch=None, mpi=()):
    """Two ranks on each node and workers without a network. Item times of 2 ms: all four take half the seconds of 1,000 items."""
    if launch is not None:
        launch = ("--hosts", "nodeA:2,nodeB:2", "--mpi-args", f"--prtemca plm_ssh_agent {nodes.shell}", *launch)
    return Run(folder, *options, ranks=4, items=items, item_s=0.002, launch=launch, mpi=(*mpi, *nodes.options(2, 2)), place=nodes.on_node_a)


def test_a_short_interruption_costs_nothing(nodes, tmp_path):
    with struck_run(nodes, tmp_path, items=6000) as run:
        run.wait_for_work()
        nodes.set_link("down")
        time.sleep(3)
        nodes.set_link("up")
        assert run.wait() == 0, run.text
        assert "out of the run" not in run.text, run.text
        run.check_complete()
    assert ranks_used(run.output) == {0, 1, 2, 3}


def test_a_pulled_link_costs_the_other_node_only(nodes, tmp_path):
    """Its ranks are given up after --rank-timeout, and leave by themselves. mpirun knows nothing of it and would wait for them: launch ends it."""
    with struck_run(nodes, tmp_path, "--rank-timeout", "4", items=8000, launch=("--linger", "2")) as run:
        run.wait_for_work()
        time.sleep(2)  # all ranks know --rank-timeout by now
        nodes.set_link("down")
        assert run.process.wait(STEP_LIMIT_S) == 0
        nodes.set_link("up")
        assert run.wait() == 0, run.text
        for rank in (2, 3):
            assert f"rank {rank} on nodeB is out of the run: nothing heard from it" in run.text, run.text
        assert "mpirun still runs" in run.text and "starting it again" not in run.text, run.text
        run.check_complete()
    assert json.loads((tmp_path / "out.h5.status.json").read_text())["exit_code"] == 0


def test_an_mpirun_that_notices_ends_the_run_and_loses_nothing(nodes, tmp_path):
    """Its message names the node; its exit code says nothing (0 at times), and it leaves rank 0 no time for a last word."""
    with struck_run(nodes, tmp_path, items=40000, mpi=KEEPALIVE) as run:
        run.wait_for_work()
        time.sleep(1)
        nodes.set_link("down")
        run.process.wait(STEP_LIMIT_S)
        nodes.set_link("up")
        run.wait()
        assert "lost communication with a remote daemon" in run.text and "on node nodeB" in run.text, run.text
        assert not run.output.exists() or not h5py.File(run.output).attrs["complete"]
    with Run(tmp_path, "--resume", items=40000, item_s=0, ranks=4, mpi=nodes.options(2, 2), place=nodes.on_node_a) as again:
        assert again.wait() == 0, again.text
        assert "more were done by earlier runs" in again.text, again.text
        again.check_complete()


def test_a_training_begins_again_when_the_link_is_up(nodes, data, tmp_path):
    """Its ranks need each other: it ends with what to type, and `launch` does that. The curve is that of the undisturbed run."""
    common = ("--model", data["plain"], "--input", data["table"], *TRAINING, "--max-steps", 400, "--checkpoint-every", 20, "--output")
    command = nodes.on_node_a([BIN / "mgpu_run", "launch", "-np", 2, "--hosts", "nodeA:1,nodeB:1", "--linger", 2, "--mpi-args", f"--prtemca plm_ssh_agent {nodes.shell}", "--", "train",
                               *common, tmp_path / "out.h5", "--rank-timeout", 4])
    with open(tmp_path / "said", "w+") as said:
        run = subprocess.Popen(list(map(str, command)), env=ENVIRONMENT | {"TMPDIR": str(nodes.folder / "nodeA")}, stdin=subprocess.DEVNULL, stdout=said, stderr=subprocess.STDOUT)

        def text():
            return (tmp_path / "said").read_text()

        def wait_until(happened):
            limit = time.monotonic() + STEP_LIMIT_S
            while not happened():
                assert run.poll() is None and time.monotonic() < limit, text()
                time.sleep(0.02)
        try:
            wait_until(lambda: list(tmp_path.rglob("checkpoint.json")))
            nodes.set_link("down")
            wait_until(lambda: "starting it again" in text())
            nodes.set_link("up")
            code = run.wait(STEP_LIMIT_S)
        finally:
            if run.poll() is None:
                nodes.end_processes()
    assert code == 0, text()
    assert "rank 1 on nodeB" in text() and "starting it again with --resume (1 of 3 restarts)" in text(), text()
    code, said = on_nodes(nodes, "train", *common, tmp_path / "undisturbed.h5", each=1)
    assert code == 0, said
    assert_same_curve(tmp_path / "out.h5", tmp_path / "undisturbed.h5", 0)

"""Agents that are killed or stopped: the others go on, or leave in time; nothing that was done is lost, and no process is left."""

import os
import pathlib
import signal
import subprocess
import time

import numpy as np
import pytest
from conftest import BIN, ENVIRONMENT
from struck import LEAVE_LIMIT_S, Run, agents_of, resume
from training import history, train

SHORT = ("--rank-timeout", "4")


@pytest.mark.parametrize("ranks", [2, 4])
def test_a_killed_agent_costs_its_rank_only(ranks, tmp_path):
    with Run(tmp_path, ranks=ranks).wait_for_work() as run:
        run.strike(1, signal.SIGKILL)
        assert run.wait() == 0, run.text
        assert "rank 1 on" in run.text and "its agent died" in run.text
        run.check_complete()


def test_all_but_rank_0_may_be_killed(tmp_path):
    with Run(tmp_path, ranks=4).wait_for_work() as run:
        for rank in (3, 1, 2):
            run.strike(rank, signal.SIGKILL)
        assert run.wait() == 0, run.text
        run.check_complete()


def test_a_stopped_agent_costs_its_rank_only(tmp_path):
    """And does not keep mpirun waiting."""
    with Run(tmp_path, *SHORT, ranks=3, items=20000).wait_for_work() as run:
        run.strike(2, signal.SIGSTOP)
        assert run.wait() == 0, run.text
        assert "nothing heard from it" in run.text
        run.check_complete()


@pytest.mark.parametrize("ranks", [2, 4])
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_without_rank_0_the_others_leave(number, ranks, tmp_path):
    with Run(tmp_path, *SHORT, ranks=ranks, items=40000).wait_for_work() as run:
        time.sleep(1.5)  # the others know --rank-timeout by now
        run.strike(0, number)
        begin = time.time()
        assert run.wait() == 75, run.text
        assert time.time() - begin < LEAVE_LIMIT_S
        resume(run)


@pytest.mark.parametrize("mpi", [("--with-ft", "ulfm"), ()])
def test_without_mpirun_all_leave(mpi, tmp_path):
    with Run(tmp_path, items=40000, mpi=mpi).wait_for_work() as run:
        run.strike("launcher", signal.SIGKILL)
        assert run.wait() == -signal.SIGKILL
        resume(run)


def test_a_plain_mpirun_ends_the_job_and_loses_nothing(tmp_path):
    """Without fault tolerance mpirun itself ends the others."""
    with Run(tmp_path, items=40000, mpi=()).wait_for_work() as run:
        run.strike(1, signal.SIGKILL)
        assert run.wait() != 0
        resume(run)


def test_a_training_goes_on_without_a_killed_agent(data, tmp_path):
    """From the last checkpoint, at the same global batch: the curve of a run that nobody disturbed."""
    common = ["--model", data["plain"], "--input", data["table"], "--threads", 1, "--global-batch", 32, "--batch-size", 16, "--lr", "0.005", "--epochs", 100, "--max-steps", 300,
              "--checkpoint-every", 25, "--seed", 3]
    output = tmp_path / "out.h5"
    with open(tmp_path / "text", "w+") as text:
        run = subprocess.Popen(list(map(str, ["mpirun", "--with-ft", "ulfm", "--oversubscribe", "--timeout", 100, "-np", 3, BIN / "mgpu_run", "train", *common, "--min-ranks", 2, "--output",
                                              output])), env=ENVIRONMENT, stdout=text, stderr=subprocess.STDOUT)
        try:
            limit = time.time() + 60
            while run.poll() is None and time.time() < limit and not list(tmp_path.rglob("checkpoint.json")):
                time.sleep(0.01)
            assert run.poll() is None, "over before an agent could be killed"
            os.kill(agents_of(output)[2], signal.SIGKILL)
            code = run.wait(timeout=100)
        finally:
            run.kill()
        text.seek(0)
        said = text.read()
    assert code == 0, said
    assert "its agent died; all workers restart" in said and "2 rank(s) continue, the global batch of 32 stays" in said, said
    train(*common, "--output", tmp_path / "well.h5", ranks=2)
    np.testing.assert_allclose(history(output)[:100], history(tmp_path / "well.h5")[:100], rtol=1e-4)  # later the rounding of 3 ranks and 2 shows
    assert len(history(output)) == 300


@pytest.fixture(scope="module")
def failing_mpi(tmp_path_factory):
    library = tmp_path_factory.mktemp("failing_mpi") / "failing_mpi.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", library, pathlib.Path(__file__).parent / "failing_mpi.c", "-ldl"], check=True)
    return library


@pytest.mark.parametrize("ranks, rank, call, at", [(2, 0, "MPI_Isend", 40), (2, 0, "MPI_Improbe", 5000), (4, 0, "MPI_Isend", 80)])
def test_an_mpi_error_on_rank_0_stops_the_run(ranks, rank, call, at, failing_mpi, tmp_path):
    """It is no fault of the job: 75, so that --resume and launch go on."""
    with Run(tmp_path, *SHORT, ranks=ranks, items=40000, LD_PRELOAD=failing_mpi, MPI_FAULT_RANK=rank, MPI_FAULT_CALL=call, MPI_FAULT_AT=at) as run:
        assert run.wait() == 75, run.text
        assert call in run.text, run.text
        resume(run)


@pytest.mark.parametrize("call, at", [("MPI_Isend", 40), ("MPI_Improbe", 5000)])
def test_an_mpi_error_on_another_rank_does_so_too(call, at, failing_mpi, tmp_path):
    with Run(tmp_path, *SHORT, ranks=2, items=40000, LD_PRELOAD=failing_mpi, MPI_FAULT_RANK=1, MPI_FAULT_CALL=call, MPI_FAULT_AT=at) as run:
        assert run.wait() == 75, run.text
        assert f"error: rank 1 on {os.uname().nodename}: {call}" in run.text and "--resume continues" in run.text, run.text
        resume(run)

"""Agents that are killed or stopped: the others go on, or leave in time; nothing that was done is lost, and no process is left."""

import signal
import time

import pytest
from struck import LEAVE_LIMIT_S, Run, resume

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

"""INT, TERM, USR1, USR2 to mpirun or to any rank: an end in good order with exit code 75, and the rest by --resume."""

import json
import signal
import time

import pytest
from struck import Run, resume

NUMBERS = [signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2]


@pytest.mark.parametrize("mpi", [("--with-ft", "ulfm"), ()])
@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize("target", [0, 1])
def test_to_one_rank(target, number, mpi, tmp_path):
    with Run(tmp_path, items=40000, mpi=mpi).wait_for_work() as run:
        run.strike(target, number)
        assert run.wait() == 75, run.text
        assert f"signal {number.name[3:]} received" in run.text
        assert json.loads((tmp_path / "out.h5.summary.json").read_text())["exit_code"] == 75
        resume(run)


@pytest.mark.parametrize("number", NUMBERS)
def test_to_mpirun(number, tmp_path):
    """After INT and TERM mpirun ends its ranks at once and has an exit code of its own: the status tells ours."""
    with Run(tmp_path, items=40000).wait_for_work() as run:
        run.strike("launcher", number)
        code = run.wait()
        if number in (signal.SIGUSR1, signal.SIGUSR2):
            assert code == 75, run.text
        else:
            assert code != 0
            assert "--resume continues" in run.text, "nobody was told what is kept"
        status = json.loads((tmp_path / "out.h5.status.json").read_text())
        assert status["state"] == "running" or status["exit_code"] == 75
        resume(run)


def test_what_does_not_end_in_time_is_dropped(tmp_path):
    """Rank 1's worker hangs in its third batch; --grace is what it gets."""
    with Run(tmp_path, "--grace", "2", items=40000, FAKE_HANG="1:3").wait_for_work() as run:
        begin = time.time()
        run.strike(0, signal.SIGUSR1)
        assert run.wait() == 75, run.text
        assert 1.5 < time.time() - begin < 8
        resume(run)


@pytest.mark.parametrize("target", [0, 1])
def test_the_second_interrupt_stops_at_once(target, tmp_path):
    with Run(tmp_path, "--grace", "60", items=40000, FAKE_HANG="1:3").wait_for_work() as run:
        begin = time.time()
        run.strike(target, signal.SIGINT)
        time.sleep(0.5)
        assert run.process.poll() is None, "it did not wait for the batch in hand"
        run.strike(target, signal.SIGINT)
        assert run.wait() == 75, run.text
        assert time.time() - begin < 10
        assert not list(tmp_path.glob("mgpu_worker.*")), "temporary files stay behind"
        resume(run)

"""mgpu_run launch: the job's exit code whatever mpirun's is, and another start when the job was lost."""

import json
import os
import pathlib
import shutil
import signal
import subprocess
import time

import pytest
from struck import LEAVE_LIMIT_S, Run, resume
from test_train_nodes import remote_shell  # noqa: F401  (a fixture)

from conftest import BIN, ENVIRONMENT


def launch(*arguments):
    return subprocess.run([BIN / "mgpu_run", "launch", *map(str, arguments)], capture_output=True, text=True, timeout=60, env=ENVIRONMENT)


def stand_in(folder, body):
    """An mpirun of ours around the real one."""
    path = folder / "mpirun"
    path.write_text(f"#!/bin/sh\nreal={shutil.which('mpirun')}\n[ \"$1\" = --version ] && exec $real --version\n{body}")
    path.chmod(0o755)
    return path


def test_gives_the_exit_code_of_the_job(tmp_path):
    with Run(tmp_path, launch=()) as run:
        assert run.wait() == 0, run.text
        run.check_complete()
    with Run(tmp_path, launch=()) as run:
        assert run.wait() == 2 and "--resume continues" in run.text and "restart" not in run.text, run.text
    with Run(tmp_path, "--resume", launch=()) as run:
        assert run.wait() == 0 and "complete already" in run.text, run.text


def test_bad_usage_is_said_before_mpirun_starts():
    for arguments, text in (((), "-np N"), (("-np", 2, "--", "infer", "--bacth-size", 3), "did you mean --batch-size"), (("-np", 2, "--", "fly"), "no job 'fly'"),
                            (("-np", 2, "--mpirun", "/bin/echo", "--", "infer"), "Open MPI")):
        done = launch(*arguments)
        assert done.returncode == 2 and text in done.stderr and len(done.stderr.splitlines()) == 1, done.stderr


def test_help_shows_examples():
    done = launch("--help")
    assert done.returncode == 0 and "mgpu_run launch -np 8 -- infer" in done.stdout


def test_an_mpirun_that_lingers_is_ended(tmp_path):
    mpirun = stand_in(tmp_path, 'trap "" TERM; $real "$@"; while :; do sleep 1; done')
    with Run(tmp_path, items=400, launch=("--mpirun", mpirun, "--linger", "1")) as run:
        assert run.wait() == 0, run.text
        assert "mpirun still runs" in run.text
        run.check_complete()


def test_an_mpirun_that_lies_is_not_believed(tmp_path):
    mpirun = stand_in(tmp_path, '$real "$@"; exit 0')
    with Run(tmp_path, items=8000, launch=("--mpirun", mpirun, "--max-restarts", "0")) as run:
        run.wait_for_work().strike(0, signal.SIGKILL)
        assert run.wait() == 75, run.text
    mpirun = stand_in(tmp_path, '$real "$@"; exit 1')
    with Run(tmp_path, "--resume", items=8000, item_s=0, launch=("--mpirun", mpirun)) as run:
        assert run.wait() == 0, run.text


@pytest.mark.parametrize("target", [0, "mpirun"])
@pytest.mark.parametrize("ranks", [2, 4])
def test_a_lost_job_is_started_again(target, ranks, tmp_path):
    with Run(tmp_path, ranks=ranks, items=8000, launch=()).wait_for_work() as run:
        run.strike(target, signal.SIGKILL)
        assert run.wait() == 0, run.text
        assert "starting it again with --resume (1 of 3 restarts)" in run.text
        run.check_complete()


def test_what_is_to_be_overwritten_is_not_taken_for_the_result(tmp_path):
    with Run(tmp_path, items=400) as run:
        assert run.wait() == 0, run.text
    before = (tmp_path / "out.h5").stat().st_ino
    with Run(tmp_path, "--overwrite", items=400, item_s=0.005, launch=()) as run:
        run.wait_for_work().strike(0, signal.SIGKILL)
        assert run.wait() == 0 and "starting it again with --resume" in run.text, run.text
        run.check_complete()
    assert (tmp_path / "out.h5").stat().st_ino != before


def test_a_lost_rank_needs_no_new_start(tmp_path):
    with Run(tmp_path, launch=()).wait_for_work() as run:
        run.strike(1, signal.SIGKILL)
        assert run.wait() == 0, run.text
        assert "starting it again" not in run.text
        run.check_complete()


def test_a_stopped_rank_0_is_noticed(tmp_path):
    """Rank 0 alone: nobody else could."""
    with Run(tmp_path, ranks=1, items=8000, launch=("--silent", "8")).wait_for_work() as run:
        time.sleep(2)
        run.strike(0, signal.SIGSTOP)
        assert run.wait() == 0, run.text
        assert "no sign of life of rank 0" in run.text
        run.check_complete()


def test_an_mpirun_that_starts_nothing_is_ended(tmp_path):
    """As with a host that does not answer; the next start finds it well."""
    flag = tmp_path / "started"
    mpirun = stand_in(tmp_path, f'[ -e {flag} ] && exec $real "$@"; touch {flag}; exec sleep 1000')
    begin = time.time()
    with Run(tmp_path, items=400, launch=("--mpirun", mpirun, "--silent", "3")) as run:
        assert run.wait() == 0, run.text
        assert "no rank has said a word for 3 s" in run.text and "starting it again" in run.text
        run.check_complete()
    assert time.time() - begin < 30


def test_a_long_reading_is_no_silence(tmp_path):
    """The list comes from a pipe, whose writer takes longer than --silent."""
    os.mkfifo(tmp_path / "list.txt")
    (tmp_path / "net.pt").write_text("")
    command = [BIN / "mgpu_run", "launch", "-np", "2", "--silent", "8", "--", "infer", "--model", tmp_path / "net.pt", "--image-size", "8", "--input", tmp_path / "list.txt",
               "--output", tmp_path / "out.h5"]
    with open(tmp_path / "log", "w+") as log:
        run = subprocess.Popen(list(map(str, command)), env={**ENVIRONMENT, "MGPU_WORKER": os.environ["MGPU_FAKE_WORKER"]}, stdout=log, stderr=subprocess.STDOUT)
        with open(tmp_path / "list.txt", "w") as pipe:
            time.sleep(14)
            pipe.write("a.png\nb.png\n")
        code = run.wait(60)
        log.seek(0)
        assert code == 0, log.read()


def test_gives_up_after_max_restarts(tmp_path):
    with Run(tmp_path, items=40000, launch=("--max-restarts", "1")) as run:
        for _ in range(2):
            run.wait_for_work()
            before = run.ranks()[0]
            run.strike(0, signal.SIGKILL)
            limit = time.time() + 30
            while run.process.poll() is None and run.ranks().get(0, before) == before and time.time() < limit:
                time.sleep(0.05)
        assert run.wait() == 75, run.text
        resume(run)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2])
def test_a_signal_stops_the_job_in_good_order(number, tmp_path):
    """TERM and INT, too, which mpirun would answer by killing."""
    with Run(tmp_path, items=40000, launch=()).wait_for_work() as run:
        run.strike("launcher", number)
        assert run.wait() == 75, run.text
        status = json.loads((tmp_path / "out.h5.status.json").read_text())
        assert status["state"] == "done" and status["exit_code"] == 75 and "batches in hand are finished first (20 s" in run.text
        resume(run)


def test_its_own_death_leaves_nobody_behind(tmp_path):
    with Run(tmp_path, items=40000, launch=()).wait_for_work() as run:
        run.strike("launcher", signal.SIGKILL)
        run.wait()
        resume(run)


def test_a_lost_node_is_survived(remote_shell, tmp_path):  # noqa: F811
    """The daemon of an emulated node is killed: mpirun ends the job, with an exit code of 0 at times."""
    with Run(tmp_path, ranks=4, items=8000, launch=("--hosts", "nodeA:2,nodeB:2", "--mpi-args", f"--prtemca plm_ssh_agent {remote_shell}")).wait_for_work() as run:
        time.sleep(0.5)
        daemon = parent_of(run.ranks()[3])
        assert pathlib.Path(f"/proc/{daemon}/comm").read_text().strip() == "prted"
        os.kill(daemon, signal.SIGKILL)
        begin = time.time()
        assert run.wait() == 0, run.text
        assert time.time() - begin < 2 * LEAVE_LIMIT_S and "starting it again with --resume" in run.text, run.text
        run.check_complete()


def parent_of(pid):
    with open(f"/proc/{pid}/stat") as file:
        return int(file.read().rsplit(")", 1)[1].split()[1])

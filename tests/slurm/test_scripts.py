"""What the batch scripts find, pass on and refuse; the epilog; plain srun."""

import ctypes
import mmap
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import time

import pytest
from cluster import ROOT, SCRIPTS
from jobs import SlowJob

from conftest import BIN

WORKER = {"MGPU_WORKER": os.environ["MGPU_FAKE_WORKER"]}


def stand_in(folder, name, body):
    path = folder / name
    path.write_text(f"#!/bin/bash\n{body}\n")
    path.chmod(0o755)
    return path


def test_srun_is_told_the_cores_of_a_task(cluster, tmp_path):
    """It does not take them from sbatch. Masks are not looked at: virtual nodes have no cores of their own."""
    job = SlowJob(cluster, tmp_path, options=("-N2", "-n2", "-c2"), items=8, SLURM_DEBUG="1")
    assert job.wait_ended() == ("COMPLETED", 0), job.text()
    assert re.search(r"cpus-per-task +: 2\n", job.text()), job.text()


def test_overwrite_is_for_the_first_start(cluster, tmp_path):
    first = SlowJob(cluster, tmp_path, items=8)
    assert first.wait_ended() == ("COMPLETED", 0), first.text()
    job = SlowJob(cluster, tmp_path, "--overwrite", items=4000).wait_for_work()
    job.hurry()
    job.signal()
    assert job.wait_ended() == ("COMPLETED", 0), job.text()
    assert cluster.show(job.id)["Restarts"] == "1" and "more were done by earlier runs" in job.text(), job.text()
    job.check_complete()


def test_the_scripts_find_their_folder_and_the_build_of_their_clone(cluster, tmp_path):
    """A clone whose path has a space; nothing in PATH, nothing in site.env."""
    clone = tmp_path / "a clone"
    shutil.copytree(SCRIPTS, clone / "slurm")
    (clone / "build/dev").mkdir(parents=True)
    (clone / "build/dev/bin").symlink_to(BIN)
    (tmp_path / "items.csv").write_text("path\na.png\n")
    (tmp_path / "net.pt").write_text("")
    arguments = ["--model", tmp_path / "net.pt", "--image-size", "8", "--input", tmp_path / "items.csv", "--output", tmp_path / "out.h5"]
    job = cluster.run("sbatch", "--parsable", "--output", tmp_path / "log", f"--chdir={tmp_path}", clone / "slurm/infer.sbatch", *arguments, MGPU_RUN="", **WORKER).stdout.strip()
    assert cluster.wait_ended(job) == ("COMPLETED", 0), cluster.text(job)
    # From standard input there is no original; MGPU_SLURM names the folder.
    text = (clone / "slurm/infer.sbatch").read_text()
    for variables, end in (({"MGPU_SLURM": str(clone / "slurm")}, ("COMPLETED", 0)), ({}, ("FAILED", 2))):
        job = subprocess.run(["sbatch", "--parsable", "--output", str(tmp_path / "log2"), f"--chdir={tmp_path}", "/dev/stdin", *map(str, arguments)], input=text, text=True,
                             cwd=tmp_path, capture_output=True, env={**cluster.environment, **WORKER, "MGPU_RUN": "", **variables}).stdout.strip()
        assert cluster.wait_ended(job) == end, cluster.text(job)
    assert "export MGPU_SLURM=" in cluster.text(job)


@pytest.mark.parametrize(("environment", "more", "told"), [
    ({"SLURM_GPUS_PER_TASK": "1"}, ("--devices", "0,1"), "leave out --devices, or type sbatch --gpus-per-node=N"),
    ({"MGPU_RUN": "/absent/mgpu_run"}, (), "mgpu_run (/absent/mgpu_run) not found: set MGPU_RUN in"),
    ({}, ("--bacth-size", "3"), "did you mean --batch-size"),
    ({}, ("--model", "absent.pt"), "--model absent.pt: no such file or folder"),
])
def test_bad_usage_ends_with_2_and_is_not_requeued(environment, more, told, cluster, tmp_path):
    job = SlowJob(cluster, tmp_path, *more, items=4, **environment)
    assert job.wait_ended() == ("FAILED", 2), job.text()
    assert told in job.text() and cluster.show(job.id)["Restarts"] == "0", job.text()
    assert not list(tmp_path.glob("out.h5*"))


def test_a_slurm_without_pmix_is_told(cluster, tmp_path):
    stand_in(tmp_path, "srun", "echo 'MPI plugin types are...'; echo none")
    job = SlowJob(cluster, tmp_path, items=4, PATH=f"{tmp_path}:{os.environ['PATH']}")
    assert job.wait_ended() == ("FAILED", 2) and "launch.sbatch infer" in job.text(), job.text()


def test_plain_srun_is_refused(cluster, tmp_path):
    """Each of its tasks would be a world of one rank, and all write one file."""
    (tmp_path / "items.csv").write_text("path\na.png\n")
    (tmp_path / "net.pt").write_text("")
    done = cluster.run("srun", "--mpi=none", "-N2", "-n4", BIN / "mgpu_run", "infer", "--model", tmp_path / "net.pt", "--image-size", "8", "--input", tmp_path / "items.csv", "--output",
                       tmp_path / "out.h5", check=False, **WORKER)
    assert done.returncode == 2 and "srun --mpi=pmix" in done.stderr, done.stdout + done.stderr
    assert not list(tmp_path.glob("out.h5*")), "a file was touched"


def test_the_epilog_removes_what_nobody_holds(tmp_path):
    memory = pathlib.Path("/dev/shm") / f"mgpu-test{os.getpid()}-0"
    used = pathlib.Path("/dev/shm") / f"mgpu-test{os.getpid()}-1"
    segments = [pathlib.Path("/dev/shm") / f"sm_segment.host.test{os.getpid()}.{number}" for number in (0, 1)]
    left, held = tmp_path / "mgpu_worker.host.left", tmp_path / "mgpu_worker.host.held"
    elsewhere, other = tmp_path / "unpacked", tmp_path / "other"
    for folder in (left, held, elsewhere, other):
        folder.mkdir()
    (left / f"unpacked.{elsewhere.stat().st_ino}").symlink_to(elsewhere)
    (left / f"other.{other.stat().st_ino + 1}").symlink_to(other)  # its name was another folder's
    open_folder = os.open(held, os.O_RDONLY)
    try:
        memory.write_text("x")
        for path in segments:
            path.write_bytes(bytes(4096))
        with open(segments[0], "r+b") as file:
            assert ctypes.CDLL(None).mmap(None, 4096, mmap.PROT_READ, mmap.MAP_SHARED, file.fileno(), 0) != -1  # stays when the file is closed
        with open(used, "w"):
            done = subprocess.run([SCRIPTS / "epilog.sh"], env={**os.environ, "SLURM_JOB_UID": str(os.getuid()), "MGPU_EPILOG_FOLDER": str(tmp_path)}, timeout=60)
        assert done.returncode == 0
        assert not memory.exists() and used.exists() and not left.exists() and held.exists() and not elsewhere.exists() and other.exists()
        assert segments[0].exists() and not segments[1].exists()
    finally:
        os.close(open_folder)
        for path in (memory, used, *segments):
            path.unlink(missing_ok=True)


def test_nothing_of_a_cluster_survives_a_killed_test(tmp_path):
    """pytest itself is killed, with a job under way: neither daemons nor the job's processes stay."""
    starter = tmp_path / "starter.py"
    starter.write_text(f"""import sys, time
sys.path.insert(0, {str(ROOT / 'tests/slurm')!r})
from cluster import Cluster
with Cluster() as cluster:
    cluster.run("sbatch", "-N2", "--wrap", "srun sleep 1234.5", "--output", {str(tmp_path / 'log')!r})
    cluster.wait_for(lambda: "1" in cluster.run("squeue", "-h", "-s", "-o", "%i").stdout, 20)
    print(cluster.folder, flush=True)
    time.sleep(100)
""")
    with subprocess.Popen([sys.executable, starter], stdout=subprocess.PIPE, text=True) as process:
        folder = pathlib.Path(process.stdout.readline().strip())
        assert folder.is_dir() and processes_of(folder)
        process.send_signal(signal.SIGKILL)
        process.wait()
    end = time.monotonic() + 30
    while (left := processes_of(folder)) or folder.exists():
        assert time.monotonic() < end, left
        time.sleep(0.1)


def processes_of(folder):
    """Command lines of the processes that know the cluster's folder."""
    found = []
    for process in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            if os.fsencode(str(folder)) in (process / "environ").read_bytes() + (process / "cmdline").read_bytes():
                found.append((process / "cmdline").read_bytes())
        except OSError:
            pass
    return found

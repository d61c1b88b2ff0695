"""What a parent process may leave: closed streams, full ones, ignored signals. It costs output at most, never a result."""

import os
import signal
import subprocess

import pytest

from conftest import BIN, ENVIRONMENT, arrays, mgpu_run


def infer(bundle, pictures, output):
    return [str(BIN / "mgpu_run"), "infer", "--model", str(bundle), "--input", str(pictures), "--output", str(output), "--batch-size", "4", "--progress", "plain"]


@pytest.fixture(scope="module")
def undisturbed(bundle, pictures, tmp_path_factory):
    output = tmp_path_factory.mktemp("undisturbed") / "out.h5"
    assert mgpu_run(*infer(bundle, pictures, output)[1:], ranks=0).code == 0
    return arrays(output)


@pytest.mark.parametrize("streams", ["<&- >&- 2>&-", "<&-", ">&- 2>&-", ">/dev/full 2>/dev/full"])
def test_streams(streams, bundle, pictures, undisturbed, tmp_path):
    output = tmp_path / "out.h5"
    done = subprocess.run(["sh", "-c", f'exec "$@" {streams}', "sh", *infer(bundle, pictures, output)], env=ENVIRONMENT, timeout=120)
    assert done.returncode == 0
    assert arrays(output) == undisturbed


def test_the_reader_of_its_output_goes(bundle, pictures, undisturbed, tmp_path):
    output = tmp_path / "out.h5"
    reads, writes = os.pipe()
    process = subprocess.Popen(infer(bundle, pictures, output), env=ENVIRONMENT, stdout=writes, stderr=writes)
    os.close(writes)
    os.read(reads, 1)
    os.close(reads)
    assert process.wait(timeout=120) == 0
    assert arrays(output) == undisturbed


def test_deaths_are_seen_where_the_parent_ignores_sigchld(bundle, pictures, undisturbed, tmp_path):
    output = tmp_path / "out.h5"
    command = infer(bundle, pictures, output) + ["--fault", "kill:batch=2,times=1"]
    done = subprocess.run(command, env=ENVIRONMENT, timeout=120, preexec_fn=lambda: signal.signal(signal.SIGCHLD, signal.SIG_IGN), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "its worker died" in done.stderr
    assert arrays(output) == undisturbed


def test_an_export_that_cannot_be_written_is_an_error(bundle, pictures, tmp_path):
    output = tmp_path / "out.h5"
    assert mgpu_run(*infer(bundle, pictures, output)[1:], ranks=0).code == 0
    for tool in ("inspect", "export"):
        with open("/dev/full", "w") as full:
            assert subprocess.run([str(BIN / "mgpu_run"), tool, str(output)], env=ENVIRONMENT, stdout=full, timeout=60).returncode == 1

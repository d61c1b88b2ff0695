"""`doctor` says what is wrong with a start, and tasks that MPI has not joined do not start at all."""

import resource

from conftest import mgpu_run


def test_nothing_is_wrong_here(tmp_path):
    done = mgpu_run("doctor", "--output", tmp_path / "out.h5", ranks=2)
    assert done.code == 0, done.out + done.err
    assert "nothing is wrong" in done.out
    assert list(tmp_path.iterdir()) == [], "the token is removed"


def test_a_folder_that_is_not_there_is_a_finding(tmp_path):
    done = mgpu_run("doctor", "--output", tmp_path / "none" / "out.h5", ranks=2)
    assert done.code == 1, done.out + done.err
    assert f"cannot write in {tmp_path}/none: No such file or directory" in done.out
    assert "1 finding" in done.out


def test_too_few_open_files_are_a_finding():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    done = mgpu_run("doctor", ranks=0, limits={resource.RLIMIT_NOFILE: (200, 200)})
    assert done.code == 1, done.out + done.err
    assert "may open 200 files; 1 ranks need 260" in done.out
    assert "ulimit -n 520 before the start" in done.out
    done = mgpu_run("doctor", ranks=0, limits={resource.RLIMIT_NOFILE: (200, hard)})
    assert done.code == 0, "the soft limit is raised to the hard one\n" + done.out


def test_bad_usage_is_said_once():
    done = mgpu_run("doctor", "--outputs", "x", ranks=2)
    assert done.code == 2, done.out + done.err
    assert done.err.count("doctor --help") == 1


def test_tasks_that_srun_started_without_pmix_are_refused(tmp_path, bundle, pictures):
    """Four processes, each of which would be rank 0 of a world of its own and write the same output."""
    for task in ("0", "3"):
        done = mgpu_run("infer", "--model", bundle, "--input", pictures, "--output", tmp_path / "out.h5", ranks=0, SLURM_JOB_ID="17", SLURM_STEP_ID="0",
                        SLURM_STEP_NUM_TASKS="4", SLURM_STEP_NUM_NODES="2", SLURM_PROCID=task)
        assert done.code == 2, done.out + done.err
        assert ("srun --mpi=pmix -N2 -n4" in done.err) == (task == "0"), "one of them says it"
    assert list(tmp_path.iterdir()) == []


def test_a_batch_script_and_a_shell_of_one_task_are_no_error(tmp_path, bundle, pictures):
    for facts in ({"SLURM_NTASKS": "4"}, {"SLURM_STEP_ID": "4294967290", "SLURM_STEP_NUM_TASKS": "1"}):
        done = mgpu_run("infer", "--model", bundle, "--input", pictures / "part0", "--output", tmp_path / "out.h5", "--overwrite", ranks=0, SLURM_JOB_ID="17", SLURM_PROCID="0",
                        SLURM_RESTART_COUNT="2", **facts)
        assert done.code == 0, done.out + done.err
        assert "SLURM job 17, requeued 2 times" in done.out

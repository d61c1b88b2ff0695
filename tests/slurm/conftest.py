"""The batch scripts of slurm/ on a cluster of virtual nodes. What tests/e2e has of models, pictures and comparisons is used here too."""

import importlib.util
import pathlib
import sys

import pytest
from cluster import Cluster, missing_programs

E2E = pathlib.Path(__file__).resolve().parents[1] / "e2e"
sys.path.append(str(E2E))
# Its helpers ask for "conftest", which is this file here: it has the same names.
specification = importlib.util.spec_from_file_location("e2e_conftest", E2E / "conftest.py")
e2e = importlib.util.module_from_spec(specification)
specification.loader.exec_module(e2e)
BIN, ENVIRONMENT, RUN_LIMIT_S, mgpu_run, arrays = e2e.BIN, e2e.ENVIRONMENT, e2e.RUN_LIMIT_S, e2e.mgpu_run, e2e.arrays
photographs, bundle, pictures, data, no_traces_of_killed_runs = e2e.photographs, e2e.bundle, e2e.pictures, e2e.data, e2e.no_traces_of_killed_runs

LEFT_OUT = 77  # CTest shows the suite as skipped


@pytest.fixture(scope="session")
def session_cluster():
    if missing := missing_programs():
        pytest.exit(f"left out: {', '.join(missing)} not found; type ./dev setup, or install slurm-wlm, munge and libpmix-dev", LEFT_OUT)
    with Cluster() as cluster:
        if "pmix" not in (listed := cluster.run("srun", "--mpi=list")).stdout + listed.stderr:
            pytest.exit("left out: this SLURM has no PMIx plugin (srun --mpi=list)", LEFT_OUT)
        yield cluster


@pytest.fixture
def cluster(session_cluster):
    """The cluster with nothing in its queue."""
    yield session_cluster
    session_cluster.cancel_all()

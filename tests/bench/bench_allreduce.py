"""Sums over 2 ranks on one node beside MPI_Allreduce and gloo; over 2 emulated nodes beside MPI_Allreduce over TCP."""

import pathlib
import subprocess

from common import ENVIRONMENT, PYTHON, mpirun, target


def read(text):
    """{what: microseconds}"""
    return {words[0]: float(words[1]) for words in map(str.split, text.splitlines()) if len(words) == 2}


def report(what, ours, theirs, peer, wanted):
    print(f"{what:<38} ours {ours:>10,.1f} µs   {peer} {theirs:>10,.1f} µs   faster by {theirs / ours:6.2f}  (wanted {wanted})", flush=True)


def main():
    program = target("bench_allreduce")
    node = read(mpirun(2, program, "node"))
    peer = pathlib.Path(__file__).with_name("allreduce_peer.py")
    node |= read(subprocess.run([PYTHON, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", peer], env=ENVIRONMENT, check=True,
                                capture_output=True, text=True, timeout=300).stdout)
    # Ours is a whole step: sums, an SGD update, new parameters everywhere.
    report("one node, 25 MB step beside a sum", node["ours_25MB"], node["mpi_25MB"], "MPI_Allreduce", 3)
    report("one node, 25 MB step beside a sum", node["ours_25MB"], node["gloo_25MB"], "gloo", 12)
    report("one node, 4 KB", node["ours_4KB"], node["mpi_4KB"], "MPI_Allreduce", "-")
    report("one node, 4 KB", node["ours_4KB"], node["gloo_4KB"], "gloo", "-")
    nodes = read(mpirun(2, program, "nodes"))
    report("two nodes, 25 MB sum", nodes["ours_without_update_25MB"], nodes["mpi_25MB"], "MPI_Allreduce over TCP", 0.9)
    report("two nodes, 25 MB step beside a sum", nodes["ours_25MB"], nodes["mpi_25MB"], "MPI_Allreduce over TCP", "-")
    report("two nodes, 4 KB", nodes["ours_4KB"], nodes["mpi_4KB"], "MPI_Allreduce over TCP", "-")

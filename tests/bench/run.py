"""Runs the benchmarks: `./dev bench [NAME…]`. Each prints both sides of one run and the ratio; none is a test.

  decode     pictures and log-mel on one core, beside Pillow + torchvision, decode_jpeg + v2 and faster-whisper
  tokenizer  encoding with Qwen's vocabulary on one thread, beside Hugging Face's tokenizers
  nms        non-maximum suppression beside torchvision's
  worker     forward pass and empty batches through one worker, beside Python
  journal    finished rows on the disk, beside SQLite in WAL mode (needs libsqlite3-dev)
  million    a million items through 8 ranks: speed of the first and the last tenth, memory of rank 0
  write      fixed rows in bulk beside a raw write; 4 KB rows one by one beside h5py
  dispatch   empty items beside mpi4py.futures; a million items; heavy-tailed sleeping items beside the lower bound
  infer      ResNet-18 and a tiny network on 2 ranks, beside our own forward-only rate and DataLoader scripts
  allreduce  gradients of 2 ranks summed and applied, on one node and over two, beside MPI_Allreduce and gloo
  start      launch to first result beside torchrun; N ranks opening a model beside one
  train      a training step on 2 ranks, beside torchrun + DDP/gloo, our own without synchronisation, and plain PyTorch
  isolate    from a worker's death to the next one at work; with MGPU_BENCH_BEFORE=BUILD the cost of isolation beside that build
  idle       what 8 idle ranks cost
"""

import os
import pathlib
import subprocess
import sys

import bench_allreduce
import bench_dispatch
import bench_idle
import bench_infer
import bench_isolate
import bench_million
import bench_nms
import bench_start
import bench_tokenizer
import bench_train

ROOT = pathlib.Path(__file__).resolve().parents[2]


def program(name):
    """Builds a bench program (they are not part of a normal build) and runs it."""
    subprocess.run(["cmake", "--build", str(ROOT / "build/dev"), "--target", name], check=True, stdout=subprocess.DEVNULL)
    subprocess.run([next((ROOT / "build/dev").rglob(name))], check=True)


BENCHES = {
    "decode": lambda: program("bench_decode"),
    "tokenizer": bench_tokenizer.main,
    "nms": bench_nms.main,
    "worker": lambda: program("bench_worker"),
    "write": lambda: program("bench_write"),
    "journal": lambda: program("bench_journal"),
    "dispatch": bench_dispatch.main,
    "million": bench_million.main,
    "infer": bench_infer.main,
    "allreduce": bench_allreduce.main,
    "start": bench_start.main,
    "train": bench_train.main,
    "isolate": bench_isolate.main,
    "idle": bench_idle.main,
}


def main(names):
    unknown = set(names) - set(BENCHES)
    if unknown:
        sys.exit(f"there is no bench {', '.join(sorted(unknown))}; there are {', '.join(BENCHES)}")
    for name in names or BENCHES:
        print(f"\n== {name}   (load average {os.getloadavg()[0]:.2f})", flush=True)
        BENCHES[name]()


if __name__ == "__main__":
    main(sys.argv[1:])

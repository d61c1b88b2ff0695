"""mpi4py.futures: empty tasks a second at a chunk size. Run as `mpirun -np 2 python -m mpi4py.futures futures_peer.py CHUNK ITEMS`."""

import sys
import time

from mpi4py.futures import MPIPoolExecutor


def nothing(item):
    return item


if __name__ == "__main__":
    chunk, items = int(sys.argv[1]), int(sys.argv[2])
    with MPIPoolExecutor(max_workers=1) as pool:
        list(pool.map(nothing, range(100), chunksize=chunk))
        begin = time.perf_counter()
        for _ in pool.map(nothing, range(items), chunksize=chunk):
            pass
        print(items / (time.perf_counter() - begin))

"""The peer of bench_write: h5py, one row a time, into one preallocated dataset. Prints seconds a row: by the clock and of the processor.

write_peers.py FILE ROWS ROW_FLOATS FLUSH_EVERY_MS   (0: flush once, at the end)
"""
import os
import sys
import time

import h5py
import numpy as np


def main(path, rows, width, flush_every_ms):
    row = np.random.default_rng(0).standard_normal(width).astype(np.float32)
    cpu_began = time.process_time()
    began = flushed = time.perf_counter()
    with h5py.File(path, "w") as file:
        data = file.create_dataset("logits", (rows, width), np.float32)
        for i in range(rows):
            data[i] = row
            if flush_every_ms and time.perf_counter() - flushed > flush_every_ms / 1000:
                file.flush()
                flushed = time.perf_counter()
    fd = os.open(path, os.O_RDWR)
    os.fsync(fd)
    os.close(fd)
    print((time.perf_counter() - began) / rows, (time.process_time() - cpu_began) / rows)


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:5]))

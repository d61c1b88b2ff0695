"""A million items through 8 ranks, each its own batch, every one recorded in the journal: is the end as fast as the beginning, and does rank 0
grow? Workers that do nothing: rank 0 is all there is to wait for."""

import pathlib
import subprocess
import threading
import time

from common import ENVIRONMENT, scratch, target

ITEMS, RANKS, EVERY_S = 1_000_000, 8, 0.005
OPEN_S = 15  # by when all ranks are there and open


def rank0(output):
    """Folder in /proc of rank 0, which has the journal open; None before it does."""
    for folder in pathlib.Path("/proc").iterdir():
        try:
            if folder.name.isdigit() and any(str(link.readlink()) == f"{output}.journal" for link in (folder / "fd").iterdir()):
                return folder
        except OSError:
            continue
    return None


def watch(output, samples, stop):
    """(seconds, bytes of the journal, resident kB of rank 0), again and again."""
    process = None
    journal = pathlib.Path(f"{output}.journal")
    while not stop.is_set():
        try:
            process = process or rank0(output)
            if process:
                memory = next(int(line.split()[1]) for line in (process / "status").read_text().splitlines() if line.startswith("VmRSS"))
                samples.append((time.monotonic(), journal.stat().st_size, memory))
        except (OSError, StopIteration):
            process = None
        time.sleep(EVERY_S)


def at(samples, share, begin, end):
    """When the journal had grown by this share, and the memory then."""
    wanted = begin + share * (end - begin)
    return next((seconds, memory) for seconds, size, memory in samples if size >= wanted)


def main():
    program = target("bench_dispatch")
    with scratch() as folder:
        table, output = pathlib.Path(folder) / "million.csv", pathlib.Path(folder) / "o.h5"
        table.write_text("path\n" + "".join(f"/data/set/images/img_{index:08d}.jpg\n" for index in range(ITEMS)))
        samples, stop = [], threading.Event()
        thread = threading.Thread(target=watch, args=(output, samples, stop))
        thread.start()
        try:
            subprocess.run(["mpirun", "--oversubscribe", "-np", str(RANKS), str(program), str(table), str(output), "1", str(int(time.time()) + OPEN_S)], env=ENVIRONMENT, check=True, capture_output=True,
                           timeout=900)
        finally:
            stop.set()
            thread.join()
        # A batch's frame is 128 bytes long; what stands before and behind them does not count.
        begin = next(size for _, size, _ in samples if size > 0)
        end = begin + 128 * ITEMS
        # From the first hundredth on: before it the ranks come in one after the other.
        moments = [at(samples, share, begin, end) for share in (0.01, 0.11, 0.895, 0.995)]
        first, last = (0.1 * ITEMS / (after[0] - before[0]) for before, after in (moments[:2], moments[2:]))
        memory = [memory for seconds, _, memory in samples if moments[1][0] <= seconds <= moments[3][0]]
        print(f"{ITEMS} items through {RANKS} ranks in {moments[3][0] - moments[0][0]:.1f} s: first tenth {first:,.0f} items/s, last {last:,.0f}: ratio {last / first:.2f} "
              f"(wanted 0.95); rank 0 from a tenth on {min(memory) / 1000:.0f} to {max(memory) / 1000:.0f} MB, {100 * (max(memory) / min(memory) - 1):.1f} % (wanted within ± 5)")

"""What idle ranks cost: 8 ranks of which 7 have nothing to do while one item sleeps."""

import os
import pathlib
import subprocess
import time

from common import ENVIRONMENT, scratch, target

RANKS = 8
SLEEP_S = 8.0


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def children(pid):
    table = subprocess.run(["ps", "-eo", "pid,ppid,comm"], capture_output=True, text=True, check=True).stdout.splitlines()[1:]
    rows = [line.split(None, 2) for line in table]
    return [int(child) for child, parent, name in rows if int(parent) == pid and name.startswith("bench_dispatch")]


def main():
    program = target("bench_dispatch")
    with scratch() as folder:
        table = pathlib.Path(folder) / "one.csv"
        table.write_text(f"path,sleep\nx,{SLEEP_S}\n")
        process = subprocess.Popen(["mpirun", "--oversubscribe", "-np", str(RANKS), program, table, pathlib.Path(folder) / "o.h5", "1"], env=ENVIRONMENT,
                                   stdout=subprocess.DEVNULL)
        time.sleep(2)
        ranks = children(process.pid)
        before, begin = {pid: cpu_seconds(pid) for pid in ranks}, time.time()
        time.sleep(4)
        span = time.time() - begin
        shares = sorted(100 * (cpu_seconds(pid) - before[pid]) / span for pid in ranks)
        process.wait(timeout=60)
        print(f"{'idle agents, 8 ranks on this machine':<44} median {shares[len(shares) // 2]:.2f} % of a core, worst {shares[-1]:.2f} %  (wanted < 2 %)")

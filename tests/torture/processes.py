"""A run under mpirun whose processes can be found, hurt and waited for."""

import os
import pathlib
import resource
import shutil
import signal
import subprocess
import tempfile
import time

ENVIRONMENT = {**os.environ, "OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1", "CUDA_VISIBLE_DEVICES": "",
               "PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe", "OMPI_MCA_rmaps_base_oversubscribe": "1"}


def table():
    """(pid, parent, state, command line) of every process."""
    rows = []
    for folder in pathlib.Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            facts = (folder / "stat").read_text().rpartition(")")[2].split()
            rows.append((int(folder.name), int(facts[1]), facts[0], (folder / "cmdline").read_bytes().split(b"\0")))
        except OSError:
            continue  # it has ended meanwhile
    return rows


def send(pids, number):
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            pass


def sweep_session_folders(place=tempfile.gettempdir()):
    """Removes what mpiruns that were killed left in a temporary folder: a later one that is given the same process id would not start
    ("The PMIx server's listener thread failed to start", PMIx 5.0)."""
    for folder in pathlib.Path(place).glob("ompi.*"):
        number = folder.name.partition(".")[2]
        if number.isdigit() and not pathlib.Path("/proc", number).exists():
            shutil.rmtree(folder, ignore_errors=True)


def left_in_shared_memory(limit_s=30):
    """What lies in /dev/shm under our names and does not go. Other runs may be under way on this machine: theirs goes with them."""
    end = time.monotonic() + limit_s
    seen = {path.name for path in pathlib.Path("/dev/shm").glob("mgpu-*")}
    while seen and time.monotonic() < end:
        time.sleep(0.1)
        seen &= {path.name for path in pathlib.Path("/dev/shm").glob("mgpu-*")}
    return seen


class Run:
    """`mpirun -np RANKS COMMAND…`; what it says goes to `log`. `more`: variables of its own; `closed`: the ranks begin without standard streams."""

    def __init__(self, ranks, command, log, options=(), more=None, closed=False):
        self.mark = os.fsencode(str(command[command.index("--output") + 1]))
        self.log = pathlib.Path(log)
        self.began = time.monotonic()
        with open(log, "ab") as text:
            sweep_session_folders(self.log.parent)
            environment = {**ENVIRONMENT, "TMPDIR": str(self.log.parent), **(more or {})}
            wrapper = ["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh"] if closed else []
            self.mpirun = subprocess.Popen([shutil.which("mpirun"), "-np", str(ranks), *options, *wrapper, *map(str, command)], env=environment, stdout=text, stderr=text,
                                           stdin=subprocess.DEVNULL)

    def agents(self, processes=None):
        """By rank, where the launcher has said it already."""
        found = {}
        for pid, _, state, line in processes or table():
            if state == "Z" or not line[0].endswith(b"mgpu_run") or self.mark not in line:
                continue
            try:
                environment = pathlib.Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
            except OSError:
                continue
            ranks = [int(each.partition(b"=")[2]) for each in environment if each.startswith((b"OMPI_COMM_WORLD_RANK=", b"PMIX_RANK="))]
            if ranks:
                found[ranks[0]] = pid
        return found

    def workers(self):
        processes = table()
        agents = set(self.agents(processes).values())
        return [pid for pid, parent, state, line in processes if parent in agents and state != "Z" and line[0].endswith(b"mgpu_worker")]

    def daemons(self):
        """mpirun's on emulated nodes: who started the agents there."""
        processes = table()
        agents = set(self.agents(processes).values())
        parents = {parent for pid, parent, _, _ in processes if pid in agents}
        return [pid for pid, _, _, line in processes if pid in parents and line[0].endswith(b"prted")]

    def everybody(self):
        """mpirun, all below it, and agents that outlived it with all below them."""
        processes = table()
        known = {self.mpirun.pid, *self.agents(processes).values(), *self.daemons()}
        while True:
            more = {pid for pid, parent, _, _ in processes if parent in known} - known
            if not more:
                break
            known |= more
        return [pid for pid, _, state, _ in processes if pid in known and state != "Z"]

    def kill_all(self):
        for _ in range(3):  # who was just starting another
            send(self.everybody(), signal.SIGKILL)

    def limit_files(self, size):
        """From now on rank 0 cannot make a file longer than this: its disk is full."""
        agent = self.agents().get(0)
        if agent is None:
            return False
        resource.prlimit(agent, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
        return True

    def wait(self, limit_s):
        """mpirun's exit code; None: it is still there after the limit."""
        try:
            return self.mpirun.wait(timeout=limit_s)
        except subprocess.TimeoutExpired:
            return None

    def wait_gone(self, limit_s):
        """Whether every process of the run is gone in time."""
        end = time.monotonic() + limit_s
        while True:
            self.mpirun.poll()
            if not self.everybody():
                return True
            if time.monotonic() > end:
                return False
            time.sleep(0.05)

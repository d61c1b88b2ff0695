"""A SLURM cluster on this machine for the length of a test session: slurmctld, and one slurmd a node, all in a temporary folder with ports of
their own, as the current user. guard.py ends them."""

import json
import os
import pathlib
import pwd
import shutil
import socket
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
SCRIPTS = ROOT / "slurm"
NODES = ("n1", "n2")
CORES = 2  # a node: SLURM never starts more than 4 ranks at once here
START_LIMIT_S = 30
LIMIT_S = 60
ENDED = ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "OUT_OF_MEMORY")

CONFIGURATION = """
ClusterName=mgpu
SlurmctldHost=localhost
SlurmctldPort={ports[0]}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
# A requeued job may start after cred_expire seconds only (120).
AuthInfo=socket={folder}/munge.socket,cred_expire=5
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
# PMIx makes its folder there: with one for all nodes the second node's is refused.
TmpFS={folder}/tmp-%n
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerParameters=sched_interval=1,batch_sched_delay=0,sched_min_interval=0
SlurmdParameters=config_overrides
ReturnToService=2
KillWait=15
KillOnBadExit=1
Epilog={scripts}/epilog.sh
{nodes}
PartitionName=all Nodes=ALL Default=YES MaxTime=60 State=UP
"""


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


def program(name):
    """Debian has the daemons in /usr/sbin, which is not in every user's PATH."""
    return shutil.which(name, path=os.environ["PATH"] + ":/usr/sbin:/sbin")


def missing_programs():
    return [name for name in ("slurmctld", "slurmd", "sbatch", "srun", "munged", "mungekey") if program(name) is None]


class Cluster:
    """`with Cluster() as cluster:`. Throws when the daemons do not come up, with the ends of their logs."""

    def __init__(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="mgpu_slurm_"))
        self.environment = {**os.environ, "SLURM_CONF": str(self.folder / "slurm.conf")}
        self.write_files()
        self.guard = subprocess.Popen([sys.executable, pathlib.Path(__file__).with_name("guard.py"), self.folder], stdin=subprocess.PIPE, start_new_session=True)
        try:
            self.wait_for(lambda: self.idle_nodes() == len(NODES), START_LIMIT_S, self.logs)
        except BaseException:
            self.close()
            raise

    def write_files(self):
        folder = self.folder
        for name in ("state", *(f"{kind}-{node}" for kind in ("spool", "tmp") for node in NODES)):
            (folder / name).mkdir()
        ports = free_ports(1 + len(NODES))
        nodes = "\n".join(f"NodeName={name} NodeHostname=localhost NodeAddr=127.0.0.1 Port={port} CPUs={CORES} State=UNKNOWN" for name, port in zip(NODES, ports[1:]))
        (folder / "slurm.conf").write_text(CONFIGURATION.format(folder=folder, ports=ports, user=pwd.getpwuid(os.getuid()).pw_name, scripts=SCRIPTS, nodes=nodes))
        subprocess.run([program("mungekey"), "--create", f"--keyfile={folder}/munge.key"], check=True)
        munged = [program("munged"), "--foreground", "--force", *(f"--{option}={folder}/munge.{option}" for option in ("socket", "pid-file", "log-file", "seed-file")),
                  f"--key-file={folder}/munge.key"]
        daemons = [("munged", munged), ("slurmctld", [program("slurmctld"), "-D"]), *((node, [program("slurmd"), "-D", "-N", node]) for node in NODES)]
        (folder / "daemons.json").write_text(json.dumps([{"name": name, "words": words, "environment": {"SLURM_CONF": str(folder / "slurm.conf")}}
                                                         for name, words in daemons]))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.guard.stdin.close()
        self.guard.wait(LIMIT_S)

    def logs(self):
        files = [*sorted(self.folder.glob("*.out")), *sorted(self.folder.glob("*.log"))]
        return "\n".join(f"== {path.name}\n{path.read_text(errors='replace')[-1500:]}" for path in files)

    @staticmethod
    def wait_for(condition, limit_s, describe=lambda: ""):
        """What `condition` gives once it is true."""
        end = time.monotonic() + limit_s
        while not (result := condition()):
            assert time.monotonic() < end, f"not within {limit_s} s\n{describe()}"
            time.sleep(0.1)
        return result

    def run(self, *words, check=True, limit_s=LIMIT_S, **environment):
        """A command of SLURM; what it did."""
        done = subprocess.run(list(map(str, words)), env={**self.environment, **environment}, capture_output=True, text=True, timeout=limit_s, stdin=subprocess.DEVNULL)
        assert not check or done.returncode == 0, f"{words}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    def idle_nodes(self):
        return self.run("sinfo", "-h", "-t", "idle", "-o", "%D", check=False).stdout.strip() == str(len(NODES)) and len(NODES)

    def show(self, job):
        """What SLURM knows of a job or an array task."""
        text = self.run("scontrol", "-o", "show", "job", job).stdout
        return dict(word.partition("=")[::2] for word in text.split(" ") if "=" in word)

    def comment(self, job):
        return self.run("squeue", "-h", "-j", job, "-o", "%k").stdout.strip()

    def state(self, job):
        return self.show(job)["JobState"]

    def wait_ended(self, job, limit_s=LIMIT_S):
        """The job's last state and exit code."""
        self.wait_for(lambda: self.state(job) in ENDED, limit_s, lambda: self.text(job))
        facts = self.show(job)
        return facts["JobState"], int(facts["ExitCode"].partition(":")[0])

    def text(self, job):
        """The job's log."""
        facts = self.show(job)
        path = pathlib.Path(facts["StdOut"])
        return f"{facts}\n{path.read_text(errors='replace') if path.exists() else ''}"

    def cancel_all(self):
        self.run("scancel", "--user", pwd.getpwuid(os.getuid()).pw_name, check=False)
        self.wait_for(lambda: not self.run("squeue", "-h").stdout.strip(), LIMIT_S, self.logs)

"""Two nodes with a network between them: this machine twice, in namespaces that a pair of virtual interfaces connects. Each node has its own host name, address,
/dev/shm and temporary folder. Folders can be hidden from nodeB, as where no file system is shared. mpirun starts its daemon there through a shell of ours.

The namespaces have no names: they end with their first process, and that ends with pytest, even if pytest is killed. Nothing of them is left."""

import os
import pathlib
import re
import signal
import subprocess
import time

NODES = ("nodeA", "nodeB")
INTERFACE = "wire0"
ADDRESSES = ("10.213.0.1", "10.213.0.2")
START_LIMIT_S = 20
NEW_PLACE = ["unshare", "--map-root-user", "--net", "--uts", "--mount", "--pid", "--fork", "--kill-child"]

# All that the nodes need of the kernel and of the installed programs.
PROBE = """set -e
mount -t proc proc /proc; mount -t tmpfs none /dev/shm; hostname probe
ip link set lo up; ip link add wire0 type veth peer name wire1; ip address add 10.213.0.1/24 dev wire0
"""

# The first process of nodeA, and nodeB's. The kernel kills all processes of the nodes with the first one, which waits for the end of its standard input.
FIRST_PROCESS = """set -e
furnish() {
  hostname "$1"
  mount -t tmpfs none /dev/shm
  mount --bind FOLDER/hosts /etc/hosts
  ip link set lo up
}
if [ "$1" = nodeB ]; then furnish nodeB; echo >FOLDER/furnished; exec sleep infinity; fi
exec 3<&0
mount -t proc proc /proc
furnish nodeA
mkfifo FOLDER/furnished
unshare --net --uts --mount sh "$0" nodeB &
second=$!
timeout START_LIMIT_S cat FOLDER/furnished
ip link add INTERFACE type veth peer name INTERFACE netns $second
ip address add ADDRESS_A/24 dev INTERFACE
ip link set INTERFACE up
nsenter --target $second --net ip address add ADDRESS_B/24 dev INTERFACE
nsenter --target $second --net ip link set INTERFACE up
cat <&3 >/dev/null &
watch=$!
echo $second >FOLDER/nodeB.pid
wait $watch
"""

# What mpirun takes for ssh: it is called with options, host and command.
SHELL = """#!/bin/sh
while [ "${1#-}" != "$1" ]; do shift; done
[ "$1" = nodeB ] || { echo "no host $1 here" >&2; exit 255; }
shift
exec nsenter --target "$(cat FOLDER/nodeB.pid)" --net --uts --mount -- unshare --mount -- sh FOLDER/enter "$*"
"""

ENTER = """while read -r place; do mount -t tmpfs none "$place" || exit 255; done <FOLDER/hidden
export TMPDIR=FOLDER/nodeB
exec sh -c "$1"
"""


def why_forbidden():
    """What this system does not allow; "": nothing."""
    try:
        done = subprocess.run([*NEW_PLACE, "sh", "-c", PROBE], capture_output=True, text=True, timeout=START_LIMIT_S)
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return "" if done.returncode == 0 else done.stderr.strip() or f"exit code {done.returncode}"


class NetworkNodes:
    """`folder`: an empty one with a short name, because sockets lie in it."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        for node in NODES:
            (self.folder / node).mkdir()
        self._write("hosts", "127.0.0.1 localhost\n" + "".join(f"{address} {node}\n" for address, node in zip(ADDRESSES, NODES)))
        self._write("enter", ENTER)
        self.shell = self._write("shell", SHELL)
        self.shell.chmod(0o755)
        self.hide()
        with open(self.folder / "said", "w") as said:
            self._unshare = subprocess.Popen([*NEW_PLACE, "sh", self._write("first", FIRST_PROCESS)], stdin=subprocess.PIPE, stdout=said, stderr=said)
        limit = time.monotonic() + START_LIMIT_S
        while not (self.folder / "nodeB.pid").exists():
            if self._unshare.poll() is not None or time.monotonic() > limit:
                self.close()
                raise RuntimeError(f"the nodes did not start: {(self.folder / 'said').read_text()}")
            time.sleep(0.02)
        pid = self._unshare.pid
        self._first = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0]
        self._own = self.all_processes()

    def _write(self, name, text):
        path = self.folder / name
        values = {"FOLDER": str(self.folder), "INTERFACE": INTERFACE, "ADDRESS_A": ADDRESSES[0], "ADDRESS_B": ADDRESSES[1], "START_LIMIT_S": str(START_LIMIT_S)}
        path.write_text(re.sub("|".join(values), lambda found: values[found[0]], text))
        return path

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        """Ends every process of the nodes, and with them the nodes."""
        self._unshare.stdin.close()
        try:
            self._unshare.wait(5)
        except subprocess.TimeoutExpired:
            self._unshare.kill()
            self._unshare.wait()

    def on_node_a(self, command):
        """The words of a command that runs `command` there."""
        return ["nsenter", "--target", self._first, "--user", "--preserve-credentials", "--pid", "--net", "--uts", "--mount", "--", *map(str, command)]

    def hide(self, *folders):
        """Daemons that start from now on find these folders empty on nodeB."""
        (self.folder / "hidden").write_text("".join(f"{folder}\n" for folder in folders))

    def set_link(self, state):
        """"up" or "down": the interface of nodeA. What waits in the network stays there, as with a cable that is pulled."""
        subprocess.run(self.on_node_a(["ip", "link", "set", INTERFACE, state]), check=True)

    def options(self, ranks_a, ranks_b):
        """mpirun's, started on nodeA, for so many ranks on each node. They can talk over the virtual interface only."""
        return ["--prtemca", "plm_ssh_agent", self.shell, "--host", f"nodeA:{ranks_a},nodeB:{ranks_b}", "--map-by", "slot:OVERSUBSCRIBE"]

    def all_processes(self):
        """Process ids of all that runs on the nodes, here."""
        def place(pid):
            try:
                return os.readlink(f"/proc/{pid}/ns/pid")
            except OSError:
                return None  # it has ended meanwhile
        nodes = place(self._first)
        return {int(each.name) for each in pathlib.Path("/proc").glob("[0-9]*") if place(each.name) == nodes}

    def processes(self):
        """The same without the nodes' own ones."""
        return self.all_processes() - self._own

    def end_processes(self):
        """Ends them."""
        while left := self.processes():
            for pid in left:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            time.sleep(0.05)

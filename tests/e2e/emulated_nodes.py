"""Nodes that are this machine under other names: mpirun starts its daemons through a shell of ours instead of ssh."""

import pathlib
import subprocess

# Leaves out ssh's options and runs the command here, under the host's name and with a folder of its own.
SHELL = """#!/bin/sh
while [ "${1#-}" != "$1" ]; do shift; done
name=$1
shift
mkdir -p "FOLDER/$name"
exec unshare --map-root-user --uts /bin/sh -c "hostname $name; export TMPDIR=FOLDER/$name; $*"
"""


def write_shell(folder):
    """For `--prtemca plm_ssh_agent`. The folder's name must be short: sockets lie in it. None: this system lets nobody give a process another
    host name."""
    if subprocess.run(["unshare", "--map-root-user", "--uts", "true"], capture_output=True).returncode != 0:
        return None
    path = pathlib.Path(folder) / "shell"
    path.write_text(SHELL.replace("FOLDER", str(folder)))
    path.chmod(0o755)
    return path

#!/usr/bin/env bash
# Epilog= of slurm.conf: SLURM runs it as root on each node when a job has ended. It removes what killed ranks of the job's user left there:
# shared memory (Open MPI's too), staged models, temporary folders. What another job of the user on this node has in use stays.
set -u
folders=(/tmp "${MGPU_EPILOG_FOLDER:-/tmp}") # the second one: where the site's TMPDIR is another
user=${SLURM_JOB_UID:-}
[ -n "$user" ] || exit 0

# As the user: root could be led by a link that is swapped at the right moment to files of others.
if [ "$(id -u)" = 0 ] && [ "$user" != 0 ]; then
  setpriv --reuid="$user" --regid="${SLURM_JOB_GID:-$user}" --clear-groups -- "$0"
  exit 0
fi

# Whether a process has it open, as every agent has its folders, or in its memory, as ranks have Open MPI's segments.
in_use() {
  [ -n "$(find /proc/[0-9]*/fd -lname "$1" -print -quit 2>/dev/null)" ] || grep -qsF -- "$1" /proc/[0-9]*/maps
}

# A worker's folder holds notes of folders that LibTorch made elsewhere: links, called by the folder's name and inode.
remove_noted() {
  local note folder
  for note in "$1"/*; do
    [ -L "$note" ] || continue
    folder=$(readlink "$note")
    [ "${note##*/}" = "${folder##*/}.$(stat -c %i "$folder" 2>/dev/null)" ] && [ -O "$folder" ] && [ ! -L "$folder" ] && rm -rf --one-file-system -- "$folder"
  done
}

# Not mgpu-* of /tmp: the list of bad GPUs is there.
{
  find /dev/shm -maxdepth 1 -user "$user" ! -type l \( -name 'mgpu-*' -o -name 'sm_segment.*' \) -print0
  find "${folders[@]}" -maxdepth 1 -user "$user" -type d -name 'mgpu_worker.*' -print0
} 2>/dev/null |
  while IFS= read -r -d '' path; do
    in_use "$path" && continue
    remove_noted "$path"
    rm -rf --one-file-system -- "$path"
  done
# SLURM drains a node whose epilog fails; leftovers are no reason for that.
exit 0

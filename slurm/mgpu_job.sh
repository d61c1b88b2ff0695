# shellcheck shell=bash
# Shared by the batch scripts, which source it: finds the programs, starts the ranks, requeues the job. It needs `slurm_folder`, where it lies.

say() { printf 'mgpu: %s\n' "$*" >&2; }
fail() { say "$*"; exit 2; }

# The values of an option among arguments, one a line: `--output F`, `--output=F`.
values_of() {
  local name=$1; shift
  while [ $# -gt 0 ]; do
    case $1 in
      "$name") [ $# -lt 2 ] || printf '%s\n' "$2" ;;
      "$name="*) printf '%s\n' "${1#*=}" ;;
    esac
    shift
  done
}

# The last one counts, as in mgpu_run.
value_of() { values_of "$@" | tail -n 1; }

# An array task has a job id of its own, but `scontrol requeue` of the array's id requeues its siblings too: the pair names this task only.
job_id() {
  if [ -n "${SLURM_ARRAY_JOB_ID:-}" ]; then
    printf '%s_%s\n' "$SLURM_ARRAY_JOB_ID" "$SLURM_ARRAY_TASK_ID"
  else
    printf '%s\n' "$SLURM_JOB_ID"
  fi
}

find_programs() {
  local build linked
  : "${slurm_folder:?}"
  # shellcheck source=slurm/site.env
  [ ! -r "$slurm_folder/site.env" ] || . "$slurm_folder/site.env"
  mgpu_run=${MGPU_RUN:-$(command -v mgpu_run || true)}
  for build in release default dev; do
    [ -n "$mgpu_run" ] || [ ! -x "$slurm_folder/../build/$build/bin/mgpu_run" ] || mgpu_run=$(realpath "$slurm_folder/../build/$build/bin/mgpu_run")
  done
  [ -x "$mgpu_run" ] || fail "mgpu_run ${mgpu_run:+($mgpu_run) }not found: set MGPU_RUN in $slurm_folder/site.env, or put it in PATH before sbatch"
  # mpirun of another Open MPI than the program's starts worlds of one rank. The one beside the program's library comes first.
  linked=$(ldd "$mgpu_run" 2>/dev/null | sed -n 's|.*=> \(.*\)/lib[^/]*/libmpi\.so.*|\1/bin|p' | head -n 1)
  [ ! -x "$linked/mpirun" ] || PATH=$linked:$PATH
}

check_gpus() {
  local devices
  devices=$(value_of --devices "$@")
  [ -n "${SLURM_GPUS_PER_TASK:-}" ] || return 0
  case $devices in
    "" | auto | cpu) ;;
    *) fail "sbatch --gpus-per-task hides all GPUs but one from each rank, so --devices names none of them: leave out --devices, or type sbatch --gpus-per-node=N" ;;
  esac
}

check_pmix() {
  # Without PMIx srun starts as many worlds of one rank as there are tasks.
  srun --mpi=list 2>&1 | grep -q pmix || fail "this SLURM has no PMIx (srun --mpi=list): type sbatch … $slurm_folder/launch.sbatch infer …, which uses mpirun"
}

# Fills `resumed` with the arguments of this start. --overwrite is for the first start only: each requeue would discard the work before it.
resume_arguments() {
  local each
  resumed=()
  for each in "$@"; do
    [ "$each" = --overwrite ] && [ "${SLURM_RESTART_COUNT:-0}" -gt 0 ] || resumed+=("$each")
  done
  case " ${resumed[*]} " in
    *" --overwrite "* | *" --resume "*) ;;
    *) resumed+=(--resume) ;;
  esac
}

# The last progress line of the job's own log becomes its comment: squeue -o '%i %T %k'.
comment() {
  local log line
  log=$(readlink /proc/$$/fd/1)
  [ -f "$log" ] || return 0
  line=$(tail -c 4000 "$log" | grep ' · ' | tail -n 1)
  [ -z "$line" ] || [ "$line" = "${told:-}" ] || scontrol update jobid="$(job_id)" comment="$line" 2>/dev/null
  told=$line
}

keep_commenting() {
  while sleep "${MGPU_COMMENT_S:-30}"; do comment; done
}

# The exit code that rank 0 of this start has written beside the output, or 75 if it began and left no last word. Fails if it has not begun:
# then srun's own code counts. srun's is that of a killed neighbour at times, and 14 or 137 when PMIx ends the step.
code_of_status() {
  local status
  status=$(cat "$1.status.json" 2>/dev/null) || return 1
  case $status in *"\"token\":\"$MGPU_LAUNCH_TOKEN\""*) ;; *) return 1 ;; esac
  case $status in
    *'"state":"done"'*) printf '%s\n' "$status" | sed -n 's/.*"exit_code":\([0-9]*\).*/\1/p' ;;
    *) echo 75 ;;
  esac
}

# Whether nobody ends the job. Of one that is cancelled, pre-empted or requeued, SLURM says COMPLETING as soon as it begins to end it.
still_running() { scontrol show job "$(job_id)" | grep -q 'JobState=RUNNING'; }

# run_ranks JOB ARGUMENTS…: one rank a task, in one step; another one if that did not begin. Sets `code`.
run_ranks() {
  local job=$1 output commenter try said=; shift
  output=$(value_of --output "$@")
  check_gpus "$@"
  check_pmix
  resume_arguments "$@"
  # Since 22.05 srun does not inherit sbatch's --cpus-per-task: without this each rank would be given one core.
  [ -z "${SLURM_CPUS_PER_TASK:-}" ] || export SRUN_CPUS_PER_TASK=$SLURM_CPUS_PER_TASK
  keep_commenting &
  commenter=$!
  for try in 1 2 3; do
    # Rank 0 repeats it in OUTPUT.status.json: a status of an earlier start is not taken for this one's.
    export MGPU_LAUNCH_TOKEN="slurm-$SLURM_JOB_ID-${SLURM_RESTART_COUNT:-0}-$try"
    # kill-on-bad-exit: rank 0 leaves with 3 when items failed. With 1, which a site may have made the default, SLURM would end its neighbours
    # and report them as killed.
    srun --mpi=pmix --kill-on-bad-exit=0 --job-name="$job:$(basename "$output")" "$mgpu_run" "$job" "${resumed[@]}"
    code=$?
    # Open MPI 5 crashes at times in MPI_Init, where a rank gets a message before it is ready (ompi #12495): SLURM then ends the step, and no
    # rank has begun. Codes up to 3 are the program's own, 127 is a program that is not there.
    if said=$(code_of_status "$output"); then
      code=$said
      break
    fi
    if [ "$code" -le 3 ] || [ "$code" = 127 ] || [ "$try" = 3 ] || ! still_running; then break; fi
    say "the ranks ended before the work began (srun: exit code $code): starting them again"
  done
  kill "$commenter" 2>/dev/null
  comment
  # Without a token a run that could not begin leaves no status; with one it does.
  [ "$code" != 2 ] || [ -z "$said" ] || rm -f "$output.status.json"
}

# The tasks of the job: SLURM_NTASKS is not set by -N alone, SLURM_TASKS_PER_NODE is as in "2(x3),1".
task_count() {
  local each count=0 times
  for each in ${SLURM_TASKS_PER_NODE//,/ }; do
    times=1
    case $each in *x*) times=${each#*x} ;; esac
    count=$((count + ${each%%(*} * ${times%)}))
  done
  printf '%s\n' "${SLURM_NTASKS:-$count}"
}

# run_launch JOB ARGUMENTS…: the same under mpirun. Sets `code`.
run_launch() {
  local job=${1:-} launch commenter signalled=1; shift
  case $job in infer | train) ;; *) fail "no job: type sbatch … launch.sbatch infer …, or train" ;; esac
  check_gpus "$@"
  resume_arguments "$@"
  keep_commenting &
  commenter=$!
  # `exec` would pass signals on by itself, but leave nobody to requeue the job. A signal ends `wait`, hence the loop.
  "$mgpu_run" launch -np "$(task_count)" -- "$job" "${resumed[@]}" &
  launch=$!
  trap 'signalled=1; kill -USR2 "$launch" 2>/dev/null' USR2 TERM
  while [ -n "$signalled" ]; do
    signalled=
    wait "$launch"
    code=$?
  done
  kill "$commenter" 2>/dev/null
  comment
}

# Ends the script with the job's exit code; a job that stopped early is put into the queue again.
end_job() {
  local id restarts=${SLURM_RESTART_COUNT:-0} limit=${MAX_REQUEUES:-10}
  id=$(job_id)
  [ "$code" = 75 ] || exit "$code"
  # scancel ends the ranks with 75 too, and SLURM requeues a pre-empted job itself. Only a job that nobody ends is still RUNNING here;
  # `scontrol requeue` would bring the others back.
  still_running || { say "job $id was ended from outside; the same sbatch line continues it"; exit 75; }
  [ "$restarts" -lt "$limit" ] || { say "job $id was restarted $restarts times (MAX_REQUEUES=$limit); the same sbatch line continues it"; exit 75; }
  say "job $id stopped early: requeue $((restarts + 1)) of $limit"
  scontrol requeue "$id" || say "SLURM did not requeue job $id; the same sbatch line continues it"
  exit 75
}

# SLURM sends TERM to this shell when it ends the job. The shell must outlive its ranks, which need the time to write what is done.
trap : TERM
find_programs

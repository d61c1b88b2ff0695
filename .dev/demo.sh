#!/usr/bin/env bash
# The demonstration: real handwritten digits through a small network on two ranks, the result inspected. Called by `./dev demo`
# with the project's Open MPI and Python first in PATH; $1 is the folder of the programs.
set -euo pipefail
programs=$1
folder=build/demo
run() { printf '\n$ %s\n' "$*"; "$@"; }

rm -rf "$folder"
mkdir -p "$folder"
run python jobs/infer/demo.py "$folder"
run mpirun -np 2 "$programs/mgpu_run" infer --model "$folder/bundle" --input "$folder/digits.csv" --batch-size 16 \
  --label-column label --output "$folder/digits.h5" | tee "$folder/run.log"
run "$programs/mgpu_run" inspect "$folder/digits.h5"
printf '\n$ %s export %s --format csv | head -n 4\n' "$programs/mgpu_run" "$folder/digits.h5"
"$programs/mgpu_run" export "$folder/digits.h5" --format csv > "$folder/digits.export.csv"
head -n 4 "$folder/digits.export.csv"

accuracy=$(sed -n 's/^Accuracy: \([0-9.]*\) %.*/\1/p' "$folder/run.log")
awk -v got="$accuracy" 'BEGIN { if (got < 97) { print "demo: accuracy " got " % is below 97 %"; exit 1 } }'
printf '\nThe demo worked: %s %% of held-out digits are right. The result file is %s/digits.h5; the README goes on from here.\n' "$accuracy" "$folder"

#!/usr/bin/env bash
# The demonstration: a network learns real handwritten digits on two ranks, then reads held-out ones, and the results are inspected.
# Called by `./dev demo` with the project's Open MPI and Python first in PATH; $1 is the folder of the programs.
set -euo pipefail
programs=$1
folder=build/demo
run() { printf '\n$ %s\n' "$*"; "$@"; }

rm -rf "$folder"
mkdir -p "$folder"
run python jobs/train/digits.py "$folder"
run mpirun -np 2 "$programs/mgpu_run" train --model "$folder/bundle" --input "$folder/train" --validate "$folder/test" --batch-size 16 --epochs 8 \
  --optimizer adamw --lr 0.003 --lr-schedule cosine --weight-decay 0.01 --output "$folder/training.h5" --save "$folder/best.pt"
run "$programs/mgpu_run" inspect "$folder/training.h5"

run mpirun -np 2 "$programs/mgpu_run" infer --model "$folder/best.pt" --input "$folder/test.csv" --batch-size 16 \
  --label-column label --output "$folder/digits.h5" | tee "$folder/run.log"
run "$programs/mgpu_run" inspect "$folder/digits.h5"
printf '\n$ %s export %s --format csv | head -n 4\n' "$programs/mgpu_run" "$folder/digits.h5"
"$programs/mgpu_run" export "$folder/digits.h5" --format csv > "$folder/digits.export.csv"
head -n 4 "$folder/digits.export.csv"

accuracy=$(sed -n 's/^Accuracy: \([0-9.]*\) %.*/\1/p' "$folder/run.log")
awk -v got="$accuracy" 'BEGIN { if (got < 97) { print "demo: accuracy " got " % is below 97 %"; exit 1 } }'
printf '\nThe demo worked: %s %% of held-out digits are right. The result file is %s/digits.h5; the README goes on from here.\n' "$accuracy" "$folder"

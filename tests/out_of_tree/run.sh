#!/usr/bin/env bash
# Installs the build, builds the job project beside it against the installation only, runs it, and compares with Pillow.
# usage: run.sh BUILD_FOLDER SCRATCH_FOLDER PYTHON MPIEXEC
set -euo pipefail
build=$1 scratch=$2 python=$3 mpiexec=$4
here=$(dirname "$(readlink -f "$0")")
rm -rf "$scratch/prefix" "$scratch/pictures" "$scratch"/*.h5*
mkdir -p "$scratch/pictures"

cmake --install "$build" --prefix "$scratch/prefix" >"$scratch/install.log"
# The sources are copied away, so that nothing of this repository is reachable by a relative path.
rm -rf "$scratch/source" && mkdir "$scratch/source"
cp -r "$here/CMakeLists.txt" "$here/brightness" "$scratch/source/"
cmake -S "$scratch/source" -B "$scratch/build" -G Ninja -DCMAKE_PREFIX_PATH="$scratch/prefix" -DCMAKE_BUILD_TYPE=RelWithDebInfo >"$scratch/configure.log"
cmake --build "$scratch/build" >"$scratch/build.log" || { cat "$scratch/build.log"; exit 1; }

"$python" "$here/check.py" make "$scratch/pictures"
"$mpiexec" -n 2 --oversubscribe "$scratch/build/brightness_run" brightness --input "$scratch/pictures" --output "$scratch/out.h5" \
  --batch-size 2 --devices cpu --progress none
"$python" "$here/check.py" compare "$scratch/pictures" "$scratch/out.h5"

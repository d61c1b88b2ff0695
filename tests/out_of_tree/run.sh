#!/usr/bin/env bash
# Installs the build, builds the job project beside it against the installation only, runs its jobs, and checks what they gave.
# usage: run.sh BUILD_FOLDER SCRATCH_FOLDER PYTHON MPIEXEC
set -euo pipefail
build=$1 scratch=$2 python=$3 mpiexec=$4
here=$(dirname "$(readlink -f "$0")")
rm -rf "$scratch/prefix" "$scratch/pictures" "$scratch/shades" "$scratch"/*.h5*
mkdir -p "$scratch/pictures" "$scratch/shades"

cmake --install "$build" --prefix "$scratch/prefix" >"$scratch/install.log"
# The sources are copied away, so that nothing of this repository is reachable by a relative path.
rm -rf "$scratch/source" && mkdir "$scratch/source"
cp -r "$here/CMakeLists.txt" "$here/brightness" "$here/shades" "$scratch/source/"
cmake -S "$scratch/source" -B "$scratch/build" -G Ninja -DCMAKE_PREFIX_PATH="$scratch/prefix" -DCMAKE_BUILD_TYPE=RelWithDebInfo >"$scratch/configure.log"
cmake --build "$scratch/build" >"$scratch/build.log" || { cat "$scratch/build.log"; exit 1; }

"$python" "$here/check.py" make "$scratch/pictures"
# As root and with fewer cores than ranks, as containers and CI machines are; the names Open MPI 5 and 4 have for it.
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
export PRTE_MCA_rmaps_default_mapping_policy=:oversubscribe OMPI_MCA_rmaps_base_oversubscribe=1
timeout 120 "$mpiexec" -n 2 "$scratch/build/bin/brightness_run" brightness --input "$scratch/pictures" --output "$scratch/out.h5" \
  --batch-size 2 --devices cpu --progress none
"$python" "$here/check.py" compare "$scratch/pictures" "$scratch/out.h5"

"$python" "$here/check.py" make_shades "$scratch/shades"
timeout 120 "$mpiexec" -n 2 "$scratch/build/bin/shades_run" shades --input "$scratch/shades/train" --validate "$scratch/shades/test" \
  --output "$scratch/shades.h5" --save "$scratch/shades.pt" --epochs 30 --batch-size 4 --lr 0.3 --devices cpu --progress none
"$python" "$here/check.py" learned "$scratch/shades.pt" "$scratch/shades.h5"

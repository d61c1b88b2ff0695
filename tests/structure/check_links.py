"""MPI never meets CUDA in one process: the agent loads no LibTorch or CUDA, the worker no MPI, and neither misses a library."""
import re
import subprocess
import sys

FORBIDDEN = {"agent": r"torch|c10|cuda|cudart|nccl|nvrtc|cudnn", "worker": r"libmpi|libopen-pal|libpmix|libhdf5"}


def loaded_libraries(program: str) -> list[str]:
    # Without LD_LIBRARY_PATH: the build tree's own RPATH must do.
    text = subprocess.run(["ldd", program], check=True, capture_output=True, text=True, env={"PATH": "/usr/bin:/bin"}).stdout
    return [line.strip() for line in text.splitlines() if "=>" in line]


def main() -> int:
    side, program = sys.argv[1:]
    libraries = loaded_libraries(program)
    assert len(libraries) > 3, f"{program}: ldd lists {libraries}"
    bad = [line for line in libraries if re.search(FORBIDDEN[side], line.split()[0])]
    # The driver's library is there only on a machine with a GPU.
    missing = [line for line in libraries if "not found" in line and not line.startswith("libcuda.so")]
    for line in bad:
        print(f"{program}: the {side} must not load {line}")
    for line in missing:
        print(f"{program}: {line}")
    return 1 if bad or missing else 0


if __name__ == "__main__":
    sys.exit(main())

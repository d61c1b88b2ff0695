#!/usr/bin/env python3
"""Checks the house rules on #include lines and file lengths; prints one line for each breach and exits 1 if there is any.

- A room of src/ includes include/mgpu, wire, support, itself and the rooms it links in src/CMakeLists.txt (and what those link),
  which stand to its left: above it in that file. Mains (*_main.cpp) see everything of their own side.
- mpi.h only in src/comm; hdf5.h only in src/write; LibTorch, CUDA and NCCL only in the worker's rooms (those marked TORCH).
- include/mgpu and the jobs see include/mgpu only; the agent's side of a job (job*.cpp) no header that needs LibTorch.
- No file is longer than 400 lines.
"""
import pathlib
import re
import sys

MAX_LINES = 400
# Where a library may be seen: a pattern of what is included and the rooms that may.
LIBRARIES = {r"mpi(-ext)?\.h": {"comm"}, r"(hdf5|H5\w+)\.h": {"write"}}
GPU = r"(torch|c10|ATen|cuda|nccl|nvjpeg|nvml)[/_.\w]*"
SOURCES = {".cpp", ".hpp", ".cu", ".h"}
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', re.MULTILINE)


def read_rooms(cmake: str) -> tuple[dict[str, set[str]], set[str], list[str]]:
    """Rooms in order with everything each may include, the rooms with LibTorch, and the breaches of the order itself."""
    text = re.sub(r"#.*", "", cmake)
    rooms: dict[str, set[str]] = {}
    torch_rooms: set[str] = set()
    breaches = []
    for body in re.findall(r"mgpu_room\(([^)]*)\)", text):
        name, *words = body.split()
        # The library of room run is mgpu_run_room.
        linked = [word.removeprefix("mgpu_").removesuffix("_room") for word in words if word.startswith("mgpu_")]
        seen = {name, "support", "wire"}
        for other in linked:
            if other in rooms:
                seen |= rooms[other]
            elif other not in ("torch", "nccl"):
                breaches.append(f"src/CMakeLists.txt: room {name} links {other}, which is not above it")
        rooms[name] = seen
        if "TORCH" in words:
            torch_rooms.add(name)
    return rooms, torch_rooms, breaches


def check_include(path: pathlib.PurePath, quoted: bool, name: str, beside: bool, rooms: dict[str, set[str]],
                  torch_rooms: set[str]) -> str | None:
    """Why `path` may not include `name`; None if it may. `beside`: a file of that name stands next to it."""
    area = path.parts[0]
    if area == "src":
        room = path.parts[1]
        if path.stem.endswith("_main"):
            return None
        first = name.split("/")[0]
        if quoted and first in rooms and first not in rooms.get(room, set()):
            return f"room {room} may not know {first} (src/CMakeLists.txt)"
        for pattern, allowed in LIBRARIES.items():
            if re.fullmatch(pattern, name) and room not in allowed:
                return f"only src/{', src/'.join(sorted(allowed))} may include it"
        if (re.fullmatch(GPU, name) or name in ("mgpu/work.hpp", "mgpu/model.hpp")) and room in rooms and room not in torch_rooms:
            return f"room {room} is built without LibTorch and CUDA"
    elif area == "include":
        if quoted and not name.startswith("mgpu/"):
            return "a public header includes public headers only"
        if any(re.fullmatch(pattern, name) for pattern in LIBRARIES) or re.fullmatch(r"nccl.*", name):
            return "the public API shows no MPI, HDF5 or NCCL"
    elif area == "jobs":
        if quoted and not name.startswith("mgpu/") and not beside:
            return "a job sees include/mgpu only"
        if any(re.fullmatch(pattern, name) for pattern in LIBRARIES):
            return "a job knows no MPI or HDF5"
        if path.name.startswith("job") and (re.fullmatch(GPU, name) or name in ("mgpu/work.hpp", "mgpu/model.hpp")):
            return "the agent's side of a job is built without LibTorch"
    return None


def check(root: pathlib.Path) -> list[str]:
    """Every breach below `root`, one line each."""
    rooms, torch_rooms, breaches = read_rooms((root / "src/CMakeLists.txt").read_text())
    for area in ("include", "src", "jobs", "tests"):
        for file in sorted((root / area).rglob("*")):
            if file.suffix not in SOURCES | {".py", ".sh", ".cmake"} or not file.is_file():
                continue
            path = file.relative_to(root)
            text = file.read_text(errors="replace")
            lines = text.count("\n")
            if lines > MAX_LINES:
                breaches.append(f"{path}: {lines} lines, the limit is {MAX_LINES}")
            if file.suffix not in SOURCES:
                continue
            for match in INCLUDE.finditer(text):
                reason = check_include(path, match[1] == '"', match[2], (file.parent / match[2]).exists(), rooms, torch_rooms)
                if reason:
                    line = text.count("\n", 0, match.start(2)) + 1
                    breaches.append(f"{path}:{line}: #include {match[2]}: {reason}")
    return breaches


if __name__ == "__main__":
    found = check(pathlib.Path(__file__).resolve().parent.parent)
    print("\n".join(found) if found else "layers … clean")
    sys.exit(1 if found else 0)

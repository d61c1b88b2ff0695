#!/usr/bin/env python3
"""Checks the rules on #include lines and file lengths; prints one line for each breach and exits 1 if there is any. --graph prints the include graph.

- A module of src/ (common/wire, agent/write, …) includes include/mgpu, itself and the modules it links in src/CMakeLists.txt (and what those
  link), which stand above it in that file. Mains (*_main.cpp) see everything of their own program.
- Two programs, one common floor: agent/ and worker/ never include each other, common/ includes neither.
- mpi.h only in agent/comm; hdf5.h only in agent/write; LibTorch, CUDA and NCCL only in modules marked TORCH, which are below worker/.
- include/mgpu and the jobs see include/mgpu only; the agent's side of a job (job*.cpp) no header that needs LibTorch.
- No file is longer than 400 lines.
"""
import collections
import pathlib
import re
import sys

MAX_LINES = 400
FLOORS = ("common", "agent", "worker")
# Where a library may be seen: a pattern of what is included and the modules that may.
LIBRARIES = {r"mpi(-ext)?\.h": {"agent/comm"}, r"(hdf5|H5\w+)\.h": {"agent/write"}}
GPU = r"(torch|c10|ATen|cuda|nccl|nvjpeg|nvml)[/_.\w]*"
# Public headers with tensors; those of a job's agent side have none.
TENSOR_HEADERS = {f"mgpu/{name}.hpp" for name in
                  ("ctc", "detection_heads", "losses", "model", "network", "script_network", "targets", "tensor", "training", "training_preprocessor", "work")}
SOURCES = {".cpp", ".hpp", ".cu", ".h"}
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', re.MULTILINE)


def module_of(path: str) -> str | None:
    """'agent/write' of 'agent/write/hdf5/h5.hpp', a path below src/."""
    parts = path.split("/")
    return "/".join(parts[:2]) if len(parts) > 2 and parts[0] in FLOORS else None


def read_modules(cmake: str) -> tuple[dict[str, set[str]], set[str], list[str]]:
    """Modules in order with everything each may include, the modules with LibTorch, and the breaches of the order itself."""
    text = re.sub(r"#.*", "", cmake)
    modules: dict[str, set[str]] = {}
    torch_modules: set[str] = set()
    breaches = []
    for body in re.findall(r"mgpu_module\(([^)]*)\)", text):
        name, *words = body.split()
        floor = name.split("/")[0]
        seen = {name}
        for other in (word for word in words if word.split("/")[0] in FLOORS):
            if other not in modules:
                breaches.append(f"src/CMakeLists.txt: module {name} links {other}, which is not above it")
            elif other.split("/")[0] not in ("common", floor):
                breaches.append(f"src/CMakeLists.txt: module {name} links {other} of the other program")
            else:
                seen |= modules[other]
        modules[name] = seen
        if "TORCH" in words:
            torch_modules.add(name)
            if floor != "worker":
                breaches.append(f"src/CMakeLists.txt: module {name} has LibTorch outside the worker")
    return modules, torch_modules, breaches


def check_src_include(path: pathlib.PurePath, quoted: bool, name: str, modules: dict[str, set[str]], torch_modules: set[str]) -> str | None:
    module, other = module_of("/".join(path.parts[1:])), module_of(name) if quoted else None
    if module is None:
        return None
    floor = module.split("/")[0]
    if other is not None and other.split("/")[0] not in ("common", floor):
        return f"{floor}/ may not know {other.split('/')[0]}/"
    if path.stem.endswith("_main"):
        return None
    if other is not None and other not in modules.get(module, {module}):
        return f"module {module} may not know {other} (src/CMakeLists.txt)"
    for pattern, allowed in LIBRARIES.items():
        if re.fullmatch(pattern, name) and module not in allowed:
            return f"only {', '.join(sorted(allowed))} may include it"
    if (re.fullmatch(GPU, name) or name in TENSOR_HEADERS) and module not in torch_modules:
        return f"module {module} is built without LibTorch and CUDA"
    return None


def check_include(path: pathlib.PurePath, quoted: bool, name: str, beside: bool, modules: dict[str, set[str]],
                  torch_modules: set[str]) -> str | None:
    """Why `path` may not include `name`; None if it may. `beside`: a file of that name stands next to it."""
    area = path.parts[0]
    if area == "src":
        return check_src_include(path, quoted, name, modules, torch_modules)
    if area == "include":
        if quoted and not name.startswith("mgpu/"):
            return "a public header includes public headers only"
        if any(re.fullmatch(pattern, name) for pattern in LIBRARIES) or re.fullmatch(r"nccl.*", name):
            return "the public API shows no MPI, HDF5 or NCCL"
    elif area == "jobs":
        if quoted and not name.startswith("mgpu/") and not beside:
            return "a job sees include/mgpu only"
        if any(re.fullmatch(pattern, name) for pattern in LIBRARIES):
            return "a job knows no MPI or HDF5"
        if path.name.startswith("job") and (re.fullmatch(GPU, name) or name in TENSOR_HEADERS):
            return "the agent's side of a job is built without LibTorch"
    return None


def check(root: pathlib.Path) -> list[str]:
    """Every breach below `root`, one line each."""
    modules, torch_modules, breaches = read_modules((root / "src/CMakeLists.txt").read_text())
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
            if area == "src" and module_of("/".join(path.parts[1:])) not in modules:
                breaches.append(f"{path}: in no module of src/CMakeLists.txt")
            for match in INCLUDE.finditer(text):
                reason = check_include(path, match[1] == '"', match[2], (file.parent / match[2]).exists(), modules, torch_modules)
                if reason:
                    line = text.count("\n", 0, match.start(2)) + 1
                    breaches.append(f"{path}:{line}: #include {match[2]}: {reason}")
    return breaches


def print_graph(root: pathlib.Path) -> None:
    """Modules by program, in the order of src/CMakeLists.txt, each with what it includes; '(n)' counts the includes."""
    modules, _, _ = read_modules((root / "src/CMakeLists.txt").read_text())
    edges: dict[str, collections.Counter] = collections.defaultdict(collections.Counter)
    for file in (root / "src").rglob("*"):
        module = module_of(file.relative_to(root / "src").as_posix())
        if module is None or file.suffix not in SOURCES:
            continue
        for match in INCLUDE.finditer(file.read_text(errors="replace")):
            other = module_of(match[2]) if match[1] == '"' else None
            if other not in (None, module):
                edges[module][other] += 1
    for floor in FLOORS:
        others = {other.split("/")[0] for module in modules if module.startswith(floor) for other in edges[module]} - {floor}
        print(f"{floor}/ → {', '.join(sorted(others)) or 'nothing'}")
        for module in modules:
            if module.startswith(floor + "/"):
                known = ", ".join(f"{other} ({count})" for other, count in sorted(edges[module].items()))
                print(f"  {module.split('/')[1]:16} {known}")


if __name__ == "__main__":
    here = pathlib.Path(__file__).resolve().parent.parent
    if "--graph" in sys.argv[1:]:
        print_graph(here)
    found = check(here)
    print("\n".join(found) if found else "layers … clean")
    sys.exit(1 if found else 0)

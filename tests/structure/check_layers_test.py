"""The layering check notices each kind of breach and accepts what is allowed."""
import pathlib
import sys
import tempfile

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / ".dev"))
import check_layers  # noqa: E402

CMAKE = """
mgpu_room(support LINK fmt::fmt)
mgpu_room(wire LINK mgpu_support)
mgpu_room(manifest LINK mgpu_support)
mgpu_room(dispatch LINK mgpu_manifest)
mgpu_room(write LINK mgpu_manifest)
mgpu_room(comm LINK mgpu_wire)
mgpu_room(run TORCH LINK mgpu_wire)
"""
# file, its text, a word of the complaint ("" if it is allowed)
CASES = [
    ("src/dispatch/a.cpp", '#include "manifest/m.hpp"\n#include "wire/w.hpp"\n#include "mgpu/item.hpp"\n', ""),
    ("src/manifest/a.cpp", '#include "dispatch/plan.hpp"\n', "may not know dispatch"),
    ("src/dispatch/b.cpp", '#include "write/w.hpp"\n', "may not know write"),
    ("src/dispatch/c.cpp", "#include <mpi.h>\n", "only src/comm"),
    ("src/comm/a.cpp", "#include <mpi.h>\n", ""),
    ("src/wire/a.cpp", "#  include <hdf5.h>\n", "only src/write"),
    ("src/wire/b.hpp", "#include <torch/torch.h>\n", "without LibTorch"),
    ("src/wire/c.hpp", '#include "mgpu/work.hpp"\n', "without LibTorch"),
    ("src/run/a.cpp", "#include <torch/torch.h>\n#include <cuda_runtime.h>\n", ""),
    ("src/comm/agent_main.cpp", '#include "write/w.hpp"\n', ""),
    ("include/mgpu/a.hpp", "#include <mpi.h>\n", "public API"),
    ("include/mgpu/b.hpp", '#include "wire/w.hpp"\n', "public headers only"),
    ("jobs/one/job.cpp", '#include "mgpu/job.hpp"\n', ""),
    ("jobs/two/job.cpp", '#include "wire/w.hpp"\n', "include/mgpu only"),
    ("jobs/three/job.cpp", '#include "mgpu/work.hpp"\n', "without LibTorch"),
    ("jobs/three/work.cpp", '#include "mgpu/work.hpp"\n', ""),
    ("src/wire/long.cpp", "\n" * 401, "the limit is 400"),
]


def breaches_of(cmake: str, path: str, text: str) -> list[str]:
    with tempfile.TemporaryDirectory() as name:
        root = pathlib.Path(name)
        for file, content in (("src/CMakeLists.txt", cmake), (path, text)):
            (root / file).parent.mkdir(parents=True, exist_ok=True)
            (root / file).write_text(content)
        return check_layers.check(root)


for path, text, complaint in CASES:
    found = breaches_of(CMAKE, path, text)
    assert len(found) == (1 if complaint else 0), (path, found)
    assert not complaint or complaint in found[0], (path, found)

wrong_order = breaches_of("mgpu_room(wire LINK mgpu_support)\nmgpu_room(support)\n", "src/wire/a.cpp", "")
assert len(wrong_order) == 1 and "not above it" in wrong_order[0], wrong_order
print(f"{len(CASES) + 1} cases")

"""The layering check notices each kind of breach and accepts what is allowed."""
import pathlib
import sys
import tempfile

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / ".dev"))
import check_layers  # noqa: E402

CMAKE = """
mgpu_module(common/support LINK fmt::fmt)
mgpu_module(common/wire LINK common/support)
mgpu_module(agent/manifest LINK common/support)
mgpu_module(agent/dispatch LINK common/wire agent/manifest)
mgpu_module(agent/write LINK agent/manifest)
mgpu_module(agent/comm LINK common/wire)
mgpu_module(agent/main LINK agent/dispatch)
mgpu_module(worker/run TORCH LINK common/wire)
"""
# file, its text, a word of the complaint ("" if it is allowed)
CASES = [
    ("src/agent/dispatch/a.cpp", '#include "agent/manifest/m.hpp"\n#include "common/wire/w.hpp"\n#include "mgpu/item.hpp"\n', ""),
    ("src/agent/manifest/a.cpp", '#include "agent/dispatch/plan.hpp"\n', "may not know agent/dispatch"),
    ("src/agent/dispatch/b.cpp", '#include "agent/write/hdf5/w.hpp"\n', "may not know agent/write"),
    ("src/agent/dispatch/c.cpp", "#include <mpi.h>\n", "only agent/comm"),
    ("src/agent/comm/a.cpp", "#include <mpi.h>\n", ""),
    ("src/agent/write/hdf5/a.cpp", "#include <hdf5.h>\n", ""),
    ("src/common/wire/a.cpp", "#  include <hdf5.h>\n", "only agent/write"),
    ("src/common/wire/b.hpp", "#include <torch/torch.h>\n", "without LibTorch"),
    ("src/common/wire/c.hpp", '#include "mgpu/work.hpp"\n', "without LibTorch"),
    ("src/common/wire/e.hpp", '#include "mgpu/tensor.hpp"\n', "without LibTorch"),
    ("src/common/wire/d.cpp", '#include "agent/dispatch/plan.hpp"\n', "common/ may not know agent/"),
    ("src/worker/run/a.cpp", "#include <torch/torch.h>\n#include <cuda_runtime.h>\n", ""),
    ("src/worker/run/b.cpp", '#include "agent/dispatch/plan.hpp"\n', "worker/ may not know agent/"),
    ("src/agent/dispatch/d.cpp", '#include "worker/run/a.hpp"\n', "agent/ may not know worker/"),
    ("src/agent/main/agent_main.cpp", '#include "agent/write/w.hpp"\n', ""),
    ("src/agent/main/b_main.cpp", '#include "worker/run/a.hpp"\n', "agent/ may not know worker/"),
    ("src/agent/new/a.cpp", "", "in no module"),
    ("include/mgpu/a.hpp", "#include <mpi.h>\n", "public API"),
    ("include/mgpu/b.hpp", '#include "common/wire/w.hpp"\n', "public headers only"),
    ("jobs/one/job.cpp", '#include "mgpu/job.hpp"\n', ""),
    ("jobs/two/job.cpp", '#include "common/wire/w.hpp"\n', "include/mgpu only"),
    ("jobs/three/job.cpp", '#include "mgpu/work.hpp"\n', "without LibTorch"),
    ("jobs/four/job.cpp", '#include "mgpu/losses.hpp"\n', "without LibTorch"),
    ("jobs/three/work.cpp", '#include "mgpu/work.hpp"\n', ""),
    ("src/common/wire/long.cpp", "\n" * 401, "the limit is 400"),
]
WRONG_ORDERS = [
    ("mgpu_module(common/wire LINK common/support)\nmgpu_module(common/support)\n", "not above it"),
    ("mgpu_module(common/wire)\nmgpu_module(agent/a)\nmgpu_module(worker/b LINK agent/a)\n", "of the other program"),
    ("mgpu_module(common/wire)\nmgpu_module(agent/a TORCH)\n", "LibTorch outside the worker"),
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

for cmake, complaint in WRONG_ORDERS:
    found = breaches_of(cmake, "src/common/wire/a.cpp", "")
    assert len(found) == 1 and complaint in found[0], found
print(f"{len(CASES) + len(WRONG_ORDERS)} cases")

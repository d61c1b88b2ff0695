"""The check of words notices what it is for, and nothing else."""
import pathlib
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / ".dev"))
import check_words  # noqa: E402

NOTICED = [("src/a.cpp", "Conductor conductor_;"), ("src/agent/roster.hpp", ""), ("docs/a.md", "the flight board"), ("src/a.cpp", "lane_cuda"), ("src/worker/run/a.cpp", "a lane"),
           ("src/a.hpp", "class ItemCourse"), ("docs/a.md", "the optimiser"), ("README.md", "faults to rehearse"), ("src/a.cpp", "uplink_"), ("a.cmake", "mgpu_room(x)")]
ACCEPTED = [("src/a.cpp", "batches_in_flight of course room for two"), ("src/worker/load/image/lanes.hpp", "IntLanes lanes"), ("docs/a.md", "the optimizer"), ("src/a.cpp", "planes")]

for path, text in NOTICED:
    assert check_words.breaches_of(path, text), (path, text)
for path, text in ACCEPTED:
    assert not check_words.breaches_of(path, text), (path, text)
print(f"{len(NOTICED) + len(ACCEPTED)} cases")

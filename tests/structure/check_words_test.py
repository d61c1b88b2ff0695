"""The check of words notices what it is for, and nothing else."""
import pathlib
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / ".dev"))
import check_words  # noqa: E402

NOTICED = [("src/a.cpp", "Conductor conductor_;"), ("src/agent/roster.hpp", ""), ("docs/a.md", "the flight board"), ("src/a.cpp", "lane_cuda"), ("src/worker/run/a.cpp", "a lane"),
           ("src/a.hpp", "class ItemCourse"), ("docs/a.md", "the optimiser"), ("README.md", "faults to rehearse"), ("src/a.cpp", "uplink_"), ("a.cmake", "mgpu_room(x)"), ("docs/a.md", "the workers begin again"), ("README.md", "A training begins again."), ("docs/a.md", "it goes on\nwith halves"),
           ("jobs/a/README.md", "go on with it")]
ACCEPTED = [("src/a.cpp", "batches_in_flight of course room for two"), ("src/worker/load/image/lanes.hpp", "IntLanes lanes"), ("docs/a.md", "the optimizer"), ("src/a.cpp", "planes"),
            ("src/a.cpp", "begin again, go on with"), ("tests/e2e/test_a.py", "goes on with"), ("docs/a.md", "the run goes on. With --resume it begins. Again"), ("docs/a.md", "ongoing onwith")]

for path, text in NOTICED:
    assert check_words.breaches_of(path, text), (path, text)
assert check_words.breaches_of("docs/a.md", "one\ntwo, it goes on\nwith three") == ["docs/a.md:2: goes on with: say resume or continue"]
for path, text in ACCEPTED:
    assert not check_words.breaches_of(path, text), (path, text)
print(f"{len(NOTICED) + len(ACCEPTED)} cases")

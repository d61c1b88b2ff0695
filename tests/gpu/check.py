"""The checks of `./dev gpu check`: `check.py PACK [correct|sanitize|speed|all] [--only REGEX] [--out FOLDER] [--jobs N]`.

PACK is the unpacked archive of pack.py. `FOLDER/gpu.json` and `FOLDER/gpu.txt` are written anew after every check, so that a machine that is
taken away leaves what was seen so far. Without a GPU the checks that need one are skipped, by name.
Exit code 1 when a check failed.
"""

import argparse
import faulthandler
import json
import os
import pathlib
import platform
import re
import signal
import sys
import tempfile
import time
import traceback


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pack")
    parser.add_argument("part", nargs="?", default="correct", choices=["correct", "sanitize", "speed", "all"])
    parser.add_argument("--only", default="", help="regular expression that names of checks must contain")
    parser.add_argument("--out", default="build/gpu")
    parser.add_argument("--jobs", type=int, default=4, help="checks at once")
    parser.add_argument("--list", action="store_true", help="names of the checks")
    return parser.parse_intermixed_args()  # "--out FOLDER correct", too


def use_pack(pack, torch):
    """The programs find the machine's own LibTorch and CUDA, and the archive's other libraries."""
    packages = pathlib.Path(torch.__file__).parent.parent
    folders = [pack / "lib", packages / "torch/lib", *sorted(packages.glob("nvidia/*/lib"))]
    settings = {"LD_LIBRARY_PATH": ":".join([*map(str, folders), os.environ.get("LD_LIBRARY_PATH", "")]).rstrip(":"),
                "PATH": f"{pack / 'bin'}:{os.environ['PATH']}", "MGPU_PACK": str(pack), "OMP_NUM_THREADS": "1",
                "OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1", "MGPU_BIN": str(pack / "bin"),
                "MGPU_BAD_DEVICES": os.path.join(os.environ["MGPU_GPU_WORK"], "bad-devices")}
    os.environ.update(settings)


def gpu_count(torch):
    """Without a context of this process on the GPU: checks are forked."""
    return torch.cuda.device_count()


def machine(torch):
    import subprocess
    try:
        gpu = subprocess.run(["nvidia-smi", "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"], capture_output=True, text=True).stdout.strip()
    except FileNotFoundError:
        gpu = ""
    return {"gpu": gpu or "none", "cores": os.cpu_count(), "torch": torch.__version__, "cuda": torch.version.cuda, "python": platform.python_version()}


class Results:
    def __init__(self, folder, facts):
        self.folder, self.facts, self.rows = folder, facts, {}
        folder.mkdir(parents=True, exist_ok=True)

    def add(self, name, state, seconds, seen):
        self.rows[name] = {"state": state, "seconds": round(seconds, 1), "seen": seen}
        self.write()
        text = seen if isinstance(seen, str) else ", ".join(f"{key} {value:.4g}" if isinstance(value, float) else f"{key} {value}" for key, value in seen.items())
        print(f"{state:<8} {name:<34} {seconds:6.1f} s  {text}", flush=True)

    def write(self):
        for name, text in (("gpu.json", json.dumps({**self.facts, "checks": self.rows}, indent=1)), ("gpu.txt", self.text())):
            aside = self.folder / (name + ".new")
            aside.write_text(text)
            aside.replace(self.folder / name)

    def text(self):
        lines = [f"{key}: {value}" for key, value in self.facts.items()]
        for name, row in self.rows.items():
            lines.append(f"{row['state']:<8} {name:<34} {row['seconds']:6.1f} s  {row['seen']}")
        return "\n".join(lines) + "\n"


def begin(each, scratch):
    """Runs a check in a process of its own; (process id, file of its answer)."""
    answer = pathlib.Path(scratch, each.name + ".json")
    pid = os.fork()
    if pid:
        return pid, answer
    os.setsid()
    faulthandler.enable()
    try:
        state, seen = "passed", each.call() or {}
    except BaseException as error:  # whatever it is, a SystemExit too, it is this check's outcome
        from kit import Failed
        state, seen = "FAILED", str(error) if isinstance(error, Failed) else traceback.format_exc()[-1500:]
    answer.write_text(json.dumps([state, seen], default=float))
    os._exit(0)


def run_all(checks, results, jobs, scratch):
    waiting, running = sorted(checks, key=lambda each: each.alone), {}
    while waiting or running:
        alone = any(each.alone for each, *_ in running.values())
        while waiting and len(running) < jobs and not alone and (not waiting[0].alone or not running):
            each = waiting.pop(0)
            pid, answer = begin(each, scratch)
            running[pid] = (each, time.monotonic(), answer)
            alone = each.alone
        time.sleep(0.02)
        for pid, (each, since, answer) in list(running.items()):
            done, ended = os.waitpid(pid, os.WNOHANG)
            seconds = time.monotonic() - since
            if done:
                state, seen = json.loads(answer.read_text()) if answer.exists() else ("FAILED", f"the check's process died: {signal.strsignal(os.WTERMSIG(ended)) if os.WIFSIGNALED(ended) else os.WEXITSTATUS(ended)}")
            elif seconds > each.limit_s:
                os.killpg(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
                state, seen = "FAILED", f"not done after {each.limit_s:g} s"
            else:
                continue
            results.add(each.name, state, seconds, seen)
            del running[pid]


def main():
    arguments = parse()
    pack = pathlib.Path(arguments.pack).resolve()
    for folder in ("gpu", "e2e"):
        sys.path.insert(0, str(pack / "source/tests" / folder))
    with tempfile.TemporaryDirectory(prefix="mgpu_gpu_") as scratch:
        os.environ["MGPU_GPU_WORK"] = scratch
        import torch
        use_pack(pack, torch)
        count = gpu_count(torch)
        os.environ["MGPU_GPU_COUNT"] = str(count)
        import kit
        import infer_checks, fault_checks, train_checks, collective_checks, sanitize_checks, speed_checks  # noqa: E401, F401  (they register themselves)
        chosen = [each for each in kit.CHECKS if arguments.part in ("all", each.part) and re.search(arguments.only, each.name)]
        if arguments.list:
            print("\n".join(f"{each.part:<9} {each.name}" for each in chosen))
            return 0
        results = Results(pathlib.Path(arguments.out), {"commit": (pack / "commit").read_text().strip(), **machine(torch)})
        begun = time.monotonic()
        for each in chosen:
            if each.gpu and count == 0:
                results.add(each.name, "skipped", 0, "needs a GPU")
        run_all([each for each in chosen if count or not each.gpu], results, arguments.jobs, scratch)
        states = [row["state"] for row in results.rows.values()]
        print(f"{states.count('passed')} passed, {states.count('FAILED')} failed, {states.count('skipped')} skipped, {time.monotonic() - begun:.0f} s")
        return 1 if "FAILED" in states else 0


if __name__ == "__main__":
    sys.exit(main())

"""compute-sanitizer's memcheck over a short inference and a short training."""

import shutil

from conftest import SmallNet
from infer_checks import picture_case
from kit import RUN, check, expect, run_program
from train_checks import data_of

# Not the errors that calls return: NCCL asks for kernels a GPU does not have, and looks at the answer.
SANITIZER = ("compute-sanitizer", "--tool", "memcheck", "--report-api-errors", "no", "--target-processes", "all", "--error-exitcode", 99, "--require-cuda-init=no")
PATIENCE = ("--start-timeout", 240, "--stall-timeout", 0, "--progress", "none")


def sanitize(*command):
    expect(shutil.which(SANITIZER[0]) is not None, "compute-sanitizer is not installed")
    done = run_program([*SANITIZER, *command], limit_s=250, code=None)
    reports = [line for line in done.out.splitlines() if line.startswith("=========")]
    errors = [line for line in reports if "ERROR SUMMARY" in line]
    expect(done.code == 0 and errors and all(line.split("ERROR SUMMARY: ")[1].startswith("0 ") for line in errors), f"exit code {done.code}\n" + "\n".join(reports[:30]) + done.tail())
    return {"summaries": len(errors)}


@check("sanitize", 280)
def memcheck_of_infer():
    folder, model = picture_case("memcheck", SmallNet(), 24)
    return sanitize(RUN, "infer", "--model", model, "--input", folder / "in", "--output", folder / "out.h5", "--batch-size", 8, "--decode", "nvjpeg", *PATIENCE)


@check("sanitize", 280)
def memcheck_of_train():
    data = data_of("memcheck-train")
    return sanitize(RUN, "train", "--model", data["stateful"], "--input", data["table"], "--no-shuffle", "--batch-size", 16, "--max-steps", 6, "--cuda-graph", "--dtype", "bfloat16",
                    "--clip-norm", 1, "--output", data["folder"] / "out.h5", *PATIENCE)

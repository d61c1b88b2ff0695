"""Workers that die, hang, or lose their GPU: the other rows have the bits of an undisturbed run."""

import os
import pathlib

import numpy as np
import torch
from PIL import Image

from conftest import SmallNet
from infer_checks import bundle, infer, picture_case
from kit import check, expect, expect_same_bits, place, statuses


class Asserting(torch.nn.Module):
    """Reads past the end of a table for a white picture (a bright sky has a mean of 2.1): CUDA's device-side assert, after which the process's context is dead."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(3)
        self.table = torch.nn.Embedding(4, 10)

    def forward(self, x):
        index = (x.mean(dim=(1, 2, 3)) > 2.3).long() * 1000
        return self.table(index) + x.mean(dim=(1, 2, 3)).unsqueeze(1)


def others_are_equal(folder, model, fault, *options, lost=(), code=0):
    undisturbed, _, _ = infer(folder, model, "undisturbed")
    struck, done, out = infer(folder, model, "struck", "--fault", fault, *options, code=code, limit_s=150)
    status, errors = statuses(out)
    failed = tuple(int(row) for row in np.flatnonzero(status != 1))
    expect(failed == tuple(lost), f"failed rows {failed}, expected {tuple(lost)}: {[errors[row] for row in failed]}\n{done.tail()}")
    keep = [row for row in range(len(status)) if row not in lost]
    expect_same_bits(struck[keep], undisturbed[keep], "rows of a run whose workers were hurt")
    return {"said": [errors[row] for row in failed][:1]}


@check("correct", 120)
def worker_killed():
    folder, model = picture_case("killed", SmallNet())
    return others_are_equal(folder, model, "kill:batch=1,times=1")


@check("correct", 150)
def worker_crashes_always():
    folder, model = picture_case("crashes", SmallNet())
    return others_are_equal(folder, model, "segv:item=20", lost=(20,), code=3)


@check("correct", 180)
def worker_hangs():
    folder, model = picture_case("hangs", SmallNet())
    return others_are_equal(folder, model, "hang:batch=1,times=1", "--item-timeout", 2)


@check("correct", 150)
def injected_lost_gpu():
    folder, model = picture_case("lost", SmallNet())
    return others_are_equal(folder, model, "gpu-lost:batch=1,times=1")


def asserting_case(name):
    folder, model = picture_case(name, SmallNet())
    Image.new("RGB", (300, 300), "white").save(folder / "in" / "9999-white.png")
    return folder, bundle(folder / "asserting", Asserting())


@check("correct", 240)
def device_assert_costs_one_row():
    """A picture whose kernel asserts, always: that row fails, the GPU is not banned."""
    folder, model = asserting_case("assert")
    rows, done, out = infer(folder, model, "gpu", code=3, limit_s=200)
    status, errors = statuses(out)
    expect(list(np.flatnonzero(status != 1)) == [45], f"failed: {np.flatnonzero(status != 1)} {set(errors)}\n{done.tail()}")
    cpu, _, _ = infer(folder, model, "cpu", "--devices", "cpu", code=3)
    expect(np.allclose(rows[:45], cpu[:45], rtol=1e-4, atol=1e-4), "other rows are wrong")
    banned = pathlib.Path(os.environ["MGPU_BAD_DEVICES"])
    expect(not banned.exists() or not banned.read_text(), f"the GPU is banned: {banned.exists() and banned.read_text()}")
    return {"said": errors[45]}

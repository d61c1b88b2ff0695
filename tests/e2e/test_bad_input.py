"""Bad items cost their own row; bad usage is one line from one rank and exit 2, before any work."""

import json
import os
import pathlib
import re
import shutil
import struct
import zlib

import h5py
import numpy as np
import pytest
import torch
import torchvision

from conftest import mgpu_run


def huge_png(side):
    """Header of a side × side PNG with almost no data: must be refused by its header."""
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)) + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")


@pytest.fixture(scope="module")
def bad_pictures(tmp_path_factory, pictures):
    """A list of good and bad items with the reason expected (None: good)."""
    folder = tmp_path_factory.mktemp("bad")
    good = sorted(pictures.rglob("*.jpg"))
    items = []

    def add(name, content, reason):
        path = os.fsencode(folder) + b"/" + name
        with open(path, "wb") as file:
            file.write(content)
        items.append((path, reason))

    def keep(path):
        items.append((os.fsencode(path), None))

    whole = good[0].read_bytes()
    keep(good[1])
    add(b"truncated.jpg", whole[: len(whole) // 2], "truncated")
    keep(good[2])
    add(b"empty.jpg", b"", "empty")
    add(b"text.png", b"this is not a picture\n" * 20, "not a picture")
    (folder / "folder.jpg").mkdir()
    items.append((os.fsencode(folder / "folder.jpg"), "folder"))
    items.append((os.fsencode(folder / "missing.jpg"), "No such file"))
    add(b"huge.png", huge_png(60000), "60000")
    for name in ["with space.jpg", "quote'\".jpg", "new\nline.jpg", "한국어 사진.jpg"]:
        add(name.encode(), whole, None)
    add(b"not-utf8-\xff\xfe.jpg", whole, None)
    keep(good[3])
    return folder, items


def write_jsonl(path, items):
    with open(path, "w") as table:
        for name, _ in items:
            table.write(json.dumps({"path": os.fsdecode(name)}) + "\n")


@pytest.mark.parametrize("ranks", [1, 2, 4])
def test_each_bad_item_costs_its_own_row(ranks, tmp_path, bundle, bad_pictures):
    _, items = bad_pictures
    table = tmp_path / "items.jsonl"
    write_jsonl(table, items)
    output = tmp_path / "out.h5"
    done = mgpu_run("infer", "--model", bundle, "--input", table, "--output", output, "--batch-size", 4, ranks=ranks)
    assert done.code == 3, done.err
    with h5py.File(output) as file:
        assert [bytes(path) for path in file["items/path"][:]] == [name for name, _ in items]
        status, errors, logits = file["items/status"][:], file["items/error"].asstr(errors="replace")[:], file["results/logits"][:]
        assert file.attrs["complete"] == 1
    for row, (name, reason) in enumerate(items):
        if reason is None:
            assert status[row] == 1 and errors[row] == "" and np.isfinite(logits[row]).all(), (name, errors[row])
        else:
            assert status[row] == 2 and reason.lower() in errors[row].lower() and np.isnan(logits[row]).all(), (name, errors[row])
    same = [row for row, (name, _) in enumerate(items) if name.endswith((b"space.jpg", b".jpg")) and status[row] == 1][3:8]
    assert len(same) == 5
    reasons = [line for line in done.err.splitlines() if re.match(r"rank \d+: item \d+ ", line)]
    assert len(reasons) == sum(reason is not None for _, reason in items)


def test_a_folder_with_strange_names_is_walked(tmp_path, bundle, bad_pictures):
    folder, items = bad_pictures
    inside = sorted(name for name, _ in items if name.startswith(os.fsencode(folder)) and b"missing" not in name)
    output = tmp_path / "out.h5"
    done = mgpu_run("infer", "--model", bundle, "--input", folder, "--output", output)
    assert done.code == 3, done.err
    with h5py.File(output) as file:
        assert [bytes(path) for path in file["items/path"][:]] == inside
    exported = mgpu_run("export", output, "--format", "jsonl", ranks=0)
    assert [os.fsencode(json.loads(line)["path"]) for line in exported.out.splitlines()] == inside


def test_outputs_that_are_not_finite_are_flagged_not_failed(tmp_path, pictures):
    class Root(torch.nn.Module):
        def forward(self, x):
            return (x.mean(dim=(1, 2, 3)) - 100.0).sqrt()[:, None]
    torch.jit.script(Root()).save(str(tmp_path / "root.pt"))
    output = tmp_path / "out.h5"
    done = mgpu_run("infer", "--model", tmp_path / "root.pt", "--image-size", "32", "--input", pictures / "part0", "--output", output)
    assert done.code == 0, done.err
    with h5py.File(output) as file:
        assert (file["items/status"][:] == 1).all() and (file["items/flags"][:] == 1).all()


def test_max_failures_stops_the_run(tmp_path, bundle, bad_pictures):
    _, items = bad_pictures
    table = tmp_path / "items.jsonl"
    write_jsonl(table, [item for item in items if item[1] is not None] * 50)
    done = mgpu_run("infer", "--model", bundle, "--input", table, "--output", tmp_path / "out.h5", "--batch-size", 1, "--max-failures", 10)
    assert done.code == 75 and "--max-failures allows 10" in done.out


def usage_cases(tmp_path, bundle, pictures):
    text = tmp_path / "text.pt"
    text.write_text("not a model")
    truncated = tmp_path / "cut.pt"
    truncated.write_bytes((bundle / "net.pt").read_bytes()[:2000])
    class Wrong(torch.nn.Module):
        def forward(self, x):
            return x.reshape(-1, 77)
    torch.jit.script(Wrong()).save(str(tmp_path / "wrong.pt"))
    (tmp_path / "none.txt").write_text("")
    no_folder = tmp_path / "no" / "such" / "folder" / "out.h5"
    good = {"--model": bundle, "--input": pictures, "--output": tmp_path / "out.h5"}
    return {
        "model missing": ({**good, "--model": tmp_path / "gone.pt"}, "no such file"),
        "not a model": ({**good, "--model": text, "--image-size": "32"}, "text.pt"),
        "truncated model": ({**good, "--model": truncated, "--image-size": "32"}, "cut.pt"),
        "wrong input shape": ({**good, "--model": tmp_path / "wrong.pt", "--image-size": "32"}, "shape"),
        "output not writable": ({**good, "--output": no_folder}, "out.h5"),
        "zero items": ({**good, "--input": tmp_path / "none.txt"}, "no items"),
        "input missing": ({**good, "--input": tmp_path / "gone"}, "gone"),
        "unknown flag": ({**good, "--batchsize": "4"}, "did you mean --batch-size"),
        "no such device": ({**good, "--devices": "9"}, "device 9"),
        "bad choice": ({**good, "--schedule": "greedy"}, "dynamic"),
        "bad number": ({**good, "--batch-size": "-3"}, "batch-size"),
        "no image size": ({**good, "--model": bundle / "net.pt"}, "--image-size"),
        "unknown label column": ({**good, "--label-column": "truth"}, "truth"),
        "another model": ({**good, "--model-sha256": "00ff"}, "SHA-256"),
        "nonsense fault": ({**good, "--fault": "explode"}, "--fault"),
    }


CASES = ["model missing", "not a model", "truncated model", "wrong input shape", "output not writable", "zero items", "input missing",
         "unknown flag", "no such device", "bad choice", "bad number", "no image size", "unknown label column", "another model", "nonsense fault"]


@pytest.mark.parametrize("ranks", [1, 2])
@pytest.mark.parametrize("case", CASES)
def test_bad_usage_is_one_line_and_exit_2(case, ranks, tmp_path, bundle, pictures):
    options, expected = usage_cases(tmp_path, bundle, pictures)[case]
    done = mgpu_run("infer", *(word for pair in options.items() for word in pair), ranks=ranks)
    assert done.code == 2, (done.out, done.err)
    said = done.lines_of_ours()
    assert len(said) == 1 and expected in said[0], done.err
    assert {path.name for path in tmp_path.glob("out.h5*")} <= {"out.h5.lock"}, "something was left behind"


@pytest.mark.parametrize("load", ["independent", "staged"])
def test_a_pinned_model_is_opened(load, tmp_path, bundle, pictures):
    """The hash that a run has stored pins the next."""
    options = ("--model", bundle, "--input", pictures, "--progress", "none", "--model-load", load)
    assert mgpu_run("infer", *options, "--output", tmp_path / "first.h5").code == 0
    with h5py.File(tmp_path / "first.h5") as file:
        pin = file.attrs["model_sha256"]
    done = mgpu_run("infer", *options, "--output", tmp_path / "second.h5", "--model-sha256", pin)
    assert done.code == 0, done.err


def test_help_teaches_by_example():
    done = mgpu_run("infer", "--help", ranks=2)
    assert done.code == 0 and done.out.count("--batch-size") >= 1 and "mpirun -np 8" in done.out
    assert mgpu_run("--help", ranks=0).code == 0
    assert mgpu_run("dance", ranks=2).code == 2


def test_the_order_is_flag_environment_file_default(tmp_path, bundle, pictures):
    config = tmp_path / "run.toml"
    config.write_text('batch-size = "5"\nthreads = 1\nschedule = "block"\n')
    done = mgpu_run("infer", "--model", bundle, "--input", pictures / "part0", "--output", tmp_path / "out.h5", "--config", config, "--batch-size", "3",
                    MGPU_SCHEDULE="cyclic", MGPU_BATCH_SIZE="4")
    assert done.code == 0, done.err
    with h5py.File(tmp_path / "out.h5") as file:
        config = json.loads(file.attrs["config"])
    assert (config["batch-size"], config["schedule"], config["threads"]) == ("3", "cyclic", 1)


def test_doctor_says_what_every_rank_sees():
    done = mgpu_run("doctor", ranks=2)
    assert done.code == 0, done.err
    assert "NCCL 2." in done.out and "FFmpeg" in done.out
    assert "2 rank(s)" in done.out and "LibTorch 2.11.0" in done.out and "all-reduce over 2 ranks: right" in done.out


def test_a_scripted_network_given_other_channels(pictures, tmp_path):
    """Its error is found deep in the optimised graph; that must not cost the worker its life."""
    torch.jit.script(torchvision.models.resnet18(num_classes=10).eval()).save(str(tmp_path / "net.pt"))
    done = mgpu_run("infer", "--model", tmp_path / "net.pt", "--image-size", 64, "--channels", 1, "--input", pictures, "--output", tmp_path / "out.h5")
    assert done.code == 2, done.err
    (line,) = done.lines_of_ours()
    assert "expected input[16, 1, 64, 64] to have 3 channels" in line


def test_a_label_that_is_no_class_ends_no_work(bundle, pictures, tmp_path):
    """Before any work, not after all of it."""
    table = tmp_path / "list.csv"
    files = sorted(pictures.rglob("*.*"))[:8]
    for wrong in ("nothing", "10", "-1"):
        table.write_text("path,truth\n" + "".join(f"{path},{wrong if index == 5 else 'a'}\n" for index, path in enumerate(files)))
        done = mgpu_run("infer", "--model", bundle, "--input", table, "--label-column", "truth", "--output", tmp_path / "out.h5")
        assert done.code == 2, done.err
        (line,) = done.lines_of_ours()
        assert "item 5" in line and wrong in line
        assert not (tmp_path / "out.h5").exists() and "Plan" not in done.out


def test_everything_fails_for_one_reason(bundle, tmp_path):
    """The likely cause is said at once, and nobody is advised to buy cores."""
    table = tmp_path / "list.txt"
    table.write_text("".join(f"photos/{index}.jpg\n" for index in range(300)))
    done = mgpu_run("infer", "--model", bundle, "--input", table, "--output", tmp_path / "out.h5", "--batch-size", 10)
    assert done.code == 3, done.err
    said = [line for line in done.err.splitlines() if "items all failed, for one reason" in line]
    assert len(said) == 1 and "relative to its folder" in said[0], done.err
    assert "bottleneck" not in done.out


def test_every_rank_has_a_log(bundle, pictures, tmp_path):
    block = ("--schedule", "block")  # else rank 0 may have done all before rank 1 is ready
    done = mgpu_run("infer", "--model", bundle, "--input", pictures, "--output", tmp_path / "out.h5", "--log-dir", tmp_path / "logs", *block)
    assert done.code == 0, done.err
    for rank in (0, 1):
        text = (tmp_path / f"logs/rank-{rank:04}.log").read_text()
        for part in ("host ", str(bundle), "cpu ready in", "its worker ends: "):
            assert part in text, text

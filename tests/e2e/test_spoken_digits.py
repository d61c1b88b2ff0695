"""The spoken-digit recogniser: jobs/train/spoken_digits.py's speech, trained on 2 ranks, then heard by `infer` in voices it never met."""

import csv
import sys
import time

import h5py
import pytest
from training import ROOT, history, train

from conftest import mgpu_run

sys.path.insert(0, str(ROOT / "jobs/train"))
import spoken_digits  # noqa: E402


def edits(one, other):
    """Levenshtein's distance."""
    row = list(range(len(other) + 1))
    for i, left in enumerate(one, 1):
        before, row[0] = row[0], i
        for j, right in enumerate(other, 1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (left != right))
    return row[-1]


@pytest.fixture(scope="module")
def speech(tmp_path_factory):
    folder = tmp_path_factory.mktemp("spoken")
    spoken_digits.main(folder)
    return folder


def test_it_learns_in_minutes_and_infer_hears_new_voices(speech):
    begin = time.monotonic()
    train("--model", speech / "bundle", "--input", speech / "train.csv", "--validate", speech / "test.csv", "--loss", "ctc", "--optimizer", "adamw", "--lr", "0.002",
          "--lr-schedule", "cosine", "--warmup", "1e", "--weight-decay", "0.01", "--clip-norm", 5, "--epochs", 12, "--batch-size", 16, "--seed", 1,
          "--output", speech / "run.h5", "--save", speech / "bundle/model.pt")
    assert time.monotonic() - begin < 300
    told = history(speech / "run.h5", "validation_cer")
    assert len(told) == 12 and told[-1] < 0.10

    heard = speech / "heard.h5"
    done = mgpu_run("infer", "--model", speech / "bundle", "--input", speech / "test.csv", "--output", heard, "--threads", 1)
    assert done.code == 0, done.err
    with open(speech / "test.csv", newline="") as file:
        said = [row["label"] for row in csv.DictReader(file)]
    with h5py.File(heard) as file:
        texts = list(file["results/text"].asstr()[:])
    rate = sum(edits(text, label) for text, label in zip(texts, said, strict=True)) / sum(map(len, said))
    assert rate < 0.10
    assert rate == pytest.approx(told.min(), abs=1e-3)

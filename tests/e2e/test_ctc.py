"""Speech to text: a CTC network's text and words, from recordings whose loudness spells."""

import json
import os
import pathlib
import shutil

import h5py
import numpy as np
import pytest
import soundfile

from conftest import arrays, mgpu_run

VOCABULARY = ["", "a", "b", " ", "ch"]
FRAME = 80  # samples; 10 ms at 8 kHz


@pytest.fixture(scope="module")
def spelled(tmp_path_factory):
    """A bundle with tests/worker/model/make_models.py's Spelling, and recordings: classes of their frames by name."""
    folder = tmp_path_factory.mktemp("ctc")
    shutil.copy(pathlib.Path(os.environ["MGPU_TEST_MODELS"]) / "spelling.pt", folder / "model.pt")
    (folder / "bundle.json").write_text(json.dumps({
        "schema": "mgpu-bundle/1", "model": "model.pt", "audio": {"sample_rate": 8000}, "outputs": ["log_probabilities", "frames"],
        "task": "ctc", "vocabulary": VOCABULARY, "blank": 0, "frame_seconds": 0.01}))
    recordings = {"word": [0, 1, 1, 0, 1, 2], "words": [4, 4, 3, 0, 2, 0, 0, 2, 2, 3, 1], "silence": [0] * 9, "long": [1, 0, 2, 3] * 20}
    (folder / "in").mkdir()
    for name, frames in recordings.items():
        soundfile.write(folder / "in" / f"{name}.wav", np.repeat(np.array(frames) / 10, FRAME), 8000, subtype="FLOAT")
    return folder, [recordings[name] for name in sorted(recordings)]


def expected(frames):
    """Text and the words' times, frame by frame."""
    text, words, before = "", [], 0
    for at, symbol in enumerate(frames):
        if symbol and symbol == before:
            if VOCABULARY[symbol] != " ":
                words[-1][1] = at + 1
        elif symbol:
            if VOCABULARY[symbol] != " ":
                if not text or text[-1] == " ":
                    words.append([at, 0])
                words[-1][1] = at + 1
            text += VOCABULARY[symbol]
        before = symbol
    return text, np.array(words, dtype=np.float32).reshape(-1, 2) * np.float32(0.01)


def test_text_and_words(spelled, tmp_path):
    folder, recordings = spelled
    for ranks in (1, 2):
        output = tmp_path / f"{ranks}.h5"
        done = mgpu_run("infer", "--model", folder, "--input", folder / "in", "--output", output, "--batch-size", 3, "--threads", 1, ranks=ranks)
        assert done.code == 0, done.err
    assert arrays(tmp_path / "1.h5") == arrays(tmp_path / "2.h5")
    with h5py.File(output) as file:
        texts, words, offsets = file["results/text"].asstr()[:], file["results/words/values"][:], file["results/words/offsets"][:].astype(int)
        assert words.dtype == np.float32 and words.shape[1] == 2
    for row, frames in enumerate(recordings):
        text, times = expected(frames)
        assert texts[row] == text
        np.testing.assert_allclose(words[offsets[row]:offsets[row + 1]], times, atol=1e-6)
        assert len(text.split()) == len(times)


def test_a_vocabulary_that_does_not_fit_is_refused(spelled, tmp_path):
    folder, _ = spelled
    other = tmp_path / "bundle"
    shutil.copytree(folder, other)
    bundle = json.loads((other / "bundle.json").read_text())
    for vocabulary, complaint in ((VOCABULARY[:-1], "vocabulary of 4"), (VOCABULARY[:-1] + ["a"], "'a' stands there twice")):
        (other / "bundle.json").write_text(json.dumps({**bundle, "vocabulary": vocabulary}))
        done = mgpu_run("infer", "--model", other, "--input", folder / "in", "--output", tmp_path / "out.h5")
        assert done.code == 2 and complaint in done.err, done.err

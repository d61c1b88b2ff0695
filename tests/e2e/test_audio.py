"""Real recordings (alsa-utils) through an audio network: waveform with lengths, and log-mel."""

import os
import pathlib
import subprocess

import h5py
import numpy as np
import pytest
import torch
import torchaudio

from conftest import arrays, mgpu_run

RECORDINGS = sorted(pathlib.Path("/usr/share/sounds/alsa").glob("*.wav"))


class Loudness(torch.nn.Module):
    """Mean square over the valid samples, and one value for each 10 ms of signal."""

    def forward(self, x: torch.Tensor, lengths: torch.Tensor):
        valid = (torch.arange(x.shape[2])[None, :] < lengths[:, None]).float()
        power = (x[:, 0] * x[:, 0] * valid).sum(1) / lengths.float()
        frames = x.shape[2] // 160
        curve = (x[:, 0, : frames * 160].reshape(x.shape[0], frames, 160) ** 2).mean(2)
        return power, curve


@pytest.fixture(scope="module")
def speech(tmp_path_factory):
    """The recordings, one espeak-ng sentence in several formats, and bad files."""
    folder = tmp_path_factory.mktemp("speech")
    sentence = folder / "sentence.wav"
    subprocess.run(["espeak-ng", "-w", str(sentence), "The quick brown fox jumps over the lazy dog."], check=True)
    for name in ["s.flac", "s.mp3", "s.ogg", "s.m4a"]:
        subprocess.run(["ffmpeg", "-v", "error", "-y", "-i", str(sentence), str(folder / name)], check=True)
    (folder / "zero.wav").write_bytes(b"")
    (folder / "text.wav").write_text("no sound in here\n" * 10)
    (folder / "folder.wav").mkdir()
    subprocess.run(["ffmpeg", "-v", "error", "-y", "-f", "lavfi", "-i", "anullsrc=r=8000:cl=mono", "-t", "36000", "-c:a", "pcm_u8",
                    str(folder / "tenhours.wav")], check=True)
    subprocess.run(["ffmpeg", "-v", "error", "-y", "-f", "lavfi", "-i", "anullsrc=r=8000:cl=mono", "-t", "0", str(folder / "silent.wav")], check=False)
    listing = folder / "items.txt"
    names = [str(path) for path in RECORDINGS] + [str(folder / name) for name in
             ["sentence.wav", "s.flac", "s.mp3", "s.ogg", "s.m4a", "zero.wav", "text.wav", "folder.wav", "tenhours.wav", "missing.wav"]]
    listing.write_text("\n".join(names) + "\n")
    return listing, len(RECORDINGS) + 5, 5


@pytest.mark.parametrize("ranks", [1, 2, 4])
def test_recordings_with_lengths_and_ragged_outputs(ranks, tmp_path, speech):
    listing, good, bad = speech
    torch.jit.script(Loudness().eval()).save(str(tmp_path / "loudness.pt"))
    output = tmp_path / "out.h5"
    done = mgpu_run("infer", "--model", tmp_path / "loudness.pt", "--sample-rate", 16000, "--outputs", "power,curve", "--input", listing,
                    "--output", output, "--batch-size", 4, "--threads", 1, ranks=ranks)
    assert done.code == 3, done.err
    with h5py.File(output) as file:
        status, errors = file["items/status"][:], file["items/error"].asstr()[:]
        assert list(status) == [1] * good + [2] * bad, errors
        assert all(errors[good:]) and "36000" in errors[-2]
        power, offsets, curve = file["results/power"][:], file["results/curve/offsets"][:], file["results/curve/values"][:]
    for row, path in enumerate(RECORDINGS):
        wave, rate = torchaudio_load(path)
        wave = torchaudio.functional.resample(wave.mean(0), rate, 16000)
        frames = int(offsets[row + 1] - offsets[row])
        assert abs(frames - wave.shape[0] // 160) <= 1
        np.testing.assert_allclose(power[row], (wave**2).mean().item(), rtol=0.02)
    assert offsets[-1] == len(curve) and (np.diff(offsets[good:].astype(np.int64)) == 0).all()
    if ranks > 1:
        alone = tmp_path / "alone.h5"
        mgpu_run("infer", "--model", tmp_path / "loudness.pt", "--sample-rate", 16000, "--outputs", "power,curve", "--input", listing,
                 "--output", alone, "--batch-size", 4, "--threads", 1, ranks=1)
        assert arrays(alone) == arrays(output)


def torchaudio_load(path):
    import soundfile
    samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    return torch.from_numpy(samples.T), rate


class MeanMel(torch.nn.Module):
    def forward(self, x):
        return x.mean(dim=2)


def test_log_mel_features(tmp_path, speech):
    torch.jit.script(MeanMel().eval()).save(str(tmp_path / "mel.pt"))
    listing = tmp_path / "one.txt"
    listing.write_text(str(speech[0].parent / "sentence.wav") + "\n")
    output = tmp_path / "out.h5"
    done = mgpu_run("infer", "--model", tmp_path / "mel.pt", "--sample-rate", 16000, "--features", "log_mel", "--outputs", "mel", "--input", listing,
                    "--output", output)
    assert done.code == 0, done.err
    from faster_whisper.feature_extractor import FeatureExtractor
    wave, rate = torchaudio_load(speech[0].parent / "sentence.wav")
    wave = torchaudio.functional.resample(wave.mean(0), rate, 16000).numpy()
    wanted = FeatureExtractor()(wave, padding=0)
    with h5py.File(output) as file:
        np.testing.assert_allclose(file["results/mel"][0], wanted.mean(axis=1), atol=0.05)

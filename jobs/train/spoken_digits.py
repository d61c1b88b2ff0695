"""Spoken digits in many voices and a recogniser that knows nothing yet: `python spoken_digits.py FOLDER`.

espeak-ng says rows of one to four digits ("seven two nine") in voices that differ in accent, timbre, speed and pitch. They are
written as 16 kHz WAV files with two tables of what is said: train.csv, and test.csv in voices that are not in train.csv. bundle/
holds a small CTC network with random weights that spells what it hears, letter by letter, from log-mel features.
"""

import csv
import json
import pathlib
import random
import subprocess
import sys
import tempfile

import soundfile
import torch
import torchaudio

WORDS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
VOCABULARY = ["", " ", *sorted(set("".join(WORDS)))]
RATE_HZ = 16000
MELS = 40
CHANNELS = 96

ACCENTS = ["en-us", "en-gb", "en-gb-x-rp", "en-us-nyc", "en-gb-scotland", "en-029", "en-gb-x-gbclan", "en-gb-x-gbcwmd"]
TRAIN_TIMBRES = ["m1", "f1", "m2", "f3", "m3", "f4", "m4", "m5", "m7", "Alicia", "Andy", "Antonio", "adam", "belinda", "boris", "caleb", "david", "ed",
                 "Gene", "grandpa", "linda", "Michael", "norbert", "steph"]
TRAIN_VOICES = [f"{ACCENTS[index % len(ACCENTS)]}+{timbre}" for index, timbre in enumerate(TRAIN_TIMBRES)]
TEST_VOICES = ["en-us+m6", "en-us+f2", "en-gb+f5", "en-gb-x-rp+m8"]  # timbres that are not heard in training
TRAIN_ROWS, TEST_ROWS = 35, 40  # a voice


class Block(torch.nn.Module):
    """Adds what a convolution over `5 + 4 * (dilation - 1)` frames sees; frames beyond a recording's end stay zero."""

    def __init__(self, channels: int, dilation: int):
        super().__init__()
        self.norm = torch.nn.LayerNorm(channels)
        self.conv = torch.nn.Conv1d(channels, channels, 5, padding=2 * dilation, dilation=dilation)
        self.out = torch.nn.Conv1d(channels, channels, 1)

    def forward(self, x: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
        y = self.norm(x.transpose(1, 2)).transpose(1, 2) * valid
        y = torch.relu(self.conv(y))
        return x + self.out(y) * valid


class Recogniser(torch.nn.Module):
    """Log-mel [B, mels, frames] and their lengths [B] → log-probabilities [B, T, letters] every 20 ms, and lengths [B]."""

    def __init__(self):
        super().__init__()
        self.first = torch.nn.Conv1d(MELS, CHANNELS, 5, stride=2, padding=2)
        self.blocks = torch.nn.ModuleList([Block(CHANNELS, dilation) for dilation in (1, 2, 4, 1)])
        self.norm = torch.nn.LayerNorm(CHANNELS)
        self.head = torch.nn.Linear(CHANNELS, len(VOCABULARY))

    def forward(self, mel: torch.Tensor, lengths: torch.Tensor):
        steps = (lengths + 1) // 2
        before = torch.arange(mel.shape[2], device=mel.device)[None, :] < lengths[:, None]
        x = self.first(mel * before[:, None, :].to(mel.dtype))
        valid = (torch.arange(x.shape[2], device=mel.device)[None, :] < steps[:, None])[:, None, :].to(mel.dtype)
        x = torch.relu(x) * valid
        for block in self.blocks:
            x = block(x, valid)
        letters = self.head(self.norm(x.transpose(1, 2)))
        return torch.log_softmax(letters.float(), 2), steps


def say(text, voice, speed, pitch, path):
    """`speed` in words a minute, `pitch` from 0 to 99."""
    with tempfile.NamedTemporaryFile(suffix=".wav") as spoken:
        subprocess.run(["espeak-ng", "-v", voice, "-s", str(speed), "-p", str(pitch), "-w", spoken.name, text], check=True)
        samples, rate = soundfile.read(spoken.name, dtype="float32")
    wave = torchaudio.functional.resample(torch.from_numpy(samples), rate, RATE_HZ)
    soundfile.write(path, wave.numpy(), RATE_HZ, subtype="PCM_16")


def write_speech(folder, name, voices, rows, seed):
    """`rows` recordings of each voice in `folder`/`name`, and the table `folder`/`name`.csv; their number."""
    (folder / name).mkdir(parents=True, exist_ok=True)
    choose = random.Random(seed)
    with open(folder / f"{name}.csv", "w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["path", "label"])
        for index, voice in enumerate(voice for voice in voices for _ in range(rows)):
            text = " ".join(choose.choices(WORDS, k=choose.randint(1, 4)))
            path = f"{name}/{index:04d}.wav"
            say(text, voice, choose.randint(120, 200), choose.randint(25, 75), folder / path)
            table.writerow([path, text])
    return len(voices) * rows


def main(folder):
    folder = pathlib.Path(folder)
    bundle = folder / "bundle"
    bundle.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(1)
    torch.jit.script(Recogniser()).save(str(bundle / "model.pt"))
    (bundle / "bundle.json").write_text(json.dumps({
        "schema": "mgpu-bundle/1", "model": "model.pt",
        "audio": {"sample_rate": RATE_HZ, "features": "log_mel", "mels": MELS, "n_fft": 400, "hop": 160},
        "outputs": ["log_probabilities", "steps"], "task": "ctc", "vocabulary": VOCABULARY, "blank": 0, "frame_seconds": 0.02}, indent=2))
    train = write_speech(folder, "train", TRAIN_VOICES, TRAIN_ROWS, 1)
    test = write_speech(folder, "test", TEST_VOICES, TEST_ROWS, 2)
    print(f"{train} recordings in {len(TRAIN_VOICES)} voices to train with, {test} in {len(TEST_VOICES)} others to test, lie in {folder}")


if __name__ == "__main__":
    main(sys.argv[1])

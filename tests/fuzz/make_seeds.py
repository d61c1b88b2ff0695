"""Small well-formed inputs for the fuzzers to begin with: make_seeds.py FOLDER. One subfolder a fuzzer."""

import io
import pathlib
import struct
import sys
import wave

import numpy as np
from PIL import Image


def write(folder, name, content):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(content)


def pictures(folder):
    generator = np.random.default_rng(0)
    for name, options in {"base.jpg": {}, "progressive.jpg": {"progressive": True}, "plain.png": {}, "plain.bmp": {}, "lossy.webp": {}, "plain.gif": {}, "plain.tiff": {},
                          "lzw.tiff": {"compression": "tiff_lzw"}}.items():
        for mode in ("RGB", "L", "P", "CMYK", "RGBA", "1", "I;16"):
            picture = Image.fromarray(generator.integers(0, 255, (13, 17, 3), dtype=np.uint8)).convert("L" if mode == "I;16" else mode)
            if mode == "I;16":
                picture = Image.fromarray(generator.integers(0, 65535, (13, 17), dtype=np.uint16))
            out = io.BytesIO()
            try:
                picture.save(out, name.split(".")[1].replace("jpg", "jpeg"), **options)
            except (OSError, ValueError):
                continue  # a format that has no such mode
            write(folder, f"{mode.replace(';', '')}_{name}", out.getvalue())


def recordings(folder):
    samples = (3000 * np.sin(np.arange(4000) / 5)).astype("<i2")
    for channels, rate in ((1, 16000), (2, 8000)):
        out = io.BytesIO()
        with wave.open(out, "wb") as file:
            file.setnchannels(channels)
            file.setsampwidth(2)
            file.setframerate(rate)
            file.writeframes(np.repeat(samples, channels).tobytes())
        write(folder, f"{channels}_{rate}.wav", out.getvalue())
    write(folder, "tone.au", b".snd" + struct.pack(">IIIII", 24, 0xffffffff, 3, 8000, 1) + samples.astype(">i2").tobytes())


def tables(folder):
    write(folder, "csv", b"\x00path,label,priority,duration\na.png,cat,3,1.5\n\"b,\"\"c\"\".png\",dog,,\n")
    write(folder, "jsonl", b"\x01{\"path\": \"a.png\", \"label\": \"cat\", \"priority\": 2}\n{\"path\": \"\\u00e9.png\", \"extra\": [1, {\"a\": null}]}\n")
    write(folder, "txt", b"\x02a.png\n# a comment\n\n../b c.png\r\n")


def bundles(folder):
    write(folder, "image", b'{"schema": "mgpu-bundle/1", "model": "net.pt", "image": {"size": [96, 96], "resize": "shorter", "resize_to": 110, "crop": "center", "mean": '
                           b'[0.4, 0.4, 0.4], "std": [0.2, 0.2, 0.2], "interpolation": "bicubic"}, "outputs": ["logits"], "labels": ["a", "b"]}')
    write(folder, "ctc", b'{"schema": "mgpu-bundle/1", "model": "net.pt", "audio": {"sample_rate": 16000, "features": "log_mel", "mels": 80}, "task": "ctc", '
                         b'"vocabulary": ["_", "a", "\\u00e9"], "blank": 0, "frame_seconds": 0.02}')


def messages(folder):
    for kind in range(22):
        write(folder, f"{kind}", bytes([kind]) + bytes(64))


def journals(folder):
    """Frames of the kinds there are, with an identity to begin with."""
    identity = b'{"job": "infer", "version": "0.1.0", "device": "cpu", "batch_size": 4, "options": {}, "model": "net.pt", "model_state": "", "model_sha256": "", "items": 9, "manifest_sha256": "00"}'
    def frame(kind, payload):
        return bytes([kind - 1]) + struct.pack("<H", len(payload)) + payload
    write(folder, "frames", b"\x02" + frame(1, identity) + frame(2, bytes(40)) + frame(3, bytes(128)) + frame(4, b"") + frame(5, b"ab" * 32) + frame(6, bytes(24)) + frame(7, bytes(8)))
    write(folder, "raw", b"\x00gpframe3" + bytes(120))


def tokenizers(folder):
    """After a byte: 0: a tokenizer.json, its vocabulary "{}" replaced by one of all bytes; 1, 2: a text for one of two patterns."""
    byte_level = b'{"type": "ByteLevel", "add_prefix_space": true}'
    write(folder, "json", b'\x00{"version": "1.0", "added_tokens": [{"id": 258, "content": "<s>", "special": true, "normalized": true, "lstrip": true, "rstrip": true, "single_word": true}], '
          b'"normalizer": {"type": "NFC"}, "pre_tokenizer": ' + byte_level + b', "decoder": ' + byte_level + b', "post_processor": {"type": "TemplateProcessing", "single": [{"SpecialToken": '
          b'{"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}], "pair": [], "special_tokens": {"<s>": {"id": "<s>", "ids": [258], "tokens": ["<s>"]}}}, '
          b'"model": {"type": "BPE", "vocab": {}, "merges": [["a", "b"], "ab c"], "ignore_merges": false}}')
    for kind in (1, 2):
        write(folder, f"text{kind}", bytes([kind]) + "It'S 'ſ abc ab\r\n  x 12 값 \u1100\u1161\u11a8 e\u0301\u0323 👍🏽 \u3000<s> ".encode())


def main(folder):
    for name, make in {"picture": pictures, "audio": recordings, "manifest": tables, "bundle": bundles, "wire": messages, "journal": journals, "tokenizer": tokenizers}.items():
        make(folder / name)


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))

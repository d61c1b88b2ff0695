"""Writes the inputs of the load tests and what Pillow, torchvision, soundfile, torchaudio and faster-whisper make of them.

    python make_references.py DIRECTORY

pictures.tsv: file, npy with exif_transpose(open(file)).convert("RGB") as uint8 [H, W, 3]
prepared.tsv: file, rule (see load_image_test.cpp), npy with the model's input as float32 [C, H, W]
recordings.tsv: file, sample rate, npy with the samples as float32 [T]
changed.tsv: npy with a uint8 picture [H, W, C], top, left, height, width, flip, order of colour changes ("-": none), their factors, npy with what
    torchvision's functional operations make of it as float32 [C, 45, 60]
mel.tsv: mels, n_fft, hop, npy with the samples, npy with the features
and those of resize_references.py and nms_references.py.
"""
import hashlib
import os
import struct
import subprocess
import sys

import numpy as np
import soundfile
import torch
import torchaudio
import torchvision.transforms as T
import torchvision.transforms.functional as TF
from faster_whisper.feature_extractor import FeatureExtractor
from PIL import Image, ImageOps
from sklearn.datasets import load_sample_image

import nms_references
import resize_references

MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]


def photographs():
    china, flower = (Image.fromarray(load_sample_image(name)) for name in ("china.jpg", "flower.jpg"))
    return china.crop((0, 0, 569, 427)).resize((500, 375), Image.LANCZOS), flower.resize((333, 251), Image.LANCZOS)


def write_jpegs(china, flower):
    for quality in (50, 90, 100):
        yield china, f"china_q{quality}.jpg", dict(quality=quality)
    for subsampling in ("4:4:4", "4:2:2", "4:2:0"):
        for progressive in (False, True):
            name = f"flower_{subsampling.replace(':', '')}_{'progressive' if progressive else 'baseline'}.jpg"
            yield flower, name, dict(quality=90, subsampling=subsampling, progressive=progressive)
    yield flower, "flower_restarts.jpg", dict(quality=85, restart_marker_blocks=7)
    yield china.convert("L"), "grey.jpg", dict(quality=90)
    yield china.convert("CMYK"), "cmyk.jpg", dict(quality=90)
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        yield china.crop((40, 30, 401, 280)), f"orientation_{orientation}.jpg", dict(quality=90, exif=exif)
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
    yield flower, "orientation_xmp.jpg", dict(quality=90, xmp=xmp)
    yield china.resize((16, 900)), "narrow.jpg", dict(quality=90)
    yield china.resize((1, 1)), "one_pixel.jpg", dict(quality=90)


def write_others(china, flower):
    small = flower.resize((157, 119))
    alpha = Image.fromarray((np.add.outer(np.arange(119), np.arange(157)) % 256).astype(np.uint8))
    rgba, la = small.copy(), small.convert("L")
    rgba.putalpha(alpha)
    la.putalpha(alpha)
    exif = Image.Exif()
    exif[0x0112] = 6
    palette = small.quantize(64)
    deep = Image.fromarray((np.add.outer(np.arange(119) * 3, np.arange(157) * 2)).astype(np.uint16))
    for name, picture, options in (
        ("rgb.png", china, {}), ("grey.png", china.convert("L"), {}), ("la.png", la, {}), ("rgba.png", rgba, {}),
        ("palette.png", palette, {}), ("palette_index.png", palette, dict(transparency=3)),
        ("palette_alpha.png", palette, dict(transparency=bytes(range(0, 256, 4)))), ("rgb_transparent.png", small, dict(transparency=(1, 2, 3))),
        ("palette4.png", small.quantize(16), dict(bits=4)), ("palette1.png", small.quantize(2), dict(bits=1)),
        ("one_bit.png", small.convert("1"), {}), ("deep_grey.png", deep, {}), ("orientation.png", small, dict(exif=exif)),
        ("lossy.webp", flower, dict(quality=80)), ("lossless.webp", small, dict(lossless=True)), ("alpha.webp", rgba, dict(lossless=True)),
        ("orientation.webp", small, dict(lossless=True, exif=exif)),
        ("rgb.bmp", small, {}), ("grey.bmp", small.convert("L"), {}), ("palette.bmp", palette, {}), ("one_bit.bmp", small.convert("1"), {}),
        ("rgba.bmp", rgba, {}),
        ("rgb.tiff", small, {}), ("lzw.tiff", small, dict(compression="tiff_lzw")), ("deflate.tiff", small, dict(compression="tiff_deflate")),
        ("jpeg.tiff", small, dict(compression="jpeg")), ("g4.tiff", small.convert("1"), dict(compression="group4")),
        ("grey.tiff", small.convert("L"), {}), ("palette.tiff", palette, {}), ("rgba.tiff", rgba, {}), ("cmyk.tiff", small.convert("CMYK"), {}),
        ("deep_grey.tiff", deep, {}), ("orientation.tiff", small, dict(exif=exif)),
        ("plain.gif", palette, {}), ("transparent.gif", palette, dict(transparency=5)), ("interlaced.gif", palette, dict(interlace=1)),
    ):
        yield picture, name, options
    frames = [palette, palette.rotate(180)]
    frames[0].save("animated.gif", save_all=True, append_images=frames[1:], duration=50)
    small.save("animated.webp", save_all=True, append_images=[small.rotate(180)], duration=50, lossless=True)
    yield None, "animated.gif", {}
    yield None, "animated.webp", {}


def write_png(path, channels, interlaced):
    """PNGs Pillow cannot write: 16-bit colour, interlaced (FFmpeg writes them)."""
    kind = {(3, False): "rgb48be", (4, False): "rgba64be", (2, False): "ya16be", (3, True): "rgb24", (1, True): "gray"}[(channels, interlaced)]
    command = ["ffmpeg", "-v", "error", "-y", "-i", "rgb.png", "-vf", "scale=97:61", "-pix_fmt", kind]
    subprocess.run(command + (["-pred", "mixed"] if not interlaced else ["-flags", "+ildct"]) + [path], check=True)


def bmp_runs(path):
    """An 8-bit run-length coded BMP, 5 × 3: runs and literals (Pillow misreads jumps)."""
    data = bytes([3, 7, 2, 9, 0, 0, 0, 5, 1, 2, 3, 4, 5, 0, 0, 0, 2, 0, 2, 6, 1, 8, 0, 0, 0, 1])
    palette = b"".join(bytes([i * 3, 255 - i, i * 20, 0]) for i in range(10))
    offset = 14 + 40 + len(palette)
    header = struct.pack("<2sIHHI", b"BM", offset + len(data), 0, 0, offset)
    header += struct.pack("<IiiHHIIiiII", 40, 5, 3, 1, 8, 1, len(data), 0, 0, 10, 0)
    with open(path, "wb") as file:
        file.write(header + palette + data)


def letterbox(picture, height, width):
    """ultralytics' LetterBox (centred, grey 114) around Pillow's resize."""
    ratio = min(height / picture.height, width / picture.width)
    size = (round(picture.width * ratio), round(picture.height * ratio))
    left, top = round((width - size[0]) / 2 - 0.1), round((height - size[1]) / 2 - 0.1)
    canvas = Image.new("RGB", (width, height), (114, 114, 114))
    canvas.paste(picture.resize(size, Image.BILINEAR), (left, top))
    return T.ToTensor()(canvas)


def rules():
    normalised = [T.ToTensor(), T.Normalize(MEAN, STD)]
    mode = T.InterpolationMode
    return {
        "imagenet": T.Compose([T.Resize(256, antialias=True), T.CenterCrop(224)] + normalised),
        "bicubic": T.Compose([T.Resize(232, mode.BICUBIC, antialias=True), T.CenterCrop((224, 200))] + normalised),
        "nearest": T.Compose([T.Resize(100, mode.NEAREST), T.CenterCrop(96)] + normalised),
        "exact": T.Compose([T.Resize((130, 211), antialias=True)] + normalised),
        "enlarge": T.Compose([T.Resize((700, 900), mode.BICUBIC, antialias=True)] + normalised),
        "padded": T.Compose([T.Resize(60, antialias=True), T.CenterCrop((75, 300))] + normalised),
        "grey": T.Compose([lambda p: p.convert("L"), T.Resize(64, antialias=True), T.CenterCrop(64), T.ToTensor()]),
        "letterbox": lambda p: letterbox(p, 320, 321),
        "lanczos": T.Compose([T.Resize(232, mode.LANCZOS), T.CenterCrop((224, 200))] + normalised),
        "tensor": lambda p: T.Resize((90, 140), antialias=False)(T.ToTensor()(p)),
    }


def opened(path):
    return ImageOps.exif_transpose(Image.open(path)).convert("RGB")


def write_pictures():
    china, flower = photographs()
    names = []
    for picture, name, options in list(write_jpegs(china, flower)) + list(write_others(china, flower)):
        if picture is not None:
            picture.save(name, **options)
        names.append(name)
    for name, channels, interlaced in (("rgb16.png", 3, False), ("rgba16.png", 4, False), ("la16.png", 2, False), ("interlaced.png", 3, True), ("interlaced_grey.png", 1, True)):
        write_png(name, channels, interlaced)
        names.append(name)
    bmp_runs("runs.bmp")
    china.resize((3000, 2250), Image.BICUBIC).save("large.jpg", quality=92)
    china.resize((3001, 2003), Image.BICUBIC).save("large_odd.jpg", quality=92)
    names.append("runs.bmp")
    every = rules()
    with open("pictures.tsv", "w") as table, open("prepared.tsv", "w") as prepared:
        for name in names:
            picture = opened(name)
            np.save(name + ".npy", np.asarray(picture))
            table.write(f"{name}\t{name}.npy\n")
            chosen = ["imagenet"] if min(picture.size) > 4 else []
            if name in ("rgb.png", "orientation.png", "china_q90.jpg", "orientation_7.jpg"):
                chosen = list(every)
            for rule in chosen:
                reference = f"{name}.{rule}.npy"
                np.save(reference, np.asarray(every[rule](picture)))
                prepared.write(f"{name}\t{rule}\t{reference}\n")
        for name in ("large.jpg", "large_odd.jpg"):
            np.save(f"{name}.imagenet.npy", np.asarray(every["imagenet"](opened(name))))
            prepared.write(f"{name}\timagenet\t{name}.imagenet.npy\n")


def changed(picture, top, left, height, width, flip, order, factors):
    """Crop and resize of the picture as Pillow has it, then colours of float tensors, where nothing is rounded."""
    picture = TF.resized_crop(picture, top, left, height, width, (45, 60), T.InterpolationMode.BILINEAR, antialias=True)
    tensor = TF.to_tensor(TF.hflip(picture) if flip else picture)
    operations = [TF.adjust_brightness, TF.adjust_contrast, TF.adjust_saturation]
    for which in order:
        tensor = operations[which](tensor, factors[which])
    channels = tensor.shape[0]
    return TF.normalize(tensor, MEAN[:channels], STD[:channels]).numpy()


def write_changes():
    """Random changes of a colour and a grey picture, whole and enlarged crops among them."""
    generator = np.random.default_rng(9)
    china = photographs()[0].resize((86, 64), Image.BILINEAR)
    with open("changed.tsv", "w") as table:
        for name, picture in (("colour", china), ("grey", china.convert("L"))):
            pixels = np.asarray(picture)
            np.save(f"changed_{name}.npy", pixels.reshape(64, 86, -1))
            for index in range(24):
                height, width = int(generator.integers(8, 65)), int(generator.integers(8, 87))
                if index == 0:
                    height, width = 64, 86
                if index == 1:
                    height, width = 45, 60
                top, left = int(generator.integers(0, 65 - height)), int(generator.integers(0, 87 - width))
                order = [] if index % 3 == 1 else [int(each) for each in generator.permutation(3)]
                factors = [float(each) for each in generator.uniform(0.4, 1.6, 3)]
                flip = bool(index % 2)
                reference = f"changed_{name}_{index}.npy"
                np.save(reference, changed(picture, top, left, height, width, flip, order, factors))
                cells = [f"changed_{name}.npy", top, left, height, width, int(flip), "".join(map(str, order)) or "-", *factors, reference]
                table.write("\t".join(map(str, cells)) + "\n")


def resampled(samples, rate, to):
    """Mean of the channels, then torchaudio's default resampling."""
    mono = torch.from_numpy(samples.mean(axis=1, dtype=np.float32) if samples.ndim == 2 else samples)
    return torchaudio.functional.resample(mono, rate, to).numpy()


def write_recordings():
    subprocess.run(["espeak-ng", "-w", "speech.wav", "The quick brown fox jumps over the lazy dog, twice."], check=True)
    source = "/usr/share/sounds/alsa/Front_Center.wav"
    noise = "/usr/share/sounds/alsa/Noise.wav"
    made = {
        "mulaw.wav": ["-i", source, "-ar", "8000", "-c:a", "pcm_mulaw"], "deep.wav": ["-i", source, "-c:a", "pcm_s24le"],
        "bytes.wav": ["-i", source, "-c:a", "pcm_u8"], "float.wav": ["-i", source, "-c:a", "pcm_f32le"],
        "flac.flac": ["-i", source, "-sample_fmt", "s16"], "vorbis.ogg": ["-i", source, "-c:a", "libvorbis"],
        "opus.ogg": ["-i", source, "-c:a", "libopus"], "music.mp3": ["-i", source, "-c:a", "libmp3lame", "-b:a", "128k"],
        "aac.m4a": ["-i", source, "-c:a", "aac"],
        "surround.wav": ["-i", source, "-i", noise, "-filter_complex", "[0:a][1:a]amerge=inputs=2,pan=5.1|c0=c0|c1=c1|c2=0.5*c0|c3=c0|c4=c1|c5=0.3*c1", "-c:a", "pcm_s16le"],
    }
    for name, arguments in made.items():
        subprocess.run(["ffmpeg", "-v", "error", "-y"] + arguments + [name], check=True)
    with open("recordings.tsv", "w") as table:
        for path in [source, noise, "speech.wav"] + list(made):
            if path.endswith(".m4a"):  # soundfile reads no AAC: FFmpeg's own decoder, then the same path
                subprocess.run(["ffmpeg", "-v", "error", "-y", "-i", path, "-c:a", "pcm_f32le", "aac_decoded.wav"], check=True)
                samples, rate = soundfile.read("aac_decoded.wav", dtype="float32")
            else:
                samples, rate = soundfile.read(path, dtype="float32")
            for to in (rate, 16000, 22050):
                reference = f"{os.path.basename(path)}.{to}.npy"
                np.save(reference, resampled(samples, rate, to))
                table.write(f"{path}\t{to}\t{reference}\n")
    speech, rate = soundfile.read("speech.wav", dtype="float32")
    return resampled(speech, rate, 16000)


def write_mel(speech):
    inputs = {"speech": speech, "noise": np.random.default_rng(3).normal(0, 0.1, 16000).astype(np.float32), "silence": np.zeros(4000, np.float32)}
    with open("mel.tsv", "w") as table:
        for name, samples in inputs.items():
            np.save(f"mel_{name}.npy", samples)
            for mels, n_fft, hop in ((80, 400, 160), (128, 400, 160), (64, 512, 128), (40, 210, 77), (20, 125, 50)):
                extractor = FeatureExtractor(feature_size=mels, n_fft=n_fft, hop_length=hop)
                reference = f"mel_{name}_{mels}_{n_fft}_{hop}.npy"
                features = extractor(samples, padding=0)[:, : len(samples) // hop].astype(np.float32)
                np.save(reference, np.ascontiguousarray(features))
                table.write(f"{mels}\t{n_fft}\t{hop}\tmel_{name}.npy\t{reference}\n")


def main():
    directory = sys.argv[1]
    os.makedirs(directory, exist_ok=True)
    stamp = hashlib.sha256()
    for path in (__file__, nms_references.__file__, resize_references.__file__):
        with open(path, "rb") as file:
            stamp.update(file.read())
    stamp = stamp.hexdigest()
    os.chdir(directory)
    if os.path.exists("stamp") and open("stamp").read() == stamp:
        return
    torch.set_num_threads(1)
    write_pictures()
    resize_references.write(photographs()[0])
    nms_references.write()
    write_changes()
    write_mel(write_recordings())
    with open("stamp", "w") as file:
        file.write(stamp)


if __name__ == "__main__":
    main()

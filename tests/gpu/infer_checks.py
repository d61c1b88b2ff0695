"""Inference on a GPU beside inference on a CPU and PyTorch's own."""

import json
import wave

import numpy as np
import torch
from PIL import Image

from conftest import SmallNet
from kit import EXACT, HAS_GPU, PACK, Ballast, check, crops, expect, expect_close, expect_same_bits, mgpu, place, result, run_program, save_pictures, statuses

IMAGE = {"size": [96, 96], "resize": "shorter", "resize_to": 110, "crop": "center", "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}


class NormedNet(torch.nn.Module):
    """Convolutions with batch norm, a residual, and an integer buffer that is an index (as Swin has)."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(6)
        self.first = torch.nn.Sequential(torch.nn.Conv2d(3, 32, 7, stride=4), torch.nn.BatchNorm2d(32), torch.nn.ReLU())
        self.block = torch.nn.Sequential(torch.nn.Conv2d(32, 32, 3, padding=1), torch.nn.BatchNorm2d(32), torch.nn.ReLU())
        self.head = torch.nn.Linear(32, 10)
        self.register_buffer("order", torch.randperm(32))
        for norm in (self.first[1], self.block[1]):
            norm.running_mean.uniform_(-0.2, 0.2)
            norm.running_var.uniform_(0.5, 2)

    def forward(self, x):
        y = self.first(x)
        y = y + self.block(y)
        return self.head(y.mean(dim=(2, 3))[:, self.order])


class Pixels(torch.nn.Module):
    """What a picture looks like: means over 12 x 12 pixels."""

    def forward(self, x):
        return torch.nn.functional.avg_pool2d(x.float(), 12).flatten(1)


class Frames(torch.nn.Module):
    """A value for each 160 samples of a recording."""

    def forward(self, x, lengths):
        frames = torch.nn.functional.avg_pool1d(x.abs(), 160, 160).squeeze(1)
        return frames, torch.div(lengths, 160, rounding_mode="floor")


class Hungry(torch.nn.Module):
    """Takes about 450 MB a row for a moment."""

    def forward(self, x):
        wide = x.flatten(1)[:, :1024].unsqueeze(2).repeat(1, 1, 36000)
        return (wide * 2 + 1).mean(dim=2)[:, :10]


def bundle(folder, network, name="net.pt", **more):
    folder.mkdir(parents=True, exist_ok=True)
    torch.jit.script(network.eval()).save(str(folder / name))
    (folder / "bundle.json").write_text(json.dumps({"schema": "mgpu-bundle/1", "model": name, "image": IMAGE, "outputs": ["logits"], **more}))
    return folder


def infer(folder, model, name, *options, output="logits", environment=None, code=0, **more):
    out = folder / f"{name}.h5"
    done = mgpu("infer", "--model", model, "--input", folder / "in", "--output", out, "--batch-size", 16, "--loaders", 2, *options, environment=environment, code=code, **more)
    return result(out, output), done, out


def picture_case(name, network, count=45):
    folder = place(name)
    (folder / "in").mkdir()
    save_pictures(folder / "in", count)
    return folder, bundle(folder / "bundle", network)


@check("correct", 90, gpu=False)
def doctor():
    done = mgpu("doctor")
    return {"said": " | ".join(line.strip() for line in done.out.splitlines() if "GPU" in line or "NCCL" in line or "cuda" in line.lower())[:400]}


@check("correct", 60, gpu=False)
def unit_tests():
    run_program([PACK / "bin/worker_collective_cuda_test"], 50)


@check("correct", 150)
def infer_float32():
    seen = {}
    for name, network in (("small", SmallNet()), ("normed", NormedNet())):
        folder, model = picture_case(f"float32-{name}", network)
        cpu, _, _ = infer(folder, model, "cpu", "--devices", "cpu")
        gpu, done, _ = infer(folder, model, "gpu", environment=EXACT)
        expect("cuda:0" in done.out, "the table does not say that a GPU was used")
        seen[name] = expect_close(gpu, cpu, 1e-5, f"{name}, float32 without TF32")
        again, _, _ = infer(folder, model, "again", environment=EXACT)
        expect_same_bits(again, gpu, f"{name}: a second run")
        with_tf32, _, _ = infer(folder, model, "tf32")
        seen[name + "_tf32"] = expect_close(with_tf32, cpu, 5e-3, f"{name}, float32 with TF32 allowed")
    return seen


@check("correct", 150)
def infer_half_precision():
    seen = {}
    for name, network in (("small", SmallNet()), ("normed", NormedNet())):
        folder, model = picture_case(f"half-{name}", network)
        cpu, _, _ = infer(folder, model, "cpu", "--devices", "cpu")
        for dtype, most in (("bfloat16", 3e-2), ("float16", 5e-3)):
            gpu, _, _ = infer(folder, model, dtype, "--dtype", dtype)
            seen[f"{name}_{dtype}"] = expect_close(gpu, cpu, most, f"{name}, {dtype}")
    return seen


@check("correct", 240)
def infer_compiled():
    """A .pt2 compiled on this machine: dynamic and fixed batch, float32 and bfloat16."""
    seen = {}
    folder, scripted = picture_case("compiled", SmallNet())
    cpu, _, _ = infer(folder, scripted, "cpu", "--devices", "cpu")
    example = torch.randn(16, 3, 96, 96)
    for name, dtype, dynamic in (("dynamic", torch.float32, True), ("fixed", torch.float32, False), ("half", torch.bfloat16, True)):
        torch.manual_seed(0)
        network = SmallNet().eval().cuda().to(dtype)
        shapes = ({0: torch.export.Dim("batch", min=1, max=64)},) if dynamic else None
        model = folder / name
        model.mkdir()
        with torch.no_grad():
            exported = torch.export.export(network, (example.cuda().to(dtype),), dynamic_shapes=shapes)
            torch._inductor.aoti_compile_and_package(exported, package_path=str(model / "net.pt2"))
        (model / "bundle.json").write_text(json.dumps({"schema": "mgpu-bundle/1", "model": "net.pt2", "image": IMAGE, "outputs": ["logits"]}))
        gpu, _, _ = infer(folder, model, name + "-run", "--dtype", str(dtype).removeprefix("torch."), environment=EXACT)
        seen[name] = expect_close(gpu, cpu, 3e-2 if name == "half" else 1e-3, f".pt2, {name}")
    return seen


@check("correct", 90, gpu=False)
def infer_ragged_audio():
    """Recordings of different lengths beside NumPy; on a GPU too, where there is one."""
    folder = place("audio")
    (folder / "in").mkdir()
    generator, expected = np.random.default_rng(1), []
    for index in range(21):
        samples = np.int16(generator.normal(0, 3000, int(generator.integers(800, 48000))))
        with wave.open(str(folder / "in" / f"{index:02d}.wav"), "wb") as file:
            file.setnchannels(1), file.setsampwidth(2), file.setframerate(16000), file.writeframes(samples.tobytes())
        frames = len(samples) // 160
        expected.append(np.abs(samples[:frames * 160] / 32768).reshape(frames, 160).mean(axis=1))
    torch.jit.script(Frames().eval()).save(str(folder / "frames.pt"))
    options, seen = ("--sample-rate", 16000, "--outputs", "frames,valid", "--batch-size", 8), {}
    for device in ("cpu", "auto") if HAS_GPU else ("cpu",):
        values, _, out = infer(folder, folder / "frames.pt", device, *options, "--devices", device, output="frames", environment=EXACT)
        expect_same_bits(result(out, "valid"), np.array([len(each) for each in expected]), f"lengths, --devices {device}")
        seen[device] = expect_close(values, np.concatenate(expected), 1e-5, f"frames of recordings, --devices {device}")
    return seen


@check("correct", 120)
def nvjpeg():
    """JPEGs of every kind decoded on the GPU: the pixels of the CPU's decoder, within what two decoders may differ by."""
    folder = place("nvjpeg")
    (folder / "in").mkdir()
    kinds = {"444": {"subsampling": 0}, "422": {"subsampling": 1}, "420": {"subsampling": 2}, "progressive": {"progressive": True}, "grey": {}, "cmyk": {}, "rotated": {}, "low": {"quality": 30}}
    names = []
    for index, picture in enumerate(crops(64)):
        kind = list(kinds)[index % len(kinds)]
        exif = Image.Exif()
        if kind == "grey":
            picture = picture.convert("L")
        if kind == "cmyk":
            picture = picture.convert("CMYK")
        if kind == "rotated":
            exif[0x0112] = 2 + index // len(kinds) % 7
        picture.save(folder / "in" / f"{index:03d}-{kind}.jpg", **{"quality": 92, **kinds[kind]}, exif=exif)
        names.append(kind)
    (folder / "in" / "900-broken.jpg").write_bytes((folder / "in" / "000-444.jpg").read_bytes()[:3000])
    model = bundle(folder / "bundle", Pixels(), image={**IMAGE, "mean": [0, 0, 0], "std": [1, 1, 1]})
    cpu, _, cpu_file = infer(folder, model, "cpu", "--devices", "cpu", code=(0, 3))
    gpu, done, gpu_file = infer(folder, model, "gpu", "--decode", "nvjpeg", "--loaders", 8, code=(0, 3))
    expect((statuses(cpu_file)[0] == statuses(gpu_file)[0]).all(), f"other rows failed: {statuses(gpu_file)[1]}")
    seen = {kind: max(float(np.abs(gpu[i] - cpu[i]).max()) for i, name in enumerate(names) if name == kind) for kind in kinds}
    said = next((line.strip() for line in done.out.splitlines() if "nvJPEG decoded" in line), "nothing about nvJPEG")
    for kind, most in seen.items():
        expect(most < 0.03, f"{kind}: means over 12×12 pixels differ by {most:.3f} of white: {seen}; {said}")
    again, _, _ = infer(folder, model, "again", "--decode", "nvjpeg", "--loaders", 3, code=(0, 3))
    expect_same_bits(again[:64], gpu[:64], "nvJPEG with another number of loaders")
    return {**seen, "said": said}


@check("correct", 120, alone=True)
def out_of_memory_in_infer():
    folder, model = picture_case("hungry", Hungry(), 100)
    plenty, _, _ = infer(folder, model, "plenty", "--batch-size", 2)
    with Ballast(5e9):
        little, done, out = infer(folder, model, "little", "--batch-size", 64, code=(0, 2, 3))
    expect((statuses(out)[0] == 1).all(), f"rows failed: {set(statuses(out)[1])}")
    expect("out of memory" in done.out, "memory did not run out, so nothing was tried")
    return {"difference": expect_close(little, plenty, 1e-5, "with little memory")}

"""How fast: each side of a ratio on the same GPU in the same run. ResNet-50 in bfloat16 over JPEGs of 500 x 375."""

import json
import time

import numpy as np
import torch

from kit import check, crops, curve, mgpu, place

BATCH, FILES, REPEATS = 128, 96, 160
IMAGE = {"size": [224, 224], "resize": "shorter", "resize_to": 256, "crop": "center", "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}


def resnet50():
    import torchvision
    torch.manual_seed(0)
    return torchvision.models.resnet50(num_classes=1000)


def pictures(folder, kind, repeats=REPEATS):
    """A list that names FILES pictures many times: they stay in the page cache."""
    (folder / kind).mkdir()
    for index, picture in enumerate(crops(FILES, 640, 427)):
        picture.resize((500, 375) if kind == "jpg" else (224, 224)).save(folder / kind / f"{index:03d}.{kind}", **({"quality": 90} if kind == "jpg" else {}))
    table = folder / f"{kind}.txt"
    table.write_text("".join(f"{folder / kind}/{index:03d}.{kind}\n" for _ in range(repeats) for index in range(FILES)))
    return table


def median_rate(call, items, rounds=30, warm_up=5):
    """Items a second of a call on the GPU, by events."""
    times = []
    for index in range(rounds + warm_up):
        begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        begin.record(), call(), end.record(), end.synchronize()
        times.append(begin.elapsed_time(end))
    return items * 1000 / float(np.median(times[warm_up:]))


def forward_rate(model, batch=BATCH):
    inputs = torch.randn(batch, 3, 224, 224, device="cuda", dtype=torch.bfloat16).to(memory_format=torch.channels_last)
    with torch.inference_mode():
        return median_rate(lambda: model(inputs), batch)


def write_model(folder, name, save, image=IMAGE):
    model = folder / name
    model.mkdir()
    save(model)
    (model / "bundle.json").write_text(json.dumps({"schema": "mgpu-bundle/1", "model": next(model.glob("net.*")).name, "image": image, "outputs": ["logits"]}))
    return model


def end_to_end(folder, name, model, table, *options):
    out = folder / f"{name}.h5"
    mgpu("infer", "--model", model, "--input", table, "--output", out, "--batch-size", BATCH, "--dtype", "bfloat16", "--loaders", 15, *options, limit_s=150)
    summary = json.loads((folder / f"{name}.h5.summary.json").read_text())
    return summary["items_per_second"]


def dataloader_rate(folder, table, model):
    """A DataLoader with 16 pinned workers, as people write it."""
    from PIL import Image
    from torchvision.transforms import v2
    change = v2.Compose([v2.PILToTensor(), v2.Resize(256, antialias=True), v2.CenterCrop(224)])
    paths = table.read_text().split()[:64 * BATCH]

    class Pictures(torch.utils.data.Dataset):
        def __len__(self):
            return len(paths)

        def __getitem__(self, index):
            return change(Image.open(paths[index]).convert("RGB"))

    torch.set_num_threads(1)
    mean, std = (torch.tensor(IMAGE[name], device="cuda").view(1, 3, 1, 1) * 255 for name in ("mean", "std"))
    items, begin = 0, None
    with torch.inference_mode():
        for index, batch in enumerate(torch.utils.data.DataLoader(Pictures(), batch_size=BATCH, num_workers=16, pin_memory=True, prefetch_factor=4)):
            model(((batch.cuda(non_blocking=True).float() - mean) / std).to(torch.bfloat16).contiguous(memory_format=torch.channels_last))
            if index == 16:
                torch.cuda.synchronize()
                begin, items = time.perf_counter(), 0
            items += len(batch)
        torch.cuda.synchronize()
    return (items - BATCH) / (time.perf_counter() - begin)


@check("speed", 240, alone=True)
def resnet50_inference():
    folder, seen = place("speed-infer"), {}
    jpg, bmp = pictures(folder, "jpg"), pictures(folder, "bmp")
    network = resnet50().eval()
    scripted = write_model(folder, "scripted", lambda at: torch.jit.script(network).save(str(at / "net.pt")))
    exact = write_model(folder, "exact", lambda at: torch.jit.script(network).save(str(at / "net.pt")), {**IMAGE, "resize": "none", "crop": "none"})
    with torch.inference_mode():
        frozen = torch.jit.freeze(torch.jit.script(network).cuda().to(torch.bfloat16).eval())
        eager = network.cuda().to(torch.bfloat16).to(memory_format=torch.channels_last)
        seen["forward_frozen"], seen["forward_eager"] = forward_rate(frozen), forward_rate(eager)
        seen["dataloader_16_workers"] = dataloader_rate(folder, jpg, frozen)
    del frozen
    torch.cuda.empty_cache()
    seen["ours_jpeg"] = end_to_end(folder, "jpeg", scripted, jpg)
    seen["ours_bmp_224"] = end_to_end(folder, "bmp", exact, bmp)
    seen["ours_nvjpeg"] = end_to_end(folder, "nvjpeg", scripted, jpg, "--decode", "nvjpeg")
    return seen


@check("speed", 240, alone=True)
def resnet50_compiled_inference():
    folder, seen = place("speed-compiled"), {}
    bmp = pictures(folder, "bmp")
    network = resnet50().eval().cuda().to(torch.bfloat16).to(memory_format=torch.channels_last)
    example = torch.randn(BATCH, 3, 224, 224, device="cuda", dtype=torch.bfloat16)

    def save(at):
        with torch.no_grad():
            torch._inductor.aoti_compile_and_package(torch.export.export(network, (example,)), package_path=str(at / "net.pt2"))
    model = write_model(folder, "compiled", save, {**IMAGE, "resize": "none", "crop": "none"})
    loaded = torch._inductor.aoti_load_package(str(model / "net.pt2"))
    seen["forward_compiled"] = median_rate(lambda: loaded(example), BATCH)
    seen["ours_bmp_224"] = end_to_end(folder, "bmp", model, bmp)
    return seen


def step_ms(path):
    return float(1000 * np.median((curve(path, "samples") / curve(path, "samples_per_s"))[10:]))


def eager_step_ms(model, batch, shape, compiled=False, **optimizer):
    torch.backends.cudnn.benchmark = False
    inputs = torch.randn(batch, *shape, device="cuda").to(memory_format=torch.channels_last) if len(shape) == 3 else torch.randn(batch, *shape, device="cuda")
    targets = torch.randint(0, 10, (batch,), device="cuda")
    step = torch.compile(model) if compiled else model
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, **optimizer)

    def call():
        optimizer.zero_grad()
        with torch.autocast("cuda", torch.bfloat16):
            loss = torch.nn.functional.cross_entropy(step(inputs), targets)
        loss.backward()
        optimizer.step()
        loss.item()
    return 1000 / median_rate(call, 1, rounds=25, warm_up=8)


@check("speed", 280, alone=True)
def resnet50_training():
    import torchvision
    folder, seen = place("speed-train"), {}
    for index, picture in enumerate(crops(512, 400, 300)):
        name = folder / "train" / f"class{index % 10}"
        name.mkdir(parents=True, exist_ok=True)
        picture.resize((224, 224)).save(name / f"{index:04d}.jpg")
    network = torchvision.models.resnet50(num_classes=10)
    model = write_model(folder, "model", lambda at: torch.jit.script(network.train()).save(str(at / "net.pt")), {**IMAGE, "resize": "none", "crop": "none"})
    for name, options in (("ours", ()), ("ours_graph", ("--cuda-graph",))):
        out = folder / f"{name}.h5"
        mgpu("train", "--model", model, "--input", folder / "train", "--batch-size", BATCH, "--epochs", 100, "--max-steps", 60, "--dtype", "bfloat16", "--loaders", 15, "--lr", 0.01,
             "--checkpoint-every", 0, "--output", out, *options, limit_s=150)
        seen[name + "_ms"] = step_ms(out)
    network = network.cuda().to(memory_format=torch.channels_last)
    seen["eager_ms"] = eager_step_ms(network, BATCH, (3, 224, 224))
    seen["eager_fused_ms"] = eager_step_ms(network, BATCH, (3, 224, 224), fused=True)
    seen["torch_compile_ms"] = eager_step_ms(network, BATCH, (3, 224, 224), compiled=True)
    return seen


class Wide(torch.nn.Module):
    """270 million parameters and little arithmetic: a step is its optimizer."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(1)
        self.body = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(1024, 16384), torch.nn.ReLU(), torch.nn.Linear(16384, 15000), torch.nn.ReLU(), torch.nn.Linear(15000, 10))

    def forward(self, x):
        return self.body(x)


@check("speed", 200, alone=True)
def optimizer():
    import training
    folder, seen = place("speed-optimizer"), {}
    data = training.make_data(folder / "digits")
    model = training.write_bundle(folder, Wide(), "wide270")
    for name, options in (("ours", ()), ("ours_graph", ("--cuda-graph",))):
        out = folder / f"{name}.h5"
        mgpu("train", "--model", model, "--input", data["table"], "--batch-size", 16, "--epochs", 10, "--max-steps", 60, "--lr", 0.001, "--dtype", "bfloat16", "--checkpoint-every", 0,
             "--output", out, *options, limit_s=120)
        seen[name + "_ms"] = step_ms(out)
    network = Wide().cuda()
    seen["eager_ms"] = eager_step_ms(network, 16, (1, 32, 32))
    seen["eager_fused_ms"] = eager_step_ms(network, 16, (1, 32, 32), fused=True)
    seen["parameters"] = sum(each.numel() for each in network.parameters())
    return seen

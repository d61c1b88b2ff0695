"""Makes the networks that the tests of model and run open, with their inputs and outputs as PyTorch computes them.

usage: make_models.py FOLDER      (does nothing when FOLDER is up to date)
"""
import pathlib
import sys
import warnings

import torch

warnings.filterwarnings("ignore")
torch.set_num_threads(1)


class Classifier(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = torch.nn.Conv2d(3, 8, 3, stride=2, padding=1)
        self.norm = torch.nn.BatchNorm2d(8)
        self.head = torch.nn.Linear(8, 5)

    def forward(self, x):
        y = torch.relu(self.norm(self.conv(x)))
        return self.head(y.mean((2, 3)))


class Structured(torch.nn.Module):
    """Outputs of every kind: a dict of a tensor and a tuple with a list inside."""

    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(6, 3)

    def forward(self, x):
        y = self.linear(x.flatten(1))
        return {"logits": y, "pair": (y.sum(1), [y * 2])}


class Nested(torch.nn.Module):
    """What TorchScript can trace of it: a tuple of a dict and a tensor."""

    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(6, 3)

    def forward(self, x):
        y = self.linear(x.flatten(1))
        return {"logits": y, "twice": y * 2}, y.sum(1)


class Pair(torch.nn.Module):
    def forward(self, x):
        return x.sum((1, 2)), x.amax((1, 2)).to(torch.int64)


class Ragged(torch.nn.Module):
    """One tensor a row: the row's positive values."""

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        rows: list[torch.Tensor] = []
        for i in range(x.size(0)):
            rows.append(x[i][x[i] > 0])
        return rows


class Pyramid(torch.nn.Module):
    """A list of outputs, each of the whole batch."""

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        return [x, x * 2]


class Frames(torch.nn.Module):
    """[B, C, T] and lengths to [B, T / 4, 2] and valid frames, as speech models do."""

    def forward(self, x, lengths):
        y = x.unfold(-1, 4, 4).mean(-1).transpose(1, 2)
        return torch.cat([y, -y], -1), lengths // 4


class Spelling(torch.nn.Module):
    """A CTC network whose class of a frame (80 samples) is ten times its loudness, and the number of valid frames."""

    def forward(self, x, lengths):
        loudness = x[:, 0].unfold(-1, 80, 80).abs().mean(-1)
        classes = torch.arange(5, device=x.device)
        return torch.log_softmax(-20 * (10 * loudness[:, :, None] - classes) ** 2, -1), lengths // 80


def save_case(folder, name, network, *inputs):
    """NAME.pt, and NAME.case.pt: a module whose buffers are the inputs and the flattened expected outputs."""
    network = network.eval()
    with torch.no_grad():
        outputs = flatten(network(*inputs))
    script = torch.jit.script(network) if isinstance(network, (Ragged, Pyramid)) else torch.jit.trace(network, inputs, strict=False)
    script.save(folder / f"{name}.pt")
    save_tensors(folder / f"{name}.case.pt", inputs, outputs)


def save_tensors(path, inputs, outputs):
    holder = torch.nn.Module()
    for kind, tensors in (("input", inputs), ("output", outputs)):
        for i, tensor in enumerate(tensors):
            holder.register_buffer(f"{kind}_{i}", tensor)
    torch.jit.script(holder).save(path)


def flatten(value):
    if isinstance(value, torch.Tensor):
        return [value]
    return [leaf for each in (value.values() if isinstance(value, dict) else value) for leaf in flatten(each)]


def compile_package(folder, name, network, example, dynamic):
    shapes = ({0: torch.export.Dim("batch", min=1, max=1024)},) if dynamic else None
    program = torch.export.export(network.eval(), (example,), dynamic_shapes=shapes)
    torch._inductor.aoti_compile_and_package(program, package_path=str(folder / f"{name}.pt2"))


def main(folder):
    folder.mkdir(parents=True, exist_ok=True)
    stamp = folder / "stamp"
    if stamp.exists() and stamp.stat().st_mtime > pathlib.Path(__file__).stat().st_mtime:
        return
    torch.manual_seed(7)
    save_case(folder, "classifier", Classifier(), torch.randn(4, 3, 16, 16))
    save_case(folder, "nested", Nested(), torch.randn(4, 2, 3))
    save_case(folder, "pair", Pair(), torch.randn(4, 2, 3))
    save_case(folder, "ragged", Ragged(), torch.randn(4, 9))
    save_case(folder, "pyramid", Pyramid(), torch.randn(4, 9))
    save_case(folder, "frames", Frames(), torch.randn(3, 1, 64), torch.tensor([64, 32, 8]))
    save_case(folder, "spelling", Spelling(), torch.rand(2, 1, 800), torch.tensor([800, 400]))
    torch.save(Classifier().state_dict(), folder / "weights.pt")

    torch.manual_seed(8)
    structured, example = Structured().eval(), torch.randn(4, 2, 3)
    compile_package(folder, "dynamic", structured, example, dynamic=True)
    compile_package(folder, "static", structured, example, dynamic=False)
    torch.manual_seed(9)
    classifier = Classifier().eval()
    torch.jit.script(classifier).save(str(folder / "images.pt"))
    compile_package(folder, "images", classifier, torch.randn(4, 3, 16, 16), dynamic=True)
    with torch.no_grad():
        save_tensors(folder / "packages.case.pt", [example], flatten(structured(example)))
    stamp.touch()


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))

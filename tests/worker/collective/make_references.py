"""Writes what torch.optim makes of known gradients.

    python make_references.py DIRECTORY

cases.tsv: name, sgd or adamw, lr, weight decay, momentum, nesterov, beta1, beta2, eps
NAME.bin: float32 [1 + 2 * STEPS, ELEMENTS]: first parameters; then, for each step, gradients and parameters after it. Elements
[100, 200) have no weight decay. The learning rate of step k is lr / k.
"""
import os
import sys

import torch

ELEMENTS, STEPS = 1000, 20
CASES = {
    "plain": ("sgd", 0.1, 0, 0, 0, 0, 0, 0),
    "decay": ("sgd", 0.1, 0.01, 0, 0, 0, 0, 0),
    "momentum": ("sgd", 0.1, 1e-4, 0.9, 0, 0, 0, 0),
    "nesterov": ("sgd", 0.05, 1e-3, 0.8, 1, 0, 0, 0),
    "adam": ("adamw", 1e-3, 0, 0, 0, 0.9, 0.999, 1e-8),
    "adamw": ("adamw", 1e-2, 0.1, 0, 0, 0.8, 0.95, 1e-6),
}


def optimizer_of(case, groups):
    kind, lr, _, momentum, nesterov, beta1, beta2, eps = case
    if kind == "sgd":
        return torch.optim.SGD(groups, lr=lr, momentum=momentum, nesterov=bool(nesterov), foreach=False)
    return torch.optim.AdamW(groups, lr=lr, betas=(beta1, beta2), eps=eps, foreach=False)


def rows_of(case):
    generator = torch.Generator().manual_seed(5)
    whole = torch.randn(ELEMENTS, generator=generator)
    parts = [torch.nn.Parameter(whole[at].clone()) for at in (slice(0, 100), slice(100, 200), slice(200, ELEMENTS))]
    decay = case[2]
    optimizer = optimizer_of(case, [{"params": [parts[0], parts[2]], "weight_decay": decay}, {"params": [parts[1]], "weight_decay": 0}])
    yield whole
    for step in range(1, STEPS + 1):
        for group in optimizer.param_groups:
            group["lr"] = case[1] / step
        gradients = torch.randn(ELEMENTS, generator=generator) * 10.0 ** torch.randint(-6, 2, (ELEMENTS,), generator=generator)
        for part, gradient in zip(parts, gradients.split([100, 100, ELEMENTS - 200])):
            part.grad = gradient.clone()
        optimizer.step()
        yield gradients
        yield torch.cat([part.detach() for part in parts])


def main():
    os.makedirs(sys.argv[1], exist_ok=True)
    os.chdir(sys.argv[1])
    torch.set_num_threads(1)
    with open("cases.tsv", "w") as table:
        for name, case in CASES.items():
            torch.stack(list(rows_of(case))).numpy().tofile(name + ".bin")
            table.write("\t".join(str(field) for field in (name, *case)) + "\n")


if __name__ == "__main__":
    main()

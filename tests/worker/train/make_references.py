"""Writes what torch.nn.functional and a plain edit distance say about recorded outputs and labels.

    python make_references.py DIRECTORY

losses.pt: a TorchScript module whose buffers are NAME.outputs, NAME.loss, NAME.gradient and what else a case needs
transcripts.tsv: row, label, greedy text (repeats and blanks removed), edits by characters, edits by words
"""
import itertools
import os
import sys

import torch
import torch.nn.functional as F

VOCABULARY = ["", "a", "b", " ", "é", "ch"]
LABELS = ["ab a", "b", "", "é ch a", "a" * 40, "chab b"]


def edits(ours, theirs):
    """Levenshtein distance by the recursion's table, written out."""
    table = [[max(i, j) if 0 in (i, j) else 0 for j in range(len(theirs) + 1)] for i in range(len(ours) + 1)]
    for i, j in itertools.product(range(1, len(ours) + 1), range(1, len(theirs) + 1)):
        same = ours[i - 1] == theirs[j - 1]
        table[i][j] = min(table[i - 1][j] + 1, table[i][j - 1] + 1, table[i - 1][j - 1] + (not same))
    return table[-1][-1]


def symbols_of(text):
    out = []
    while text:
        symbol = next(s for s in sorted(VOCABULARY, key=len, reverse=True) if s and text.startswith(s))
        out.append(VOCABULARY.index(symbol))
        text = text[len(symbol):]
    return out


def record(tensors, name, outputs, loss_of, **more):
    outputs = outputs.clone().requires_grad_()
    loss = loss_of(outputs)
    loss.backward()
    for key, value in dict(outputs=outputs.detach(), loss=loss.detach(), gradient=outputs.grad, **more).items():
        tensors[f"{name}_{key}"] = value


def losses():
    generator = torch.Generator().manual_seed(4)
    random = lambda *shape: torch.randn(shape, generator=generator) * 2
    tensors = {}
    logits, labels = random(40, 12), torch.randint(12, (40,), generator=generator)
    top5 = (logits.topk(5).indices == labels[:, None]).any(1).sum()
    right = (logits.argmax(1) == labels).sum()
    record(tensors, "plain", logits, lambda x: F.cross_entropy(x, labels), labels=labels, right=right, top5=top5)
    record(tensors, "smooth", logits, lambda x: F.cross_entropy(x, labels, label_smoothing=0.1))
    hot = (random(9, 4) > 0.5).float()
    record(tensors, "bce", random(9, 4), lambda x: F.binary_cross_entropy_with_logits(x, hot), hot=hot)
    wanted = random(9, 3)
    record(tensors, "mse", random(9, 3), lambda x: F.mse_loss(x, wanted), wanted=wanted)
    tensors["mse_mae"] = F.l1_loss(tensors["mse_outputs"], wanted)
    speech = F.log_softmax(random(len(LABELS), 30, len(VOCABULARY)), 2)
    frames = torch.tensor([30, 12, 20, 29, 30, 1])  # the fifth label is too long for its frames, the sixth for its one frame
    symbols = [symbols_of(label) for label in LABELS]
    targets = torch.zeros(len(LABELS), max(map(len, symbols)), dtype=torch.int64)
    for row, each in enumerate(symbols):
        targets[row, : len(each)] = torch.tensor(each, dtype=torch.int64)
    lengths = torch.tensor([len(each) for each in symbols])
    record(tensors, "ctc", speech, lambda x: F.ctc_loss(x.transpose(0, 1), targets, frames, lengths, blank=0, zero_infinity=True), frames=frames)
    with open("transcripts.tsv", "w") as table:
        for row, label in enumerate(LABELS):
            best = speech[row, : frames[row]].argmax(1).tolist()
            text = "".join(VOCABULARY[symbol] for symbol, _ in itertools.groupby(best))
            table.write(f"{row}\t{label}\t{text}\t{edits(text, label)}\t{edits(text.split(), label.split())}\n")
    holder = torch.nn.Module()
    for name, tensor in tensors.items():
        holder.register_buffer(name, tensor)
    torch.jit.script(holder).save("losses.pt")


def main():
    os.makedirs(sys.argv[1], exist_ok=True)
    os.chdir(sys.argv[1])
    torch.set_num_threads(1)
    losses()


if __name__ == "__main__":
    main()

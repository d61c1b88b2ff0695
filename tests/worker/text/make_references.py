"""Writes tokenizers, texts, and what Hugging Face's tokenizers makes of them.

    python make_references.py DIRECTORY

NAME.json: a tokenizer. qwen: Qwen's vocabulary. small: trained here, as GPT-2's, with all properties of added tokens and a template. normal: the
    same vocabulary with NFC, Split and ignore_merges
texts.bin: texts; NAME.ids: for each text its token ids; plain.ids: those of small without special tokens
NAME.samples: lists of token ids; NAME.decoded: their texts without and with special tokens, alternating
classes.bin: for each code point a byte: 0 not compared, 1 letter, 2 number, 4 white space, 8 word, 16 assigned in Oniguruma's tables
nfc.bin: code points, each with its NFC in the next text
A list of texts or ids is: number of bytes or ids (uint32), then the bytes or the ids (uint32 each).
"""

import base64
import importlib.util
import json
import pathlib
import random
import struct
import sys
import time

import numpy as np
from texts import SENTENCES, Texts
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

QWEN2 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
ADDED = [AddedToken("<|endoftext|>", special=True, normalized=False), AddedToken("<|im_start|>", special=True, normalized=False), AddedToken("<|im_end|>", special=True, normalized=False)]
ODD = [AddedToken("<mask>", lstrip=True, special=True, normalized=False), AddedToken("[R]", rstrip=True, normalized=False), AddedToken("[LR]", lstrip=True, rstrip=True, normalized=True),
       AddedToken("word", single_word=True, normalized=True), AddedToken("<|im", normalized=False), AddedToken("café", normalized=True, special=True), AddedToken("cafe\u0301s", normalized=True, special=True),
       AddedToken("\u2126", normalized=True), AddedToken("   ", normalized=False), AddedToken("한글", normalized=False), AddedToken("the", single_word=True, lstrip=True, normalized=False)]


def token_strings():
    """From each byte to the character that stands for it."""
    visible = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    rest = [byte for byte in range(256) if byte not in visible]
    return {byte: chr(byte) for byte in visible} | {byte: chr(256 + i) for i, byte in enumerate(rest)}


def qwen():
    """The conversion of transformers (TikTokenConverter): each way to cut a token in two tokens is a merge, in the order of its rank."""
    characters = token_strings()
    ranks = {}
    package = importlib.util.find_spec("dashscope").submodule_search_locations[0] # its dependencies are not there, so that it cannot be imported
    for line in pathlib.Path(package, "resources/qwen.tiktoken").read_text().splitlines():
        token, rank = line.split()
        ranks[base64.b64decode(token)] = int(rank)
    merges = []
    for token, rank in ranks.items():
        cuts = [(token[:i], token[i:]) for i in range(1, len(token)) if token[:i] in ranks and token[i:] in ranks]
        merges += [(rank, cut) for cut in sorted(cuts, key=lambda cut: (ranks[cut[0]], ranks[cut[1]]))]
    merges.sort(key=lambda merge: merge[0])
    spelling = {token: "".join(characters[byte] for byte in token) for token in ranks}
    tokenizer = Tokenizer(models.BPE({spelling[token]: rank for token, rank in ranks.items()}, [(spelling[left], spelling[right]) for _, (left, right) in merges]))
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(QWEN2), "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    tokenizer.add_tokens(ADDED)
    return tokenizer


def small():
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(SENTENCES * 3 + Texts(1, []).code, trainers.BpeTrainer(vocab_size=3000, show_progress=False, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), special_tokens=["<|endoftext|>"]))
    tokenizer.add_tokens(ADDED + ODD)
    tokenizer.post_processor = processors.TemplateProcessing(single="<|im_start|> $A <|im_end|> <|endoftext|>", pair="$A $B", special_tokens=[(name, tokenizer.token_to_id(name)) for name in ("<|im_start|>", "<|im_end|>", "<|endoftext|>")])
    return tokenizer


def normal(other):
    """With merges as in early files, and without a type of the model."""
    content = json.loads(other.to_str())
    content["model"]["ignore_merges"] = True
    content["normalizer"] = {"type": "Sequence", "normalizers": [{"type": "NFC"}]}
    content["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": [{"type": "Split", "pattern": {"Regex": GPT2}, "behavior": "Isolated", "invert": False},
                                                                       {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}]}
    content["post_processor"] = {"type": "Sequence", "processors": [{"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": False, "use_regex": True}, content["post_processor"]]}
    content["model"]["merges"] = [" ".join(merge) for merge in content["model"]["merges"]]
    del content["model"]["type"]
    return content


def write_texts(path, texts):
    with open(path, "wb") as file:
        for text in texts:
            data = text.encode()
            file.write(struct.pack("<I", len(data)) + data)


def write_ids(path, lists):
    with open(path, "wb") as file:
        for ids in lists:
            file.write(struct.pack(f"<I{len(ids)}I", len(ids), *ids))


def write_decoded(folder, name, tokenizer):
    generator = random.Random(name)
    size = tokenizer.get_vocab_size()
    last = [size - 1 - i for i in range(len(ADDED + ODD) if name != "qwen" else len(ADDED))]
    samples = [[generator.choice((generator.randrange(size), generator.choice(last), size + generator.randrange(9))) for _ in range(generator.randint(0, 12))] for _ in range(1500)]
    write_ids(folder / f"{name}.samples", samples)
    write_texts(folder / f"{name}.decoded", [tokenizer.decode(ids, skip_special_tokens=skip) for ids in samples for skip in (True, False)])


def write_tokenizer(folder, name, content, texts):
    path = folder / f"{name}.json"
    path.write_text(content, encoding="utf-8")
    tokenizer = Tokenizer.from_file(str(path))
    write_ids(folder / f"{name}.ids", [encoding.ids for encoding in tokenizer.encode_batch_fast(texts)])
    if name == "small":
        write_ids(folder / "plain.ids", [encoding.ids for encoding in tokenizer.encode_batch_fast(texts, add_special_tokens=False)])
    write_decoded(folder, name, tokenizer)


def write_characters(folder):
    """The classes from the regular expressions of tokenizers (Oniguruma's; \\w from Rust's), over one text of all code points: without surrogates, empty
    planes, and most of the private planes."""
    points = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000 and not 0x34000 <= c < 0xE0000 and not 0xF0010 <= c < 0x10FFF0]
    text = "".join(map(chr, points))
    classes = np.zeros(len(points), np.uint8)
    for bit, regex in ((1, r"\p{L}+"), (2, r"\p{N}+"), (4, r"\s+"), (16, r"\P{Cn}+")):
        classes |= bit
        for _, (begin, end) in pre_tokenizers.Split(Regex(regex), "removed").pre_tokenize_str(text): # what is left is not of the class
            classes[begin:end] &= ~np.uint8(bit)
    whitespace = pre_tokenizers.Whitespace() # \w+|[^\w\s]+
    for run, (begin, end) in whitespace.pre_tokenize_str(text):
        if len(whitespace.pre_tokenize_str("a" + run[0])) == 1:
            classes[begin:end] |= 8
    of_all = np.zeros(0x110000, np.uint8)
    of_all[points] = classes
    (folder / "classes.bin").write_bytes(of_all.tobytes())
    forms = normalizers.NFC().normalize_str("\n".join(map(chr, points[11:]))).split("\n")
    write_texts(folder / "nfc.bin", [text for point, form in zip(points[11:], forms, strict=True) for text in (chr(point), form)])


def main(folder):
    folder.mkdir(parents=True, exist_ok=True)
    began = time.perf_counter()
    generator = Texts(0, [token.content for token in ADDED + ODD])
    texts = generator.some_texts(20_000) + generator.long_texts()
    write_texts(folder / "texts.bin", texts)
    trained = small()
    for name, content in (("qwen", qwen().to_str()), ("small", trained.to_str()), ("normal", json.dumps(normal(trained), ensure_ascii=False))):
        write_tokenizer(folder, name, content, texts)
    write_characters(folder)
    print(f"{time.perf_counter() - began:.1f} s")


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))

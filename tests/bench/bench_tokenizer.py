"""Encoding on one thread, with Qwen's vocabulary, beside Hugging Face's tokenizers.

Theirs twice: one text at a time, and all in one batch without offsets (their fastest way). Their cache of 10,000 words is warm, as ours
would be if there were one; the last line is a pass with an empty cache.
"""

import os
import pathlib
import subprocess
import sys
import time

from common import ROOT, alternate, report, scratch, target

ROUNDS = 5


def clock(work):
    """Seconds of processor time, which is one thread's: other programs on the machine do not count."""
    begin = time.process_time()
    work()
    return time.process_time() - begin


def compare(name, program, path, folder, texts):
    from make_references import write_texts
    from tokenizers import Tokenizer
    write_texts(folder / "texts.bin", texts)
    theirs = Tokenizer.from_file(str(path))
    tokens = sum(len(theirs.encode(text).ids) for text in texts)

    def ours():
        seconds, count, _ = subprocess.run([program, path, folder / "texts.bin"], check=True, capture_output=True, text=True).stdout.split()
        assert int(count) == tokens, f"{name}: {count} tokens, theirs are {tokens}"
        return float(seconds)

    def cold():
        fresh = Tokenizer.from_file(str(path))
        return clock(lambda: [fresh.encode(text) for text in texts])

    seconds = alternate(ROUNDS, ours=ours, single=lambda: clock(lambda: [theirs.encode(text) for text in texts]),
                        batch=lambda: clock(lambda: theirs.encode_batch_fast(texts)), cold=cold)
    megabytes = sum(len(text.encode()) for text in texts) / 1e6
    for peer, what in (("single", "tokenizers"), ("batch", "… in a batch"), ("cold", "… empty cache")):
        report(f"{name}, {len(texts)} texts, {megabytes:.2f} MB", megabytes / seconds["ours"], megabytes / seconds[peer], f"{what:<14}", "MB/s", 1)


def main():
    os.environ.update(TOKENIZERS_PARALLELISM="false", RAYON_NUM_THREADS="1") # read when tokenizers is first used
    sys.path.insert(0, str(ROOT / "tests/worker/text"))
    from make_references import ADDED, qwen
    from texts import SENTENCES, Texts
    program = target("bench_tokenizer")
    with scratch() as name:
        folder = pathlib.Path(name)
        path = folder / "qwen.json"
        path.write_text(qwen().to_str(), encoding="utf-8")
        texts = Texts(0, [token.content for token in ADDED])
        compare("texts of the test", program, path, folder, texts.some_texts(20_000))
        compare("source code", program, path, folder, ["\n".join(texts.code)] * 4)
        compare("Korean", program, path, folder, [texts.korean() for _ in range(5000)])
        compare("Chinese", program, path, folder, [texts.chinese() for _ in range(5000)])
        compare("sentences in a long text", program, path, folder, [" ".join(texts.random.choice(SENTENCES) for _ in range(5000))])
        compare("a word of 100,000 letters", program, path, folder, texts.long_texts()[1:2])
        opened = subprocess.run([program, path, os.devnull], check=True, capture_output=True, text=True).stdout.split()[2]
        from tokenizers import Tokenizer
        print(f"opening: ours {float(opened):.2f} s, tokenizers {clock(lambda: Tokenizer.from_file(str(path))):.2f} s")


if __name__ == "__main__":
    main()

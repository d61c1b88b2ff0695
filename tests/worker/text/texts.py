"""Texts for the tokenizer tests: the same 20,000 for the same seed."""

import argparse
import inspect
import json
import random
import sys
import unicodedata

from tokenizers import normalizers

SENTENCES = [
    "안녕하세요, 오늘은 날씨가 참 좋네요. 우리는 함께 공원에서 점심을 먹고 책을 읽었습니다. 값을 읽다가 닭이 울었다.",
    "대한민국의 수도는 서울특별시이며, 인구는 약 940만 명(2023년)이다. 그는 “괜찮아요?” 하고 물었다.",
    "今天天气很好，我们一起去公园散步吧。人工智能正在改变世界，二〇二四年有１２个月！",
    "東京都は日本の首都です。カタカナとひらがな、そして漢字が混ざっています。ﾊﾝｶｸ㈱①",
    "The quick brown fox doesn't jump over the lazy dog; they'll say it's 3.14159 — or I'd've GUESSED it WASN'T.",
    "Größe, naïve façade, Ångström, İstanbul ıIiİ, ſtraße, ﬁne ﬂow, Ελληνικά, Съешь же ещё этих мягких французских булок.",
    "مرحبا بالعالم ١٢٣٤٥ שָׁלוֹם עוֹלָם नमस्ते दुनिया १२३ สวัสดีชาวโลก Tiếng Việt có dấu: ứng dụng, Đặng Thị.",
    "e = mc², ½ + ¼ = ¾, x₁ … xₙ, ∑∫√∞ ≠ ≤ →⇒ «quotes» ‘single’ “double” € £ ¥ ₩ ₿ № ™ Ⅷ ⅔ 𝔘𝔫𝔦𝔠𝔬𝔡𝔢",
]
EMOJI = ["😀", "👍🏽", "👨‍👩‍👧‍👦", "🏳️‍🌈", "🇰🇷", "🇩🇪", "❤️", "☺", "1️⃣", "🧑🏿‍🚀", "🫠", "⌚", "🀄"]
SPACES = [" ", "  ", "    ", "\t", "\n", "\r\n", "\r", "\n\n", "\xa0", "\u3000", "\u2003", "\u2028", "\u2029", "\x85", "\x0b", "\x0c", "\x1c", "\u200b", "\ufeff", "\u1680", "\u180e"]
CONTRACTIONS = ["'s", "'S", "'t", "'re", "'RE", "'rE", "'ve", "'m", "'ll", "'LL", "'Ll", "'d", "'ſ", "'ſs", "'K", "'\u212a", "'ß", "'ﬆ", "'ﬀ", "’s", "'l", "'r", "''s", "'", "'x"]
EDGES = ["", "a", "\0", "a\0b", "a\u0301", "\u0301a", "\u1100\u1161\u11a8", "\uac00\u11a8", "\u11a8", "\u0344", "\u0958", "\u2126\u212b\u2000", "\U0001d15e", "\u0f73\u0f75\u0f81",
         "q\u0307\u0323", "\u1e9b\u0323", "\u09c7\u09be", "\U0010ffff", "\ue000", "\ufffd\ufffe", "ﷺ", "\u0300" * 40, "a" + "\u0323\u0301\u0327" * 15]


def assigned_characters():
    return [chr(c) for c in range(sys.maxunicode + 1) if unicodedata.category(chr(c)) not in ("Cn", "Cs") and not is_later_mark(chr(c))]


def is_later_mark(character):
    """A mark that came after Unicode 9, whose tables tokenizers has for NFC: it stays where it is, and nothing passes it (docs/tokenizer.md)."""
    pair = "\u0345" + character # class 240, the last of all
    return unicodedata.combining(character) not in (0, 240) and normalizers.NFC().normalize_str(pair) == pair


class Texts:
    def __init__(self, seed, added_tokens):
        self.random = random.Random(seed)
        self.characters = assigned_characters()
        self.marks = [c for c in self.characters if unicodedata.combining(c)]
        self.words = " ".join(SENTENCES[:6]).split(" ")
        self.code = [line for module in (argparse, json.decoder, inspect) for line in inspect.getsource(module).split("\n") if line]
        self.added_tokens = added_tokens

    def some(self, choices, least, most, joint=""):
        return joint.join(self.random.choice(choices) for _ in range(self.random.randint(least, most)))

    def korean(self):
        return self.some([chr(c) for c in range(0xAC00, 0xAC00 + 11172, 37)] + SENTENCES[0].split(" ") + [" ", ", ", "."], 1, 30)

    def chinese(self):
        return self.some([chr(c) for c in range(0x4E00, 0x9FA6, 41)] + list(SENTENCES[2]), 1, 40)

    def sentence(self):
        return self.some(SENTENCES, 1, 2, " ")

    def code_lines(self):
        begin = self.random.randrange(len(self.code) - 8)
        return self.random.choice(["\n", "\r\n", "\n\n"]).join(self.code[begin:begin + self.random.randint(1, 8)])

    def any_characters(self):
        return self.some(self.characters, 1, 30)

    def with_marks(self):
        return "".join(self.random.choice(self.characters) + self.some(self.marks, 0, 4) for _ in range(self.random.randint(1, 8)))

    def ascii(self):
        return self.some([chr(c) for c in range(32, 127)], 1, 60)

    def mixed(self):
        parts = self.words + EMOJI + SPACES * 3 + CONTRACTIONS + self.added_tokens + list("0123456789.,;:!?()[]{}<>|/\\\"'`~@#$%^&*-_=+ſK")
        return self.some(parts, 1, 25)

    def one(self):
        text = self.random.choice([self.korean, self.chinese, self.sentence, self.code_lines, self.any_characters, self.with_marks, self.ascii, self.mixed, self.mixed])()
        if self.random.random() < 0.2:
            text = unicodedata.normalize(self.random.choice(["NFD", "NFKD", "NFC"]), text)
        return text

    def some_texts(self, count):
        return EDGES + SPACES + CONTRACTIONS + [self.one() for _ in range(count - len(EDGES) - len(SPACES) - len(CONTRACTIONS))]

    def long_texts(self):
        """100,000 characters without a place to cut."""
        letters = "".join(self.random.choice("etaoinshrdlu") for _ in range(100_000))
        marks = ("\u0301\u0323" * 50_000)
        return ["a" * 100_000, letters, " " * 100_000, "\n " * 50_000 + "x", "!" * 100_000, "한" * 50_000, "x" + marks, "<" * 100_000]

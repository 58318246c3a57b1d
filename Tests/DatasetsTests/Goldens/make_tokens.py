# SPDX-License-Identifier: Apache-2.0
"""Records tiktoken's GPT-2 tokens for TokenizerTests, and a cut vocabulary to test with.

    pip install tiktoken
    python3 Tests/DatasetsTests/Goldens/make_tokens.py encoder.json vocab.bpe

takes GPT-2's two files, needs no network, and writes into its own folder

- cut-encoder.json, cut-vocab.bpe: the 256 bytes and the first 500 merges of the two files (OpenAI,
  modified MIT licence);
- gpt2-tokens.json: texts with their tokens in the whole and the cut vocabulary, and which scalars
  tiktoken takes for letters (L), numbers (N), white space (S) or others (O): a letter after the
  hexadecimal code point from which on it holds.
"""

import json
import pathlib
import random
import sys

import tiktoken
from tiktoken.load import data_gym_to_mergeable_bpe_ranks

MERGES = 500
PATTERN = r"""'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"""

TEXTS = [
    "",
    " ",
    "\n",
    "'",
    "Hello, world! This is GPT-2's tokenizer.",
    "I'm you're he's she'd we'll they've don't o'clock 'tis ''s 'll've 'r 'l 'v it's'",
    "I'M YOU'RE HE'S SHE'D WE'LL THEY'VE DON'T 'S 'Ll 'rE it\u2019s don\u2019t 's9 's_ 'sun 'tt",
    "a  b   c    d\ta\t\tb \t c\n\nd \n e\r\nf\r\n\r\ng \r\n h\rend   ",
    "   leading", "trailing   ", "trailing\n", "trailing \n \n", "  \t\n\v\f\r  x", " \u00a0 ",
    "a\u00a0b\u00a0\u00a0c \u00a0d\u00a0 e\u2003f \u2003 g\u3000h\u3000\u3000i\u200bj \u200b k\ufeffl",
    "\ufeffBOM\u2028line\u2029paragraph\u0085next\u1680ogham\u202fnarrow\u205fmath\u180emongolian",
    "\x00\x01\x02 \x00 \x1b[31mred\x1b[0m \x7f\x80\x9f\x1c\x1d\x1e\x1f a\x00b \x1f\x1f",
    "\U0001f600 \U0001f468\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466 \U0001f44d\U0001f3fd"
    "\U0001f44d\U0001f3fd \U0001f1e9\U0001f1ea \u2764\ufe0f \U0001f3f4\U000e0067\U000e0062\U000e007f",
    "e\u0301 \u0301 n\u0303o a\u0300\u0316\u20dd \u00e9\u00e8\u00df\u0130\u0131 \ufb01 \u01c5 Zal\u0335\u0321go",
    "\u4e2d\u6587\u5206\u8bcd \u65e5\u672c\u8a9e\u306e\u30c6\u30b9\u30c8\u3002\ud55c\uad6d\uc5b4 \uff21\uff22\uff11\uff12\uff01",
    "\u0645\u0631\u062d\u0628\u0627 \u0628\u0650\u0627\u0644\u0652\u0639\u064e \u0661\u0662\u0663 \u0640\u0640",
    "\u0928\u092e\u0938\u094d\u0924\u0947 \u0926\u0941\u0928\u093f\u092f\u093e \u0967\u0968\u0969 \u0915\u094d\u0937",
    "\u0e2a\u0e27\u0e31\u0e2a\u0e14\u0e35\u0e0a\u0e32\u0e27\u0e42\u0e25\u0e01 \u0e51\u0e52 \u0e3f100",
    "\u00b2\u00bd\u2167\u0663 x\u00b2+\u00bd\u2460\u2474 \u3007\u4e00\u3289 12\u0663\u00b2 3.14 1,000,000 0x1F \U0001d7d8\U00010107",
    "\ud7ff\ue000\uf8ff\ufffd\ufffe\uffff\U00010000\U0001ffff\U00020000\U0002a6d6\U000e0001\U000f0000\U0010ffff",
    # Letters and spaces of Unicode 14 to 17: the last are not assigned yet for tiktoken 0.14.
    "\u0870\u1c89\ua7cb \U0001e4d0\U00010d4a\U00010ee0 \u088f\ua7ce\U00010940 \u20c0\u20c1",
    "def f(x, *, y=None):\n    '''Doc.'''\n    return {'a': x[0], \"b\": y}  # done\n\n\nclass A:\n\tpass\n",
    "for (int i=0;i<n;++i) { s+=a[i]*b[i]; } // \u2211 a\u1d62b\u1d62\n#include <stdio.h>\r\n\t\treturn 0;\r\n",
    "<p class=\"x\">&nbsp;</p> https://example.org/a_b?c=d&e=%20#f user@example.org ${x} $$ ---- ====",
    "<|endoftext|>before<|endoftext|> after <|endoftext |><|startoftext|>",
    "a" * 700 + " " + "ab" * 300 + " " + "=" * 200 + "0" * 150 + " " * 150 + "\n" * 40 + "x",
    "Llanfairpwllgwyngyllgogerychwyrndrobwllllantysiliogogoch Donaudampfschifffahrtsgesellschaft",
    "First Citizen:\nBefore we proceed any further, hear me speak.\n\nAll:\nSpeak, speak.\n",
]

# First and last scalar of blocks to draw from.
BLOCKS = [
    (0x00, 0x7F), (0x20, 0x7E), (0x80, 0x24F), (0x250, 0x36F), (0x370, 0x52F), (0x530, 0x6FF),
    (0x700, 0x97F), (0x980, 0xDFF), (0xE00, 0x109F), (0x10A0, 0x17FF), (0x1800, 0x1FFF),
    (0x2000, 0x20FF), (0x2100, 0x2BFF), (0x2C00, 0x303F), (0x3040, 0x33FF), (0x4E00, 0x9FFF),
    (0xA000, 0xABFF), (0xAC00, 0xD7FF), (0xE000, 0xF8FF), (0xF900, 0xFFFF), (0x10000, 0x10FFF),
    (0x11000, 0x11FFF), (0x12000, 0x16FFF), (0x1D000, 0x1D7FF), (0x1E000, 0x1EFFF),
    (0x1F000, 0x1FAFF), (0x20000, 0x323AF), (0xE0000, 0xE01EF), (0x10FF00, 0x10FFFF),
]
SPACES = " \t\n\r\u0085\u00a0\u2002\u2028\u3000"


def random_texts(seed=1):
    draw = random.Random(seed)
    for _ in range(36):  # words of one block, as in real text
        text = ""
        while len(text) < 60:
            low, high = draw.choice(BLOCKS)
            text += "".join(chr(draw.randint(low, high)) for _ in range(draw.randint(1, 5)))
            text += draw.choice(["", " ", "  ", "'s", " '", draw.choice(SPACES)])
        yield text
    for _ in range(30):  # what the pattern tells apart, at random
        yield "".join(draw.choice("  \t\n'''sdmtlvre\u00e9S1\u0663.-\u00a0\u3000\u4e2d") for _ in range(60))


def encoding(ranks, pattern=PATTERN):
    return tiktoken.Encoding(
        name="gpt2", pat_str=pattern, mergeable_ranks=ranks, special_tokens={"<|endoftext|>": len(ranks)},
        explicit_n_vocab=len(ranks) + 1)


def kinds():
    single = {bytes([b]): b for b in range(256)}
    tests = [(k, encoding(single, p)) for k, p in (("L", r"\p{L}"), ("N", r"\p{N}"), ("S", r"\s"))]
    changes, last = [], None
    for code in range(0x110000):
        if 0xD800 <= code < 0xE000:
            continue
        kind = next((k for k, e in tests if e.encode_ordinary(chr(code))), "O")
        if kind != last:
            changes.append(f"{code:x}{kind}")
            last = kind
    return " ".join(changes)


def main(encoder_file, merges_file):
    folder = pathlib.Path(__file__).parent
    ranks = data_gym_to_mergeable_bpe_ranks(vocab_bpe_file=merges_file, encoder_json_file=encoder_file)
    full = encoding(ranks)
    cut = encoding({token: rank for token, rank in ranks.items() if rank < 256 + MERGES})

    names = json.loads(pathlib.Path(encoder_file).read_text(encoding="utf-8"))
    names = {name: token for name, token in names.items() if token < 256 + MERGES}
    names["<|endoftext|>"] = 256 + MERGES
    (folder / "cut-encoder.json").write_text(json.dumps(names), encoding="utf-8")
    lines = pathlib.Path(merges_file).read_text(encoding="utf-8").split("\n")[: 1 + MERGES]
    (folder / "cut-vocab.bpe").write_text("\n".join(lines) + "\n", encoding="utf-8")

    texts = TEXTS + list(random_texts())
    cases = [
        {"text": t, "tokens": full.encode_ordinary(t), "cut": cut.encode_ordinary(t)} for t in texts]
    recording = {"tiktoken": tiktoken.__version__, "merges": MERGES, "kinds": kinds()}
    head = json.dumps(recording)[:-1]
    body = ",\n".join(json.dumps(case, separators=(",", ":")) for case in cases)
    (folder / "gpt2-tokens.json").write_text(f'{head}, "cases": [\n{body}\n]}}\n')


if __name__ == "__main__":
    main(*sys.argv[1:])

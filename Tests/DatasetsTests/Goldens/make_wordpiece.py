# SPDX-License-Identifier: Apache-2.0
"""Golden tokens of the uncased BERT tokenizer, from Hugging Face's BertTokenizer.

    pip install transformers     (made with transformers 5.24.0, tokenizers 0.23)
    python3 make_wordpiece.py vocab.txt     # the vocab.txt of an uncased BERT, 30 522 pieces

writes, next to itself:
  wordpiece-vocab.txt     a part of that vocabulary: special tokens, single characters, and what the words of the texts begin with
  wordpiece-tokens.json   [{"text": ..., "ids": [...]}]: texts with [CLS] and [SEP], by BertTokenizer on that part
The texts: ordinary ones, and every kind of trouble: accents, CJK, control characters, joiners, symbols beside ASCII's punctuation, long words,
special tokens in the text, and random code points of every plane.
"""

import json
import os
import random
import sys
import unicodedata

from transformers import BertTokenizer

HERE = os.path.dirname(os.path.abspath(__file__))
random.seed(7)
texts = [
    "", " ", "i feel so damn happy today", "im feeling rather rotten so im not very ambitious right now",
    "Hello, World! It's the unaffable's don't-care e-mail: a_b@c.de (50%) $3.14 <tag> ~x^2 `q` {b} |p| [m]",
    "Café naïve Ångström Ünïcödé ÇA ﬁ Ａｌｌ İstanbul ΣΊΣΥΦΟΣ ẞ straße Ǆ",
    "e\u0301 a\u0308\u0323 o\u0338 \u0301alone", "日本語テスト 中文abc中文 한국어 㐀 𠀀 𪜀 𫝀 𫠠 𫥀 豈 丽",
    "tab\tnew\nline\r\nreturn\x0bvertical\x0cform\x85next\u2028sep\u2029par\xa0nbsp\u3000wide\u1680ogham\u200bzero",
    "a\x00b\x01c\x7fd\x80e\ufffdf\u200df\ufeffg\u00adh\u2060i\ue000j",
    "👍🏽 👨‍👩‍👧 🇩🇪 ☃ ™ € £ § ¶ • … — – ‘x’ “y” «z» ¿¡ 。、「」",
    "[CLS] a [SEP] b [MASK]c [PAD][UNK] [cls] [ MASK ] [[MASK]] x[SEP]y",
    "supercalifragilisticexpialidocious antidisestablishmentarianism", "a" * 100, "a" * 101, "é" * 100, "é" * 101, "x" * 250 + " y",
    "१२३ ٣٤ Ⅷ ½ ² ₃ ①", "קוֹל שָׁלוֹם العَرَبِيَّة ไทย ประเทศ हिन्दी தமிழ் বাংলা", "ά ώ Ὀδυσσεύς Й ё Ў ѐ", "ﬀ ﬃ ŉ ǰ ΐ և ẖ",
]


def known(c):
    return unicodedata.category(c) not in ("Cn", "Cs")


points = [c for c in map(chr, range(0x1, 0x2FA20)) if known(c) and unicodedata.category(c) != "Co"]
planes = [c for c in points if ord(c) < 0x3000]
for k in range(120):
    pool = planes if k % 2 else points
    texts.append("".join(random.choice(pool) + random.choice(["", "", "a", " ", "ing"]) for _ in range(12)))

full = [line.rstrip("\n") for line in open(sys.argv[1], encoding="utf-8")]
words = {w for t in texts for w in "".join(c for c in unicodedata.normalize("NFD", t.lower()) if unicodedata.category(c) != "Mn").replace("-", " ").replace("'", " ").split()}
parts = {w[i:j] for w in words if len(w) < 40 for i in range(len(w)) for j in range(i + 1, len(w) + 1)}
special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
cut = special + [p for p in full if p not in special and not p.startswith("[unused") and (len(p.removeprefix("##")) == 1 or p.removeprefix("##") in parts)]
path = os.path.join(HERE, "wordpiece-vocab.txt")
open(path, "w", encoding="utf-8").write("\n".join(cut) + "\n")
tokenizer = BertTokenizer(vocab={p: i for i, p in enumerate(cut)})
assert tokenizer("Hello wörld")["input_ids"][0] == 2
rows = [{"text": t, "ids": tokenizer(t)["input_ids"]} for t in texts]
print(len(cut), "pieces,", len(rows), "texts,", sum(1 in r["ids"] for r in rows), "with [UNK]")
json.dump(rows, open(os.path.join(HERE, "wordpiece-tokens.json"), "w"), indent=0)

"""Writes the fixtures of the tests of WordPiece: a small vocabulary, tokenizers with it, and what the reference makes of texts.

    python3 wordpiece.py        # tokenizers 0.23 (pip install tokenizers)

The versions that wrote the committed files are in wordpiece.json.
"""

import json
import random

import tokenizers
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]

PLAIN = """
I lost my card yesterday, what should I do?
UNwantéd,running
unwantedX running
 	HeLLo!how  
 Are yoU?  
ah博推zz
Héllo, Ångström! Çedilla naïve façade
the quick brown fox jumps over the lazy dog
transfer $1,250.00 to account #42 (today)
C++ & C# are <languages>; isn't `that` ~nice~ ^_^ |
e-mail: someone@example.org http://example.org/a?b=c&d=e
ὈΔΥΣΣΕΎΣ ΣΊΣΥΦΟΣ
İstanbul ISPARTA ığdır
Straße STRASSE ẞ
ﬁnancial ﬂow oﬃce
Привет, как дела? Ёлка
שלום עולם
مرحبا بالعالم
नमस्ते दुनिया
สวัสดีชาวโลก
こんにちは世界
안녕하세요 세계
中文分词测试,没有空格。
𠀀𪜀𫝀𫠠丽 rare ideographs
🙂 👍🏽 👨‍👩‍👧‍👦 🇩🇪 emoji
a​b‌c‍d zero width
soft­hyphen and nbsp here
tab\there newline
a [MASK] b [SEP] c
[CLS] at the start
[PAD] [UNK] [unk] [mask]
[MASK][MASK]x[SEP]y
x[MASK]y
½ ¼ ² ³ № ™ ℃ Ⅳ
“quotes” ‘single’ — dash – en … ellipsis
¿qué? ¡hola! «guillemets» „unten“
\u00e9 \u0065\u0301 composed and decomposed
\u1e9b\u0323 \u212b \u2126 \ufb01
\ufeffbyte order mark
replacement \ufffd character
nul \u0000 bell \u0007 escape \u001b delete \u007f
next line \u0085 line separator \u2028 paragraph \u2029 end
private \ue000 use \uf8ff
unassigned \u0378 \u0ffff
variation \u2764\ufe0f heart
""".strip("\n").split("\n")


def texts():
    out = [t.encode().decode("unicode_escape") if "\\" in t and t.isascii() else t for t in PLAIN]
    out += ["", " ", "\t\n\r", "\u00a0", "\u3000wide\u3000space\u3000", "a\rb\nc\td", "\u200e\u200fmarks", "a\u0300\u0301\u0302b"]
    for n in (99, 100, 101, 199, 200, 201):  # the limit of a word
        out += ["a" * n, "é" * n, "x " + "ab" * (n // 2) + " y"]
    for c in range(0x20):
        out.append(f"a{chr(c)}b")
    for c in list(range(0x21, 0x30)) + list(range(0x3A, 0x41)) + list(range(0x5B, 0x61)) + list(range(0x7B, 0x80)):
        out.append(f"a{chr(c)}b")
    for c in (0x80, 0x9F, 0xA0, 0xA1, 0xA7, 0xAD, 0xB6, 0xBF, 0x130, 0x131, 0x149, 0x1F0, 0x390, 0x3A3, 0x3C2, 0x587, 0x61C, 0x70F,
              0x180E, 0x1E96, 0x1E9E, 0x2000, 0x200B, 0x202F, 0x205F, 0x2060, 0x2066, 0x20E3, 0x2E80, 0x2F00, 0x3001, 0x3007, 0x3400,
              0x4DBF, 0x4DC0, 0x4E00, 0x9FFF, 0xA000, 0xAC00, 0xF8FF, 0xF900, 0xFAFF, 0xFB00, 0xFE00, 0xFE0F, 0xFF01, 0xFF21, 0xFFFC,
              0xFFFD, 0x10400, 0x1D400, 0x1F600, 0x1F1E6, 0x20000, 0x2A6DF, 0x2A6E0, 0x2A700, 0x2B73F, 0x2B740, 0x2B81F, 0x2B820,
              0x2CEAF, 0x2CEB0, 0x2F800, 0x2FA1F, 0xE0001, 0xE0100, 0xF0000, 0x10FFFF):
        out += [f"a{chr(c)}b", f"A{chr(c)}"]
    for upper in ("Σ", "ΑΣ", "ΑΣ Α", "ΑΣΑ", "ΑΣ.", "Α.Σ", "ΑΣ́", "ΣΑΣ"):  # final sigma
        out.append(upper)
    r = random.Random(1)
    alphabet = "abcdefghij ABC  éÉüßıİΣσς.,!?-'[]()漢字かな😀\u0301\u200b\u00a0\t0123456789"
    for _ in range(120):
        out.append("".join(r.choice(alphabet) for _ in range(r.randint(1, 40))))
    words = [w for line in PLAIN[:10] for w in line.split()] + SPECIAL
    for _ in range(60):
        out.append(r.choice(["", " "]).join(r.choice(words) for _ in range(r.randint(1, 12))))
    return list(dict.fromkeys(out))


def pieces(texts):
    """Pieces of the texts: some words, beginnings and endings, and most characters, so that some words have none that fit."""
    normalize, split = normalizers.BertNormalizer(lowercase=True), pre_tokenizers.BertPreTokenizer()
    words = sorted({w for t in texts for w, _ in split.pre_tokenize_str(normalize.normalize_str(t)) if len(w) < 20})
    chosen = {w for i, w in enumerate(words) if i % 5 == 0} | {w[:3] for i, w in enumerate(words) if i % 5 == 1}
    chosen |= {"##" + w[-2:] for i, w in enumerate(words) if i % 5 < 2 and len(w) > 2}
    for c in sorted({c for t in texts for c in t} | {c for w in words for c in w}):
        if ord(c) % 7 and split.pre_tokenize_str(c):
            chosen |= {c} if ord(c) % 2 or ord(c) < 128 else set()
            chosen |= {"##" + c}
    return sorted(chosen - set(SPECIAL))


def make(lowercase, special, vocab):
    t = Tokenizer(models.WordPiece(vocab, unk_token="[UNK]", max_input_chars_per_word=100))
    t.normalizer = normalizers.BertNormalizer(clean_text=True, handle_chinese_chars=True, strip_accents=None, lowercase=lowercase)
    t.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    t.post_processor = processors.TemplateProcessing(
        single="[CLS]:0 $A:0 [SEP]:0", pair="[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1",
        special_tokens=[("[CLS]", vocab["[CLS]"]), ("[SEP]", vocab["[SEP]"])])
    t.add_special_tokens(special)
    return t


def main():
    all = texts()
    order = SPECIAL + pieces(all)
    vocab = {w: i for i, w in enumerate(order)}
    with open("vocab.txt", "w", encoding="utf-8", newline="\n") as f:
        f.writelines(w + "\n" for w in order)
    cases = {"version": tokenizers.__version__, "texts": all}
    for name, lowercase in (("uncased", True), ("cased", False)):
        t = make(lowercase, SPECIAL, vocab)
        cases[name] = [t.encode(x).ids for x in all]
        t.enable_truncation(16)
        t.enable_padding(length=16, pad_id=vocab["[PAD]"], pad_token="[PAD]")
        if name == "uncased":
            t.save("tokenizer.json")
    with open("wordpiece.json", "w", encoding="utf-8", newline="\n") as f:
        json.dump(cases, f, ensure_ascii=True, separators=(",", ":"))
        f.write("\n")
    print(len(all), "texts,", len(vocab), "pieces")


main()

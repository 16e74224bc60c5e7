"""Texts to count: generators with fixed seeds, and real files that every installation has."""

from __future__ import annotations

import json
import random
import sysconfig
from collections.abc import Iterator
from pathlib import Path

# Classes that the patterns tell apart, and characters on which scanners trip.
ALPHABETS: dict[str, str] = {
    "ascii": "".join(map(chr, range(128))),
    "words": "aeinorst" * 4 + "ABEST" + "    \n\t'.,-!/0123",
    "case": "aAbBzZǅǈʰªǺßİıſKéÉ日ก\u0301\u0300'stSTm ",
    "contractions": "''''’ʼsStTrReEvVmMlLdDſ  .9\n",
    "space": "      \n\n\r\t\v\f\x85\xa0\u2003\u2028\u3000\u200b\x1c\x1fa.1",
    "numbers": "0123456789²½٣४Ⅷ〇㊿,. -aE\n",
    "punctuation": "!!!...///---===###***(){}[]<>\\|\"'`~@$%^&_+?;:,\u00a1\u2014\u300c。\n\r a\u0301",
    "marks": "aAक\u0301\u093f\u20dd\ufe0f\u0e31 .\n1ñ",
    "cjk": "的一是不了人我在有他这中大来上国日本語ひらがなカタカナ한국어、。！ A1\n",
    "scripts": "приветМИР שלום مرحبا नमस्ते สวัสดี γειά Ελλάδα ქართული հայ አማ 1. \n",
    "emoji": "😀👍🏽👨\u200d👩\u200d👧🇩🇪❤️\ufe0f🏳\u200d🌈1\ufe0f\u20e3 a!\n",
}


def random_strings(count: int, seed: int, longest: int = 24) -> Iterator[str]:
    """``count`` strings, each from one or several alphabets, now and then with any code point, or in runs."""
    rng = random.Random(seed)
    pools = list(ALPHABETS.values())
    for i in range(count):
        pool = pools[i % len(pools)]
        if i % 3 == 1:
            pool += rng.choice(pools)
        length = rng.randint(1, longest)
        kind = i % 7
        if kind == 5:
            text = "".join(c * rng.choice((1, 1, 2, 3, 9)) for c in rng.choices(pool, k=max(1, length // 2)))
        elif kind == 6:
            chars = rng.choices(pool, k=length)
            chars[rng.randrange(length)] = any_code_point(rng)
            text = "".join(chars)
        else:
            text = "".join(rng.choices(pool, k=length))
        yield text


def any_code_point(rng: random.Random) -> str:
    """Any scalar value, the low planes more often."""
    while True:
        code = rng.randrange(rng.choice((0x300, 0x3000, 0x11000, 0x20000, 0x110000)))
        if not 0xD800 <= code < 0xE000:
            return chr(code)


def code_points() -> list[str]:
    """Every Unicode scalar value."""
    return [chr(code) for code in range(0x110000) if not 0xD800 <= code < 0xE000]


def library_files(limit: int) -> Iterator[str]:
    """Sources and texts of the standard library and of the installed packages, up to ``limit`` characters."""
    paths = sysconfig.get_paths()
    for root in (paths["stdlib"], paths["purelib"]):
        for path in sorted(Path(root).rglob("*")):
            if path.suffix not in {
                ".py",
                ".txt",
                ".json",
                ".md",
                ".rst",
                ".cfg",
                ".toml",
                ".html",
                ".c",
                ".h",
            }:
                continue
            if limit <= 0:
                return
            try:
                text = path.read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError):
                continue
            limit -= len(text)
            yield text


SENTENCES: dict[str, str] = {
    "english": "I don't think we've met; you're Sam's friend, aren't you? It's 10:30, and THEY'LL be here soon.",
    "german": "Größere Änderungen müssen vorher geprüft werden, weil sonst der Übergang schiefläuft.",
    "french": "L'été dernier, j'ai vu qu'aujourd'hui n'était pas comme hier : déjà 1 234,50 € dépensés !",
    "spanish": "¿Cómo está usted? Mañana iré al médico porque el niño tiene fiebre desde ayer.",
    "russian": "Вчера мы обсуждали, почему сервер не отвечает; решение нашли только к вечеру.",
    "ukrainian": "Сьогодні вранці з'явилася помилка, і її треба виправити якнайшвидше.",
    "greek": "Το σύστημα λειτουργεί σωστά, αλλά χρειάζεται περισσότερη μνήμη από χθες.",
    "arabic": "أعتقد أن المشكلة في قاعدة البيانات، وسنحاول إصلاحها قبل نهاية اليوم إن شاء الله.",
    "persian": "من فکر می‌کنم که این راه حل بهتر است، ولی باید آن را آزمایش کنیم.",
    "hebrew": "אני חושב שהבעיה נמצאת במסד הנתונים, וננסה לתקן אותה עד סוף היום.",
    "hindi": "मुझे लगता है कि समस्या डेटाबेस में है, और हम इसे आज शाम तक ठीक कर देंगे।",
    "bengali": "আমার মনে হয় সমস্যাটা ডাটাবেসে, আমরা আজ সন্ধ্যার মধ্যে ঠিক করে দেব।",
    "tamil": "இந்த பிரச்சனை தரவுத்தளத்தில் உள்ளது என்று நினைக்கிறேன்.",
    "thai": "ฉันคิดว่าปัญหาอยู่ที่ฐานข้อมูล เราจะพยายามแก้ไขให้เสร็จภายในวันนี้",
    "chinese": "我认为问题出在数据库上，我们会尽量在今天结束之前修复它。谢谢你的耐心等待！",
    "japanese": "問題はデータベースにあると思いますので、今日中に修正するようにします。ありがとうございます。",
    "korean": "문제는 데이터베이스에 있는 것 같아요. 오늘 안으로 고치도록 노력하겠습니다.",
    "vietnamese": "Tôi nghĩ vấn đề nằm ở cơ sở dữ liệu, chúng tôi sẽ cố gắng sửa trong hôm nay.",
    "turkish": "Sorunun veritabanında olduğunu düşünüyorum; İstanbul'daki ekip ilgileniyor.",
    "georgian": "ვფიქრობ, რომ პრობლემა მონაცემთა ბაზაშია და დღესვე გამოვასწორებთ.",
    "amharic": "ችግሩ በመረጃ ቋቱ ውስጥ ይመስለኛል፤ ዛሬ እናስተካክለዋለን።",
    "emoji": "Great job 👍🏽🎉 see you tomorrow 👨‍👩‍👧‍👦 ❤️🏳️‍🌈 🇩🇪🇯🇵 1️⃣2️⃣",
    "code": 'def f(x: int) -> str:\n    return f"{x!r:>10}"  # don\'t\n\n\nclass HTTPServerError(Exception):\n\tpass\n',
    "javascript": "const fooBar = (a, b) => {\n  // it's fine;\n  return a?.b ?? `x${b}`;\n};\r\n\r\n/* end */\n",
    "markdown": "# Title\n\n- item *one*\n- [link](https://example.com/a?b=c&d=%20)\n\n| a | b |\n|---|---|\n```sh\nls -la\n```\n",
    "special": "<|endoftext|> <|im_start|>user<|im_end|> <|fim_prefix|><|endofprompt|><|start|><|reserved_200000|>",
    "numbers": "3.14159 1,000,000 0xDEADBEEF 2026-11-22T18:40:00Z +1 (555) 010-9999 192.168.0.1 1e-9 ½ ٣٤٥",
    "log": "2026-11-22 18:40:01,123 ERROR [main] c.e.App$Inner: \x1b[31mfailed\x1b[0m\t(code=-1)\n\tat a.b(C.java:42)\n",
}


def mixed_texts(count: int, seed: int) -> Iterator[str]:
    """Messages put together from sentences of many languages, code, JSON and whitespace of all lengths."""
    rng = random.Random(seed)
    sentences = list(SENTENCES.values())
    glue = (" ", "\n", "\n\n", "  ", "\t", " \n", "\r\n", "", "...", "     \n   ", " " * 40, "\u3000", "/")
    for i in range(count):
        parts: list[str] = []
        for _ in range(rng.randint(1, 8)):
            sentence = rng.choice(sentences)
            start = rng.randrange(len(sentence))
            part = sentence[start : start + rng.randint(1, 120)]
            parts += [rng.choice((part, part, part.upper(), part.title(), part.swapcase())), rng.choice(glue)]
        text = "".join(parts)
        yield (
            json.dumps({"role": "user", "n": i, "content": text}, indent=rng.choice((None, 2)))
            if i % 9 == 0
            else text
        )

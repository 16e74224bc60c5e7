"""Counting tokens beside tiktoken, toktok-rs, gigatoken and bpe-openai: one run, one thread, medians.

    python benches/tokens/peers.py [--rounds 7] [--encoding o200k_base]

Every peer is fed the vocabulary that our wheel ships. Each measurement takes all peers in turn, round after
round, so that a noisy moment hits all of them. Every text is counted once a round and no round repeats the
texts of another, so that no cache of whole words can have seen more of them than of any text. A peer that is
not installed, or that cannot be fed, is named. Prints Markdown.
"""

from __future__ import annotations

import argparse
import base64
import random
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "tests" / "tokens"))

from ai_infra._core import Encoding
from corpus import SENTENCES
from referee import ranks, referee

Count = Callable[[list[str]], int]
LATIN = (
    "english",
    "german",
    "french",
    "spanish",
    "code",
    "javascript",
    "markdown",
    "special",
    "numbers",
    "log",
)


def peers(name: str) -> tuple[dict[str, Count], list[str]]:
    """The counters by name, and what is missing."""
    ours, tiktoken = Encoding(name), referee(name)
    found: dict[str, Count] = {
        "ai-infra-memory": ours.count_total,
        "tiktoken": lambda texts: sum(len(tiktoken.encode_ordinary(text)) for text in texts),
    }
    missing = []
    try:
        import toktok

        found["toktok-rs"] = lambda texts: sum(toktok.batch_count(texts, name, threads=1))
    except ImportError as error:
        missing.append(f"toktok-rs: {error}")
    try:
        import gigatoken

        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"{name}.tiktoken"
            path.write_bytes(b"".join(base64.b64encode(t) + b" %d\n" % r for t, r in ranks(name).items()))
            giga = gigatoken.Tokenizer.from_tiktoken(path)
        # One call for the whole list, as its documentation advises; the ids stay in its own arrays.
        found["gigatoken"] = lambda texts: len(giga.encode_batch(texts, parallel=False).layout.content)
    except (ImportError, ValueError, OSError) as error:
        missing.append(f"gigatoken: {error}")
    try:
        import bpe_openai

        bpe = bpe_openai.get_encoding(name)
        # It refuses over 200,000 tokens at once: cut in two, which may cost a token.
        found["bpe-openai"] = lambda texts: sum(
            len(bpe.encode_ordinary(text[i : i + 500_000]))
            for text in texts
            for i in range(0, len(text), 500_000)
        )
    except (ImportError, ValueError, KeyError) as error:
        missing.append(f"bpe-openai: {error}")
    return found, missing


def prose() -> str:
    """English: the docstrings of this Python's library, which is code that everyone has, without its code."""
    parts = []
    for path in sorted(Path(sysconfig.get_paths()["stdlib"]).glob("*.py")):
        parts += path.read_text(encoding="utf-8").split('"""')[1::2]
    return " ".join(" ".join(parts).split())


def files(suffixes: tuple[str, ...]) -> str:
    roots = (Path(sysconfig.get_paths()["stdlib"]), Path(sysconfig.get_paths()["purelib"]))
    paths = sorted(path for root in roots for path in root.rglob("*") if path.suffix in suffixes)
    texts = []
    for path in paths:
        try:
            texts.append(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError):
            continue
        if sum(map(len, texts)) > 12_000_000:
            break
    return "\n".join(texts)


def slices(text: str, size: int, count: int) -> Iterator[list[str]]:
    """Lists of ``count`` pieces of ``size`` characters, none of them twice until the text is used up."""
    starts = list(range(0, len(text) - size, size))
    random.Random(1).shuffle(starts)
    at = 0
    while True:
        chosen = [starts[(at + i) % len(starts)] for i in range(count)]
        at += count
        yield [text[start : start + size] for start in chosen]


def multilingual(seed: int) -> list[str]:
    """Sentences of many scripts, their words shuffled and glued anew."""
    rng = random.Random(seed)
    words = [word for key, text in SENTENCES.items() if key not in LATIN for word in text.split()]
    return [" ".join(rng.choices(words, k=25)) for _ in range(1_500)]


def measure(found: dict[str, Count], rounds: list[list[str]]) -> dict[str, tuple[float, int]]:
    """Median nanoseconds for a byte of each peer, and its total count."""
    for count in found.values():
        count(rounds[0][:20])
    result = {}
    times: dict[str, list[float]] = {peer: [] for peer in found}
    totals = dict.fromkeys(found, 0)
    for texts in rounds:
        size = sum(len(text.encode()) for text in texts)
        for peer, count in found.items():
            fresh = [text[:1] + text[1:] for text in texts]  # new objects: no cached UTF-8
            start = time.perf_counter()
            totals[peer] += count(fresh)
            times[peer].append((time.perf_counter() - start) / size * 1e9)
    for peer in found:
        result[peer] = (statistics.median(times[peer]), totals[peer])
    return result


def row(label: str, result: dict[str, tuple[float, int]]) -> None:
    base, expected = result["tiktoken"]
    cells = []
    for peer, (speed, total) in result.items():
        wrong = "" if total == expected else " **counts differ**"
        cells.append(f"{base / speed:.1f}x ({speed:.1f} ns/B){wrong if peer != 'tiktoken' else ''}")
    print(f"| {label} | " + " | ".join(cells) + " |", flush=True)


def messages_row(found: dict[str, Count], name: str, batches: list[list[str]]) -> None:
    """10,000 plain dicts in one call; the peers get a list of their contents, and the roles for nothing."""
    ours = Encoding(name)
    times: dict[str, list[float]] = {peer: [] for peer in found}
    totals = dict.fromkeys(found, 0)
    for texts in batches:
        for peer, count in found.items():
            messages = [{"role": "user", "content": text[:1] + text[1:]} for text in texts]
            start = time.perf_counter()
            if peer == "ai-infra-memory":
                totals[peer] += ours.count_messages(messages, 3)[0]
            else:
                totals[peer] += 4 * len(messages) + count([message["content"] for message in messages])
            times[peer].append(time.perf_counter() - start)
    base = statistics.median(times["tiktoken"])
    cells = []
    for peer in found:
        median = statistics.median(times[peer])
        wrong = "" if totals[peer] == totals["tiktoken"] else " **counts differ**"
        cells.append(f"{base / median:.1f}x ({median * 1e3:.1f} ms){wrong}")
    print("| 10,000 dict messages of 200 characters | " + " | ".join(cells) + " |", flush=True)


def linear_table(name: str, prose_text: str) -> None:
    """One megabyte of hard things, as multiples of the time a byte of prose takes."""
    rng = random.Random(2)
    size = 1_000_000
    lower = "abcdefghijklmnopqrstuvwxyz"
    texts = {
        "prose": prose_text[:size],
        "one letter": "a" * size,
        "random small letters": "".join(rng.choices(lower, k=size)),
        "random letters": "".join(rng.choices(lower + lower.upper(), k=size)),
        "spaces": " " * size,
        "newlines": "\n" * size,
        "random white space": "".join(rng.choices(" \t\r\n", k=size)),
        "one emoji sequence": "👨\u200d👩\u200d👧" * (size // 18),
        "digits": "".join(rng.choices("0123456789", k=size)),
        "punctuation": "".join(rng.choices("!#$%&()*+,-./:;<=>?@[]^_{|}~", k=size)),
        "random Han": "".join(chr(rng.randrange(0x4E00, 0x9FA5)) for _ in range(size // 3)),
        "one Han character": "的" * (size // 3),
    }
    encoding = Encoding(name)
    print(f"\n| 1 MB of ({name}) | ns/B | x prose |\n|---|---|---|")
    base = 0.0
    for label, text in texts.items():
        bytes_ = len(text.encode())
        encoding.count(text)
        times = []
        for _ in range(5):
            start = time.perf_counter()
            encoding.count(text)
            times.append((time.perf_counter() - start) / bytes_ * 1e9)
        speed = statistics.median(times)
        base = base or speed
        print(f"| {label} | {speed:.2f} | {speed / base:.1f} |", flush=True)


COLD = """
import time
def resident():  # not ru_maxrss, which a child inherits from its parent
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))
before = resident()
start = time.perf_counter()
from ai_infra._core import Encoding
Encoding({name!r}).count("Hello, world. " * 1000)
elapsed = time.perf_counter() - start
print(elapsed * 1e3, (resident() - before) / 1024)
"""


def cold(name: str) -> None:
    runs = [
        subprocess.run(
            [sys.executable, "-c", COLD.format(name=name)], capture_output=True, text=True, check=True
        )
        for _ in range(7)
    ]
    numbers = [tuple(map(float, run.stdout.split())) for run in runs]
    print(
        f"\nCold start ({name}): import and first count {statistics.median(n[0] for n in numbers):.1f} ms, "
        f"memory added {statistics.median(n[1] for n in numbers):.1f} MB."
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--encoding", action="append")
    arguments = parser.parse_args()
    text = prose()
    mix = [text, files((".py",)), files((".json", ".cfg", ".toml"))]
    for name in arguments.encoding or ["o200k_base", "cl100k_base"]:
        found, missing = peers(name)
        print(f"\n{name}: speed over tiktoken's, one thread, median of {arguments.rounds} rounds\n")
        print("| | " + " | ".join(found) + " |\n|" + "---|" * (len(found) + 1))
        chat = slices(text, 200, 10_000)
        messages_row(found, name, [next(chat) for _ in range(arguments.rounds)])
        streams = [slices(part, 4_000, 60) for part in mix]
        rounds = [[piece for stream in streams for piece in next(stream)] for _ in range(arguments.rounds)]
        row("unseen English, code, JSON", measure(found, rounds))
        row("unseen multilingual", measure(found, [multilingual(seed) for seed in range(arguments.rounds)]))
        row("1 MB of prose in one string", measure(found, [[text[i : i + 1_000_000]] for i in range(3)]))
        for line in missing:
            print(f"\nNot measured: {line}")
        linear_table(name, text)
        cold(name)
    encoding = Encoding("o200k_base")
    short, repeat = "How are you today? I'm fine.", 200_000
    spent = []
    for argument in ("", short):
        start = time.perf_counter()
        for _ in range(repeat):
            encoding.count(argument)
        spent.append((time.perf_counter() - start) / repeat * 1e9)
    print(f"\nOne short string: {spent[1]:.0f} ns a call, of which the call itself is {spent[0]:.0f} ns.")


if __name__ == "__main__":
    main()

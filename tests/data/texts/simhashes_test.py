import hashlib
import itertools
import random
import re

import numpy as np
import pytest

from tltf.data.texts.simhashes import LEAST_WORDS, simhashes


def simhash(text):
    """The SimHash by its definition, bit by bit."""
    words = re.findall(r"\w+", text.casefold())
    votes = np.zeros(64)
    for first, second in itertools.pairwise(words):
        part = f"{first} {second}".encode("utf-8", "surrogatepass")
        code = int.from_bytes(hashlib.blake2b(part, digest_size=8).digest(), "little")
        votes += [code >> bit & 1 for bit in range(64)]
    bits = votes > (len(words) - 1) / 2
    return sum(1 << bit for bit in range(64) if bits[bit])


def random_texts(count, alphabet, longest):
    rng = random.Random(0)
    words = ["".join(rng.choices(alphabet, k=rng.randint(1, 8))) for _ in range(50)]
    marks = [" ", ", ", "-", "\n", "\x1c", "_", "'", " . "]
    for _ in range(count):
        chosen = rng.choices(words, k=rng.randint(0, longest))
        yield "".join(word + rng.choice(marks) for word in chosen)


@pytest.mark.parametrize("alphabet", ["abcXYZ019_", "aéßİ\u017f早\u0301ñ", "a\ud83db"])
@pytest.mark.parametrize("longest", [9, 700])
def test_simhashes_are_those_of_the_definition(alphabet, longest):
    texts = list(random_texts(300 if longest < 10 else 12, alphabet, longest))
    hashes, is_long = simhashes(texts)
    num_words = [len(re.findall(r"\w+", text.casefold())) for text in texts]
    assert is_long.tolist() == [num >= LEAST_WORDS for num in num_words]
    expected = [simhash(text) if long else 0 for text, long in zip(texts, is_long, strict=True)]
    assert hashes.tolist() == expected
    assert is_long.any()


def test_no_texts_have_no_hashes():
    hashes, is_long = simhashes(["", "two words"])
    assert hashes.tolist() == [0, 0]
    assert not is_long.any()

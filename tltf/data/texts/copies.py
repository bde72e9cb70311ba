"""Changed copies of training texts, which are made once, before training, and are rows like others.

So they are tokenized once, and the outputs of frozen layers for them are computed once.
"""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np

from tltf.config import call_strings
from tltf.config.call_strings import Call
from tltf.config.catalogs.augments import AUGMENTS
from tltf.config.catalogs.row import AugmentRow
from tltf.data.source import Column, Source
from tltf.data.texts import wordnet
from tltf.errors import DataError, FlagError

OPERATIONS = ("synonym", "insert", "swap", "delete")
Synonyms = Callable[[str], list[str]]
"""Word -> its synonyms."""


def add_copies(source: Source, text: str | Sequence[Call[AugmentRow]], seed: int) -> Source:
    """The training split followed by the copies of its rows that --augment asks for.

    Args:
        source: texts with labels.
        text: call strings of AUGMENTS joined with `|`, or their Calls; those that do not make rows
            are passed over.
        seed: seed of the draws.

    Raises:
        FlagError: a name or an argument is unknown.
        DataError: a function does not return one text for each text.
    """
    for call in call_strings.pick_each(AUGMENTS, text, flag="augment"):
        if call.row is not None and call.row.makes_rows:
            source = _append_copies(source, call.build(), seed)
    return source


def _append_copies(source: Source, copies: "Copies", seed: int) -> Source:
    """`source` followed by each of the copies of all its rows."""
    fields = {
        name: Column("text", _append_changed(list(column.values), copies, [seed], place))
        for place, (name, column) in enumerate(source.fields.items())
    }
    rows = np.tile(np.arange(len(source)), 1 + copies.count)
    changed = source.take(rows)
    ids = [*source.ids, *(f"{i}#{copies.name}{n}" for n in range(copies.count) for i in source.ids)]
    groups = source.split_groups()[rows]
    return dataclasses.replace(changed, fields=fields, ids=ids, hashes=None, groups=groups)


def _append_changed(texts: list[str], copies: "Copies", seed: list[int], place: int) -> list[str]:
    """`texts` followed by each of their copies; every field but the first has draws of its own."""
    made = list(texts)
    for number in range(copies.count):
        new = copies.function(texts, [*seed, number, *([place] if place else [])])
        if len(new) != len(texts) or not all(isinstance(text, str) for text in new):
            what = (
                f"returned {len(new)} values for {len(texts)} texts, or values that are not texts"
            )
            raise DataError(
                f"{copies.name} {what}", flag="augment", fix="return one str for each text"
            )
        made += new
    return made


@dataclasses.dataclass(frozen=True)
class Copies:
    """A way of making copies.

    Args:
        name: name of the augmentation, for the ids of the rows.
        count: number of copies of each text.
        function: (list of str, seed: list of int) -> list of str of the same length.
    """

    name: str
    count: int
    function: Callable[[list[str], list[int]], list[str]]


def back_translation(function: str, copies: int = 1) -> Copies:
    """Copies by a function of the user, such as translation to another language and back.

    Args:
        function: `package.module:name` of a function (list of str, seed) -> list of str.
        copies: number of copies of each text, at least 1.

    Raises:
        FlagError: `copies` is below 1, or there is no such function.
    """
    _require_copies(copies)
    return Copies("back_translation", copies, call_strings.load_outside(function))


def eda(alpha: float = 0.1, copies: int = 4, operations: tuple[str, ...] = OPERATIONS) -> Copies:
    """Copies with one operation each, which is drawn for each text.

    Wei & Zou 2019, arXiv:1901.11196, section 2: n = max(1, alpha * words) words are replaced by a
    synonym, or n synonyms are inserted, or n pairs of words are swapped; or each word is deleted
    with the probability alpha. Stop words have no synonyms.

    Args:
        alpha: above 0, at most 1; a text has round(alpha * words) changes, where the authors' code
            truncates.
        copies: number of copies of each text, at least 1.
        operations: some of synonym, insert, swap and delete. The first two fetch WordNet.

    Raises:
        FlagError: a number is out of its range, or an operation is unknown.
    """
    _require_copies(copies)
    if not 0 < alpha <= 1:
        raise FlagError(f"alpha must be above 0 and at most 1 (received {alpha})", flag="augment")
    unknown = [name for name in operations if name not in OPERATIONS]
    if unknown or not operations:
        what = f"there is no operation {(unknown or [''])[0]!r} (choices: {', '.join(OPERATIONS)})"
        raise FlagError(what, flag="augment", fix="eda(operations=[swap, delete])")

    def function(texts: Sequence[str], seed: Sequence[int]) -> list[str]:
        rng = np.random.default_rng(seed)
        return [
            _change_text(text, operations[rng.integers(len(operations))], alpha, rng)
            for text in texts
        ]

    return Copies("eda", copies, function)


def _change_text(text: str, operation: str, alpha: float, rng: np.random.Generator) -> str:
    """The text after an operation of OPERATIONS."""
    words = text.split()
    count = max(1, round(alpha * len(words)))
    if operation == "swap":
        return " ".join(swap_words(words, count, rng))
    if operation == "delete":
        return " ".join(delete_words(words, alpha, rng))
    change = replace_words if operation == "synonym" else insert_words
    return " ".join(change(words, count, rng, wordnet.load_wordnet().synonyms))


def replace_words(
    words: Sequence[str], count: int, rng: np.random.Generator, synonyms: Synonyms
) -> list[str]:
    """The words with up to `count` different ones replaced by a synonym each, wherever they stand."""
    words = list(words)
    candidates = [word for word in dict.fromkeys(words) if _has_meaning(word) and synonyms(word)]
    for word in rng.permutation(candidates)[:count].tolist():
        choices = synonyms(word)
        new = choices[rng.integers(len(choices))]
        words = [new if other == word else other for other in words]
    return words


def insert_words(
    words: Sequence[str], count: int, rng: np.random.Generator, synonyms: Synonyms
) -> list[str]:
    """The words with `count` synonyms of some of them inserted anywhere."""
    words = list(words)
    candidates = [word for word in words if _has_meaning(word) and synonyms(word)]
    for _ in range(count if candidates else 0):
        choices = synonyms(candidates[rng.integers(len(candidates))])
        words.insert(rng.integers(len(words) + 1), choices[rng.integers(len(choices))])
    return words


def swap_words(words: Sequence[str], count: int, rng: np.random.Generator) -> list[str]:
    """The words after `count` pairs of them have changed places."""
    words = list(words)
    for _ in range(count if len(words) > 1 else 0):
        first, second = rng.choice(len(words), 2, replace=False)
        words[first], words[second] = words[second], words[first]
    return words


def delete_words(words: Sequence[str], probability: float, rng: np.random.Generator) -> list[str]:
    """The words without those that were drawn, each with a probability; at least one is left."""
    kept = [word for word in words if rng.uniform() >= probability]
    return kept or [words[int(rng.integers(len(words)))]]


def _has_meaning(word: str) -> bool:
    from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

    return word.isalpha() and word.lower() not in ENGLISH_STOP_WORDS


def _require_copies(copies: int) -> None:
    if copies < 1:
        raise FlagError(f"copies must be at least 1 (received {copies})", flag="augment")

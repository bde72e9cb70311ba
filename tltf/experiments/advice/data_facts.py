"""What advice looks at in a data set before any network: rows, classes, sizes, lengths, language, near duplicates."""

import collections
import dataclasses
import re
import unicodedata
from collections.abc import Sequence

import numpy as np

from tltf.data import row_scan, summary
from tltf.data.label_kinds import kind_of
from tltf.data.source import Splits

MOST_TEXTS = 1000
"""Texts whose letters and words are looked at, evenly spaced."""
_COMMON = (
    "the of and to a in is it you that he was for on are as with his they i at be this have from or had by "
    "not but what all were we when your can there an which their if do will how about out many then them "
    "these so some her would him has more my me no"
)
COMMON_WORDS = frozenset(_COMMON.split())
"""Words that make up about four in ten of the words of English texts, and few of others."""
ENGLISH, OTHER = 0.2, 0.08
"""Shares of COMMON_WORDS from which texts in Latin letters are taken as English, and below which they are not."""
UNEVEN = 10
"""How many times as many rows the largest class has as the smallest before it is said."""


@dataclasses.dataclass(frozen=True)
class DataFacts:
    """A data set in a few facts.

    Args:
        modality: `image` or `text`.
        num_train: training rows.
        num_validation: rows by which epochs are chosen.
        num_test: rows that a report is about.
        class_counts: class -> training rows.
        lines: `(name, text)` of what is shown.
        warnings: in sentences.
        largest_side_px: of the pictures that were looked at; 0 for texts.
        is_english: whether texts look English; None where that cannot be told, and for images.
    """

    modality: str
    num_train: int
    num_validation: int
    num_test: int
    class_counts: dict[str, int]
    lines: list[tuple[str, str]]
    warnings: list[str]
    largest_side_px: int = 0
    is_english: bool | None = None

    @property
    def num_rows(self) -> int:
        """Rows of all splits."""
        return self.num_train + self.num_validation + self.num_test


def gather(parts: Splits) -> DataFacts:
    """The DataFacts of splits whose scan has near duplicates where they were looked for."""
    train, scan = parts.train, parts.scan
    counts = np.bincount(np.asarray(train.labels), minlength=len(train.class_names)).tolist()
    named = dict(zip(train.class_names, counts, strict=True))
    sizes = ", ".join(f"{len(part):,} {role}" for role, part in parts.items())
    found = [("rows", f"{row_scan.counts_text(scan)}: {sizes}")]
    told = [
        *kind_of(np.asarray(train.labels)).summary_lines(
            np.asarray(train.labels), train.class_names
        ),
        *summary.content_lines(train),
    ]
    found += [(line[:10].strip(), line[11:]) for line in told]
    warnings, is_english, side = list(scan.warnings), None, 0
    if max(counts) >= UNEVEN * max(min(counts), 1):
        warnings.append(
            f"The largest class has {max(counts) / max(min(counts), 1):.0f} times the rows of the smallest: "
            "accuracy says little of small classes, --metric=macro_f1 counts each the same."
        )
    if train.modality == "text":
        text, is_english = language(train.texts())
        found.append(("language", text))
        if is_english is False:
            warnings.append(
                "The texts do not look English, and the packaged networks of texts were trained on English."
            )
    else:
        side = max((max(size) for size in summary.picture_sizes(train)), default=0)
    if scan.near_rows is not None:
        found.append(("near", near_text(scan.near_rows)))
    lengths = {role: len(part) for role, part in parts.items()}
    return DataFacts(
        train.modality,
        lengths["train"],
        lengths.get("validation", 0),
        lengths.get("test", 0),
        named,
        found,
        warnings,
        side,
        is_english,
    )


def near_text(rows: Sequence[dict[str, str]]) -> str:
    """How many rows are nearly the same as another."""
    if not rows:
        return "no rows are nearly the same as others"
    across = sum("(both " not in row["reason"] for row in rows)
    return (
        f"{len(rows):,} pairs of rows are nearly the same, {across:,} of them in different splits"
    )


def language(texts: Sequence[str]) -> tuple[str, bool | None]:
    """`(what is said, whether they look English)`: a guess by letters and the commonest words; None where unsure."""
    places = np.linspace(0, len(texts) - 1, min(len(texts), MOST_TEXTS)).astype(int)
    some = [texts[int(place)] for place in places]
    scripts = collections.Counter(
        unicodedata.name(letter, "?").split()[0]
        for text in some
        for letter in text
        if letter.isalpha()
    )
    total = sum(scripts.values())
    if not total:
        return "no letters", None
    script, count = scripts.most_common(1)[0]
    letters = f"{count / total:.0%} {script.capitalize()} letters"
    if script != "LATIN":
        return letters, False
    words = [word for text in some for word in re.findall(r"[^\W\d_]+", text.lower())]
    share = sum(word in COMMON_WORDS for word in words) / max(len(words), 1)
    is_english = True if share >= ENGLISH else False if share < OTHER else None
    guess = {True: "likely English", False: "likely not English", None: "perhaps English"}
    told = f"{letters}, {share:.0%} of the words among the {len(COMMON_WORDS)} commonest of English"
    return f"{guess[is_english]}: {told}", is_english

"""How reports show examples: pictures, texts with what is cut off, and samples of the training data."""

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import markupsafe

from tltf.evaluation.explanations.explanation import ExplainedPart
from tltf.evaluation.report import pictures
from tltf.evaluation.report.report import ConfusedPair, Mistake, Report
from tltf.evaluation.report.samples import Sample, SampleGroup

SAMPLE_PX, SMALL_PX = 80, 112
"""The longer side of the picture of a training example, and of one beside the worst mistakes, at most."""
CUT_NOTE = "cut off:"
FAINTEST, STRONGEST = 0.06, 0.55
"""Shares of the largest value below which a word has no colour; the opacity of the colour of that value."""


class Shown(NamedTuple):
    """A row as a page shows it.

    Args:
        row: the row.
        picture: its picture as a data URI; empty without one.
        heat: the picture under the colours of its explanation; empty without one.
    """

    row: Mistake
    picture: str
    heat: str = ""


@dataclasses.dataclass(frozen=True)
class ShownPair:
    """Two classes of which one is often taken for the other, as a page shows them.

    Args:
        pair: the classes, and how often.
        rows: the examples with their pictures.
    """

    pair: ConfusedPair
    rows: list[Shown]


@dataclasses.dataclass(frozen=True)
class ShownSample:
    """A training example as a page shows it.

    Args:
        id: of the example.
        picture: a data URI; empty for a text.
        text: the text; None for a picture.
        unread: as `Sample.unread`.
    """

    id: str
    picture: str
    text: str | None
    unread: list[list[int]] | None


@dataclasses.dataclass(frozen=True)
class ShownGroup:
    """The training examples of a class as a page shows them.

    Args:
        name: the class; empty for all rows.
        num_examples: rows of the class.
        samples: some of them.
    """

    name: str
    num_examples: int
    samples: list[ShownSample]

    @property
    def are_texts(self) -> bool:
        """Whether they are texts and not pictures."""
        return self.samples[0].text is not None


def shorten(report: Report, most: int, shortened: Callable[[str, int], str]) -> Report:
    """The report with the starts of the texts of its examples.

    Args:
        report: with whole texts.
        most: characters of a text.
        shortened: (text, characters) -> its start.
    """

    def short(rows: Iterable[Mistake]) -> list[Mistake]:
        return [
            row if row.text is None else dataclasses.replace(row, text=shortened(row.text, most))
            for row in rows
        ]

    pairs = [dataclasses.replace(pair, examples=short(pair.examples)) for pair in report.confused]
    return dataclasses.replace(
        report,
        worst_mistakes=short(report.worst_mistakes),
        borderline=short(report.borderline),
        confused=pairs,
    )


def with_pictures(
    rows: Sequence[Mistake], pictured: Sequence[Mistake], size_px: int = pictures.SIZE_PX
) -> list[Shown]:
    """Rows as report.json holds them, with the pictures of the same rows.

    Args:
        rows: without images.
        pictured: the same rows, with images.
        size_px: the longer side of a picture, at most.
    """
    return [Shown(row, *_uris(other, size_px)) for row, other in zip(rows, pictured, strict=True)]


def _uris(row: Mistake, size_px: int) -> tuple[str, str]:
    """The data URIs of a row's picture and of its explanation."""
    if row.image is None:
        return "", ""
    picture, found = pictures.data_uri(row.image, size_px), row.explanation
    if found is None or found.heat is None:
        return picture, ""
    return picture, pictures.heat_uri(row.image, found.heat, found.is_signed, size_px)


def shown_pairs(pairs: Sequence[ConfusedPair], pictured: Sequence[ConfusedPair]) -> list[ShownPair]:
    """Pairs as report.json holds them, with the pictures of the same pairs."""
    return [
        ShownPair(pair, with_pictures(pair.examples, other.examples, SMALL_PX))
        for pair, other in zip(pairs, pictured, strict=True)
    ]


def shown_groups(groups: Sequence[SampleGroup]) -> list[ShownGroup]:
    """The samples of each class as a page shows them; groups without samples are left out."""
    return [
        ShownGroup(_utf8(group.name), group.num_examples, list(map(_shown, group.samples)))
        for group in groups
        if group.samples
    ]


def _shown(sample: Sample) -> ShownSample:
    uri = "" if sample.image is None else pictures.data_uri(sample.image, SAMPLE_PX)
    text = None if sample.text is None else _utf8(sample.text)
    return ShownSample(_utf8(sample.id), uri, text, sample.unread)


def _utf8(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def text_parts(
    text: str, unread: Sequence[Sequence[int]] | None, length: int
) -> list[tuple[str, bool]]:
    """`(part, whether the model sees it)` of the start of a text.

    Args:
        text: the example.
        unread: [start, end] of each part that is cut off; None for none.
        length: characters that are shown, at most; an ellipsis stands for the rest.
    """
    parts, end = [], 0
    for start, stop in unread or ():
        parts += [(text[end:start], True), (text[start:stop], False)]
        end = stop
    parts.append((text[end:], True))
    shown, left = [], length
    for part, is_read in parts:
        if part and left > 0:
            is_cut = len(part) > left
            shown.append((part[: left - 1].rstrip() + "…" if is_cut else part, is_read))
            left -= len(part)
    return shown


def marked_text(row: Mistake | ShownSample, length: int) -> markupsafe.Markup:
    """The start of a row's text as HTML, in which what the model does not see is marked."""
    note = markupsafe.Markup(
        '<span class="unread" title="the model does not see this"><small>{}</small> {}</span>'
    )
    return markupsafe.Markup("").join(
        markupsafe.escape(part) if is_read else note.format(CUT_NOTE, part)
        for part, is_read in text_parts(row.text or "", row.unread, length)
    )


def explained_text(parts: Sequence[ExplainedPart], length: int) -> markupsafe.Markup:
    """The start of a text as HTML, with its words in the colours of their values.

    A word that speaks for the answer is blue, one that speaks against it orange, and the opacity is its
    share of the largest value of the whole text; the value is shown on hover.

    Args:
        parts: of the text, with values.
        length: characters that are shown, at most; an ellipsis stands for the rest.
    """
    largest = max((abs(part.value) for part in parts if part.value), default=1.0)
    word = markupsafe.Markup('<span class="{}" style="--a:{}" title="{}">{}</span>')
    note = markupsafe.Markup('<span class="unread" title="the model does not see this">{}{}</span>')
    shown, used, is_noted = list[markupsafe.Markup](), 0, False
    for part in parts:
        if used + len(part.text) > length:
            shown.append(markupsafe.Markup("…"))
            break
        used += len(part.text)
        share = abs(part.value or 0.0) / largest
        if not part.is_read:
            mark = "" if is_noted else markupsafe.Markup("<small>{}</small> ").format(CUT_NOTE)
            shown.append(note.format(mark, part.text))
            is_noted = True
        elif part.value is None or share < FAINTEST:
            shown.append(markupsafe.escape(part.text))
        else:
            side = "for" if part.value > 0 else "against"
            shown.append(
                word.format(side, f"{STRONGEST * share:.2f}", f"{part.value:+.3g}", part.text)
            )
    return markupsafe.Markup("").join(shown)

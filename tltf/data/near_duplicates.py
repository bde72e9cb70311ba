"""Near duplicates: the same picture saved again, the same text with other commas.

Images are compared by the difference hash of a 9 x 8 grey thumbnail: a bit says whether a pixel is
brighter than its right neighbour; scaling and compressing again change few of the 64 bits. A larger
thumbnail confirms what is near, because icons in one frame have one hash. Texts are compared by the
SimHash of the pairs of their words (Charikar 2002, STOC). Hashes at most FAR bits apart count as near;
such pairs agree in one of FAR + 1 pieces of the hash, so that only rows that share a piece are compared.

Where many rows are all alike, not every pair is reported: each row is linked to the first row in
each split that it is near. So neither memory nor the report grows with the square of their number.
A row of images takes 0.6 KB, which is 0.6 GB for a million.
"""

import dataclasses
import itertools
from collections.abc import Sequence

import numpy as np

from tltf.console.progress import SHOWN_AFTER_S, Progress
from tltf.data import packed_texts
from tltf.data.near_duplicate_groups import AreAlike, Links
from tltf.data.source import ROLES, Column, ScanCounts, Source, Splits
from tltf.data.texts.simhashes import simhashes

SIDE_PX, LEAST_STEP, LEAST_CONTRAST = 24, 4.0, 32
"""Side of a grey thumbnail, smallest step between pixels (0 to 255) that sets a bit, and smallest
contrast of a picture that is compared, so that noise in even parts sets no bits."""
MOST_GAP = 4.0
"""The largest mean difference, apart from brightness, of two thumbnails that are near."""
AT_ONCE = 1024
"""The number of thumbnails that are hashed or compared at a time."""
TEXTS_AT_ONCE = 8192
"""The number of texts that are hashed at a time."""
_BITS = np.arange(64, dtype=np.uint64)


def find_near_duplicates(source: Source, parts: Splits | dict[str, Source]) -> ScanCounts:
    """The scan of `source` with `near_rows`, those across splits first, and with warnings.

    Args:
        source: all rows.
        parts: role -> the rows of `source` in that split.
    """
    roles = np.full(len(source), -1, np.int8)
    for role, part in parts.items():
        places = packed_texts.find_places(source.ids, part.ids)
        roles[places[places >= 0]] = ROLES.index(role)
    linked = find_links(source, roles)
    rows = sorted(
        ((roles[first] == roles[second], first, second) for first, second in linked.pairs()),
    )
    near_rows = [_near_row(source, roles, first, second) for _, first, second in rows]
    num_across = sum(not is_within for is_within, _, _ in rows)
    warnings = []
    if num_across:
        what = "1 pair of rows in different splits is nearly the same"
        if num_across > 1:
            what = f"{num_across:,} pairs of rows in different splits are nearly the same"
        first = near_rows[0]["reason"].removeprefix("nearly the same as ")
        warnings.append(f"{what}, such as {near_rows[0]['id']} and {first}")
    if linked.num_left:
        warnings.append(
            f"{linked.num_left:,} rows look like so many others, as in one frame, that "
            "near duplicates among them were not all looked for"
        )
    scan = next(iter(parts.values())).scan
    return dataclasses.replace(scan, near_rows=near_rows, warnings=[*scan.warnings, *warnings])


def _near_row(source: Source, roles: np.ndarray, first: int, second: int) -> dict[str, str]:
    """A row of the report on two rows that are nearly the same."""
    names = [ROLES[roles[row]] for row in (second, first)]
    where = f"both {names[0]}" if names[0] == names[1] else " and ".join(names)
    other = source.ids[first]
    reason = f"nearly the same as {other} ({where})"
    return {"id": source.ids[second], "reason": reason, "other": other}


def is_near_others(part: Source, scan: ScanCounts) -> np.ndarray:
    """bool[N], true for the rows of a split that are nearly the same as a row of another split.

    Args:
        part: the rows of the split.
        scan: with `near_rows`, as `find_near_duplicates` gives it.
    """
    near_rows, is_near = scan.near_rows or (), np.zeros(len(part), bool)
    named = {row["id"] for row in near_rows} | {row.get("other", row["id"]) for row in near_rows}
    places = {row_id: place for place, row_id in enumerate(part.ids) if row_id in named}
    for row in near_rows:
        ends = [places.get(row["id"]), places.get(row.get("other", row["id"]))]
        inside = [place for place in ends if place is not None]
        if len(inside) == 1:
            is_near[inside] = True
    return is_near


def find_pairs(source: Source) -> list[tuple[int, int]]:
    """A list of (row, row), the first below the second, that are near and not the same.

    Every row that is near others is in it, with the first of those.

    Args:
        source: all rows.
    """
    return find_links(source, np.zeros(len(source), np.int8)).pairs()


def find_links(source: Source, roles: np.ndarray) -> Links:
    """The links between the rows of a source that are near and not the same.

    Args:
        source: all rows.
        roles: int8[N], places in ROLES; rows with -1 are left out.
    """
    if source.modality == "text":
        hashes, is_known, are_alike = _hash_texts(source.texts())
    else:
        hashes, is_known, are_alike = _hash_images(source.column)
    known = np.flatnonzero(is_known & (roles >= 0))
    _, first = np.unique(source.content_hashes()[known], return_index=True)
    links = Links(hashes, roles, are_alike)
    links.add_links(known[np.sort(first)])
    return links


def _hash_texts(texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray, AreAlike]:
    """`(uint64[N] hashes, bool[N] whether the text is long enough, function of Links)`."""
    hashes = np.zeros(len(texts), np.uint64)
    is_known = np.zeros(len(hashes), bool)
    with Progress("near duplicates", len(hashes), "texts", after_s=SHOWN_AFTER_S) as progress:
        for start in range(0, len(hashes), TEXTS_AT_ONCE):
            rows = slice(start, start + TEXTS_AT_ONCE)
            hashes[rows], is_known[rows] = simhashes(texts[rows])
            progress.add(len(hashes[rows]))
    return hashes, is_known, lambda rows, others: np.ones(len(rows), bool)


def _hash_images(column: Column) -> tuple[np.ndarray, np.ndarray, AreAlike]:
    """`(uint64[N] hashes, bool[N] whether the contrast is large enough, function of Links)`."""
    from tltf.data.images import small_pictures

    progress = Progress("near duplicates", len(column.values), "images", after_s=SHOWN_AFTER_S)
    grey = small_pictures.grey_thumbnails(column, SIDE_PX, progress)
    hashes, contrast = np.zeros(len(grey), np.uint64), np.zeros(len(grey), np.int16)
    for start in range(0, len(grey), AT_ONCE):
        rows = slice(start, start + AT_ONCE)
        hashes[rows] = _difference_hashes(grey[rows])
        contrast[rows] = np.ptp(grey[rows].reshape(-1, SIDE_PX**2).astype(np.int16), axis=1)

    def are_alike(rows: np.ndarray, others: np.ndarray) -> np.ndarray:
        is_alike = np.empty(len(rows), bool)
        for start in range(0, len(rows), AT_ONCE):
            part = slice(start, start + AT_ONCE)
            gaps = grey[others[part]].astype(np.float32) - grey[rows[part]]
            gaps = gaps.reshape(-1, SIDE_PX**2)
            gaps = np.abs(gaps - gaps.mean(axis=1, keepdims=True)).mean(axis=1)
            is_alike[part] = gaps <= MOST_GAP
        return is_alike

    return hashes, contrast > LEAST_CONTRAST, are_alike


def _difference_hashes(grey: np.ndarray) -> np.ndarray:
    """uint64[N], the difference hashes of thumbnails uint8[N, SIDE_PX, SIDE_PX]."""
    coarse = grey.reshape(len(grey), 8, SIDE_PX // 8, SIDE_PX).mean(axis=2)
    edges = np.linspace(0, SIDE_PX, 10).astype(int)
    columns = [coarse[:, :, a:b].mean(axis=2) for a, b in itertools.pairwise(edges)]
    bits = (np.diff(np.stack(columns, axis=2), axis=2) > LEAST_STEP).reshape(len(grey), 64)
    return (bits.astype(np.uint64) << _BITS).sum(axis=1, dtype=np.uint64)

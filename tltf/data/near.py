"""Rows that are nearly the same: the same picture saved again, the same text with other commas.

Images by the difference hash of a 9 x 8 grey thumbnail: a bit says whether a pixel is brighter
than its right neighbour; scaling and compressing again change few of the 64 bits. A larger
thumbnail confirms it, since icons in one frame have one hash. Texts by the
SimHash of their words' pairs (Charikar 2002, STOC). Hashes at most FAR bits apart count as near; such
pairs agree in one of FAR + 1 pieces of the hash, so that only rows that share a piece are compared.
"""

import itertools
import re

import numpy as np

from tltf.data.source import digest
from tltf.progress import Progress

FAR = 3
LEAST_WORDS = 5
"""Shorter texts are not compared: two of them are easily alike."""
MOST_ALIKE = 50
"""Rows that share a piece of their hash, beyond which they say nothing: blank pages, say."""
SIDE_PX, LEAST_STEP, LEAST_CONTRAST = 24, 4.0, 32
"""Of grey thumbnails, 0 to 255; even parts must not have bits of noise."""
MOST_GAP = 4.0
"""Mean difference of two thumbnails, beside that in brightness, up to which they are near."""
_WORD = re.compile(r"\w+")
_BITS = np.arange(64, dtype=np.uint64)


def looked_for(source, parts):
    """The scan of `source` with `near_rows`, pairs across splits first, and a warning of those.

    Args:
        source: Source.
        parts: role -> Source, of its rows.
    """
    role_of = {row_id: role for role, part in parts.items() for row_id in part.ids}
    rows = []
    for pair in pairs(source):
        first, second = (source.ids[row] for row in pair)
        roles = role_of.get(first), role_of.get(second)
        if None in roles:
            continue
        where = f"both {roles[0]}" if roles[0] == roles[1] else f"{roles[0]} and {roles[1]}"
        row = {"id": first, "reason": f"nearly the same as {second} ({where})"}
        rows.append((roles[0] == roles[1], row))
    scan = next(iter(parts.values())).scan | {"near_rows": [
        row for _, row in sorted(rows, key=lambda row: row[0])]}  # fmt: skip
    across = [row for is_within, row in rows if not is_within]
    if across:
        text = (f"{len(across):,} pairs of rows in different splits are nearly the same, such as "
                f"{across[0]['id']}, {across[0]['reason'].removeprefix('nearly the same as ')}")  # fmt: skip
        scan["warnings"] = [*scan["warnings"], text]
    return scan


def pairs(source):
    """List of (row, row), the first below the second, that are near and not the same.

    Args:
        source: Source.
    """
    hash_rows = _of_texts if source.modality == "text" else _of_images
    hashes, is_known, is_alike = hash_rows(source.column)
    same = source.content_hashes()
    found = {
        (first, second)
        for first, second in _candidates(hashes, np.flatnonzero(is_known))
        if same[first] != same[second]
        and (hashes[first] ^ hashes[second]).item().bit_count() <= FAR
        and is_alike(first, second)
    }
    return sorted(found)


def _candidates(hashes, rows):
    width = 64 // (FAR + 1)
    for piece in range(FAR + 1):
        keys = (hashes[rows] >> np.uint64(piece * width)) & np.uint64(2**width - 1)
        order = np.argsort(keys, kind="stable")
        starts = np.flatnonzero(np.append(True, np.diff(keys[order]) != 0))
        for group in np.split(rows[order], starts[1:]):
            if 1 < len(group) <= MOST_ALIKE:
                yield from itertools.combinations(sorted(group.tolist()), 2)


def _of_texts(column):
    """`(uint64[N] hashes, bool[N] whether they say something, (row, row) -> whether to believe it)`."""
    hashes = np.zeros(len(column.values), np.uint64)
    is_known = np.zeros(len(hashes), bool)
    for row, text in enumerate(column.values):
        words = _WORD.findall(text.casefold())
        is_known[row] = len(words) >= LEAST_WORDS
        if is_known[row]:
            hashes[row] = _simhash([" ".join(pair) for pair in itertools.pairwise(words)])
    return hashes, is_known, lambda first, second: True


def _simhash(parts):
    codes = np.array([digest(part.encode("utf-8", "surrogatepass")) for part in parts], np.uint64)
    votes = ((codes[:, None] >> _BITS) & np.uint64(1)).mean(axis=0) > 0.5
    return (votes.astype(np.uint64) << _BITS).sum(dtype=np.uint64)


def _of_images(column):
    from tltf.data import thumbs

    progress = Progress("near duplicates", len(column.values), "images")
    grey = thumbs.grey(column, SIDE_PX, progress)
    coarse = grey.reshape(len(grey), 8, SIDE_PX // 8, SIDE_PX).mean(axis=2)
    edges = np.linspace(0, SIDE_PX, 10).astype(int)
    columns = [coarse[:, :, a:b].mean(axis=2) for a, b in itertools.pairwise(edges)]
    brightness = np.stack(columns, axis=2)
    bits = (np.diff(brightness, axis=2) > LEAST_STEP).reshape(len(grey), 64)
    hashes = (bits.astype(np.uint64) << _BITS).sum(axis=1, dtype=np.uint64)
    contrast = np.ptp(grey.reshape(len(grey), -1).astype(np.int16), axis=1)

    def is_alike(first, second):
        gap = grey[first].astype(np.int16) - grey[second]
        return bool(np.abs(gap - gap.mean()).mean() <= MOST_GAP)

    return hashes, contrast > LEAST_CONTRAST, is_alike

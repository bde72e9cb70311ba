"""Links between those of many 64-bit hashes that are a few bits apart."""

from collections.abc import Callable

import numpy as np

FAR = 3
"""The largest number of bits in which near hashes differ."""
FEW, AT_ONCE = 64, 512
"""The most rows of groups that are compared in one sweep, and of groups compared all with all."""
MOST_COMPARED, MOST_CONFIRMED = 10**9, 10**7
"""The most comparisons in a larger group, and pairs of it that `are_alike` is asked for."""
SPLITS = 1
"""How often a large group is split by its other bits."""
NUM_ROLES = 3
AreAlike = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""`(int64[M], int64[M]) -> bool[M]`: whether rows of near hashes are near."""


class Links:
    """Links from each row to the first row of each role that is near it.

    Args:
        hashes: uint64[N].
        roles: int8[N], 0 to NUM_ROLES - 1, -1 for rows that are left out.
        are_alike: whether rows of near hashes are near.

    Attributes:
        num_left: number of rows for which not all near rows were looked for, see MOST_CONFIRMED.
    """

    def __init__(self, hashes: np.ndarray, roles: np.ndarray, are_alike: AreAlike) -> None:
        self._hashes, self._roles, self._are_alike = hashes, roles, are_alike
        self._none = len(hashes)
        self._first = np.full((len(hashes), NUM_ROLES), self._none, np.int32)
        self._is_left = np.zeros(len(hashes), bool)

    @property
    def num_left(self) -> int:
        """The number of rows for which not all near rows were looked for."""
        return int(self._is_left.sum())

    def pairs(self) -> list[tuple[int, int]]:
        """The linked rows as a sorted list of (row, row), the first below the second, each pair once."""
        rows, roles = np.nonzero(self._first < self._none)
        ends = np.sort(np.stack([rows, self._first[rows, roles]], axis=1), axis=1)
        return [tuple(pair) for pair in np.unique(ends, axis=0).tolist()]

    def add_links(self, rows: np.ndarray) -> None:
        """Adds the links among some rows, int64[M] in rising order."""
        self._add_by_pieces(self._hashes[rows], rows, 64, SPLITS)

    def _add_by_pieces(self, codes: np.ndarray, rows: np.ndarray, width: int, splits: int) -> None:
        """Links rows whose `codes`, of `width` bits, agree in one of FAR + 1 pieces."""
        size = width // (FAR + 1)
        pieces = [_bits(codes, piece * size, size) for piece in range(FAR + 1)]
        for number, keys in enumerate(pieces):
            order = np.argsort(keys, kind="stable")  # by radix, as keys have 16 bits
            starts = np.flatnonzero(np.append(True, np.diff(keys[order]) != 0))
            sizes = np.diff(np.append(starts, len(order)))
            self._link_small_groups(rows[order], sizes)
            large = np.flatnonzero(sizes > FEW)
            for start, end in zip(starts[large], (starts + sizes)[large], strict=True):
                group = order[start:end]
                if any(_are_equal(keys[group]) for keys in pieces[:number]):
                    continue  # they were compared for that piece already
                if end - start > AT_ONCE and splits:
                    rest = _remove_bits(codes[group], number * size, size)
                    self._add_by_pieces(rest, rows[group], width - size, splits - 1)
                elif end - start > AT_ONCE:
                    self._link_by_leaders(rows[group])
                else:
                    self._link_all_pairs(rows[group])

    def _link_small_groups(self, rows: np.ndarray, sizes: np.ndarray) -> None:
        """Compares all rows of each small group with each other.

        Args:
            rows: int64[M], the rows of each group beside each other.
            sizes: int64[G], the size of each group, which add up to M.
        """
        is_small = sizes <= FEW
        rows, sizes = rows[np.repeat(is_small, sizes)], sizes[is_small]
        ends = np.repeat(np.cumsum(sizes), sizes).astype(np.int32)
        hashes, places = self._hashes[rows], np.arange(len(rows), dtype=np.int32)
        for step in range(1, sizes.max(initial=0)):
            places = places[places + step < ends[places]]
            is_near = np.bitwise_count(hashes[places] ^ hashes[places + step]) <= FAR
            near = places[is_near]
            self._confirm(rows[near], rows[near + step])

    def _link_all_pairs(self, group: np.ndarray) -> None:
        """Compares all rows of a group with each other."""
        hashes = self._hashes[group]
        is_near = np.triu(np.bitwise_count(hashes[:, None] ^ hashes) <= FAR, 1)
        for place in np.flatnonzero(is_near.any(axis=1)):
            others = group[is_near[place]]
            self._confirm(np.full(len(others), group[place]), others)

    def _link_by_leaders(self, group: np.ndarray) -> None:
        """Compares each row that has no link yet with all rows of a group.

        So every row that is near any other gets a link; a row that is linked already may be near
        more rows.
        """
        hashes, is_linked = self._hashes[group], np.zeros(len(group), bool)
        num_compared = num_confirmed = 0
        for place, row in enumerate(group):
            if is_linked[place]:
                continue
            if num_compared > MOST_COMPARED or num_confirmed > MOST_CONFIRMED:
                self._is_left[group[place:][~is_linked[place:]]] = True
                return
            is_near = np.bitwise_count(hashes ^ hashes[place]) <= FAR
            is_near[place] = False
            near = np.flatnonzero(is_near)
            is_linked[near[self._confirm(np.full(len(near), row), group[near])]] = True
            num_compared, num_confirmed = num_compared + len(group), num_confirmed + len(near)

    def _confirm(self, rows: np.ndarray, others: np.ndarray) -> np.ndarray:
        """bool[M], true where a row and its other, int64[M] each, are linked now or were before."""
        roles, other_roles = self._roles[rows], self._roles[others]
        is_linked = self._first[others, roles] <= rows
        new = np.flatnonzero(~is_linked | (self._first[rows, other_roles] > others))
        new = new[self._are_alike(rows[new], others[new])]
        np.minimum.at(self._first, (others[new], roles[new]), rows[new])
        np.minimum.at(self._first, (rows[new], other_roles[new]), others[new])
        is_linked[new] = True
        return is_linked


def _bits(codes: np.ndarray, start: int, size: int) -> np.ndarray:
    """uint16[N], `size` bits of each code, at most 16."""
    return ((codes >> np.uint64(start)) & np.uint64(2**size - 1)).astype(np.uint16)


def _remove_bits(codes: np.ndarray, start: int, size: int) -> np.ndarray:
    low = codes & np.uint64(2**start - 1)
    return low | ((codes >> np.uint64(start + size - 1) >> np.uint64(1)) << np.uint64(start))


def _are_equal(values: np.ndarray) -> bool:
    return bool(np.all(values == values[0]))

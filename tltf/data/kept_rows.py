"""The few rows that a model which learns in steps may keep of earlier steps: its memory.

A memory has a budget in rows. Rows come as a stream, and a choice decides which stay; what is not
kept is gone for all later steps. Only the names of the rows are written, so the data itself must
still be there.
"""

import collections
import dataclasses
import json
import pathlib
from collections.abc import Mapping, Sequence

import numpy as np

from tltf.errors import FlagError, ModelError, choices_text
from tltf.files import atomic_files, untrusted

RESERVOIR, BALANCED, HERDING = CHOICES = ("reservoir", "balanced", "herding")


@dataclasses.dataclass(frozen=True)
class Stream:
    """Rows in the order in which they come.

    Args:
        ids: N str.
        classes: N names of classes.
        features: float[N, d], for herding; None for other choices.
    """

    ids: Sequence[str]
    classes: Sequence[str]
    features: np.ndarray | None = None


@dataclasses.dataclass(frozen=True)
class KeptRows:
    """A memory.

    Args:
        ids: of the rows that are kept; those of a class in the order of their worth.
        classes: the class of each.
        num_seen: class -> rows of it that have come so far.
    """

    ids: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    num_seen: Mapping[str, int] = dataclasses.field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.ids)

    def write(self, path: pathlib.Path) -> None:
        """Writes the memory; the file is whole or absent.

        Raises:
            StorageError: the file cannot be written.
        """
        with atomic_files.replace_file(path) as file:
            json.dump(dataclasses.asdict(self), file, indent=1, ensure_ascii=False)


def read(path: pathlib.Path | str) -> KeptRows:
    """The memory in a file.

    Raises:
        ModelError: there is no such file, or it is no memory.
    """
    path = pathlib.Path(path)
    try:
        found = untrusted.read_json(path)
        seen = {str(name): int(count) for name, count in found["num_seen"].items()}
        ids, classes = (tuple(map(str, found[name])) for name in ("ids", "classes"))
    except (OSError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise ModelError("is not a memory that tltf wrote", flag="data", place=path) from error
    if len(ids) != len(classes):
        raise ModelError(f"has {len(ids)} rows and {len(classes)} classes", place=path)
    return KeptRows(ids, classes, seen)


def require(choice: str, budget: int) -> None:
    """Raises FlagError for an unknown choice, or a budget below 0."""
    if choice not in CHOICES:
        what = f"there is no choice {choice!r} (choices: {choices_text(choice, CHOICES)})"
        raise FlagError(what, flag="data", fix=f"choice={RESERVOIR}")
    if budget < 0:
        raise FlagError(f"memory takes a number of rows from 0 (received {budget})", flag="data")


def update(kept: KeptRows, stream: Stream, choice: str, budget: int, seed: int) -> KeptRows:
    """The memory after more rows have come.

    Args:
        kept: the memory before them.
        stream: the rows. For herding they have features, and so do the kept ones, which come first.
        choice: one of CHOICES.
        budget: the most rows that are kept.
        seed: seed of the draws; it should differ from step to step.

    Raises:
        FlagError: an unknown choice, or a budget below 0.
    """
    require(choice, budget)
    random = np.random.default_rng([seed, sum(kept.num_seen.values())])
    if choice == HERDING:
        return _herding(kept, stream, budget)
    order = random.permutation(len(stream.ids))
    rows = [(stream.ids[row], stream.classes[row]) for row in order.tolist()]
    if choice == BALANCED:
        return _balanced(kept, rows, budget, random)
    return _reservoir(kept, rows, budget, random)


def _reservoir(
    kept: KeptRows, rows: Sequence[tuple[str, str]], budget: int, random: np.random.Generator
) -> KeptRows:
    """Each row that has come is kept with the same probability: Vitter 1985, algorithm R."""
    pairs = list(zip(kept.ids, kept.classes, strict=True))
    seen = collections.Counter(kept.num_seen)
    count = sum(seen.values())
    for row in rows:
        count += 1
        seen[row[1]] += 1
        if len(pairs) < budget:
            pairs.append(row)
        elif (place := int(random.integers(count))) < budget:
            pairs[place] = row
    return _made(pairs, seen)


def _balanced(
    kept: KeptRows, rows: Sequence[tuple[str, str]], budget: int, random: np.random.Generator
) -> KeptRows:
    """Greedy and balanced by class: Prabhu et al. 2020 (GDumb), algorithm 1."""
    by_class: dict[str, list[str]] = {}
    for name, label in zip(kept.ids, kept.classes, strict=True):
        by_class.setdefault(label, []).append(name)
    seen, count = collections.Counter(kept.num_seen), len(kept)
    for name, label in rows:
        seen[label] += 1
        own = by_class.setdefault(label, [])
        if len(own) >= max(1, budget // len(by_class)) or not budget:
            continue
        if count >= budget:
            largest = max(by_class.values(), key=len)
            if largest is own:
                continue
            largest.pop(int(random.integers(len(largest))))
            count -= 1
        own.append(name)
        count += 1
    return _made([(name, label) for label, names in by_class.items() for name in names], seen)


def _herding(kept: KeptRows, stream: Stream, budget: int) -> KeptRows:
    """The rows whose mean is nearest to that of their class: Rebuffi et al. 2017, algorithms 4 and 5.

    A class that does not come again keeps the first rows of its order. Departs: one that comes again,
    of which the paper has none, is ordered anew, out of what is kept of it and what has come; its mean
    is that of both, by the numbers of rows that they stand for.
    """
    if stream.features is None or len(stream.features) != len(kept) + len(stream.ids):
        raise ValueError("herding takes the features of the kept rows, then those of the new ones")
    lengths = np.linalg.norm(stream.features, axis=1, keepdims=True)
    features = np.asarray(stream.features, np.float64) / np.maximum(lengths, 1e-12)
    ids = np.array([*kept.ids, *stream.ids], object)
    labels = np.array([*kept.classes, *stream.classes], object)
    is_new = np.arange(len(ids)) >= len(kept)
    seen = collections.Counter(kept.num_seen)
    names = list(dict.fromkeys(labels.tolist()))
    share, more = divmod(budget, max(1, len(names)))
    pairs = list[tuple[str, str]]()
    for place, name in enumerate(names):
        size, rows = share + (place < more), np.flatnonzero(labels == name)
        new = rows[is_new[rows]]
        if len(new):
            old = rows[~is_new[rows]]
            weights = [seen[name] / max(1, len(old))] * len(old) + [1.0] * len(new)
            mean = np.average(features[rows], axis=0, weights=weights)
            rows = rows[herding_order(features[rows], mean, size)]
            seen[name] += len(new)
        pairs += [(str(ids[row]), name) for row in rows[:size].tolist()]
    return _made(pairs, seen)


def herding_order(features: np.ndarray, mean: np.ndarray, count: int) -> np.ndarray:
    """int[min(count, N)]: rows in an order in which the mean of the first ones is near a given mean.

    p_k = argmin_x |mean - (x + sum of p_1 .. p_{k-1}) / k|: Rebuffi et al. 2017, algorithm 4.

    Args:
        features: float[N, d].
        mean: float[d].
        count: rows that are wanted.
    """
    total, order = np.zeros_like(mean), list[int]()
    is_free = np.ones(len(features), bool)
    for number in range(1, min(count, len(features)) + 1):
        distances = np.linalg.norm(mean - (features + total) / number, axis=1)
        best = int(np.argmin(np.where(is_free, distances, np.inf)))
        order.append(best)
        is_free[best] = False
        total = total + features[best]
    return np.array(order, np.int64)


def _made(pairs: Sequence[tuple[str, str]], seen: Mapping[str, int]) -> KeptRows:
    return KeptRows(tuple(name for name, _ in pairs), tuple(name for _, name in pairs), {**seen})

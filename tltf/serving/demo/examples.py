"""Examples of a run's test split to try a model on."""

import dataclasses
import pathlib
import warnings
from collections.abc import Sequence

import numpy as np

from tltf.data import label_kinds, run_data
from tltf.data.source import Source
from tltf.errors import TltfError
from tltf.evaluation import evaluators
from tltf.models import raw_inputs
from tltf.models.served_model import ServedModel


@dataclasses.dataclass(frozen=True)
class Example:
    """An example of the test split.

    Args:
        values: a text for each field, or the path of a picture.
        label: the true label, or the true number, as text; of several tasks each behind its name.
    """

    values: tuple[str, ...]
    label: str


def examples_of(
    model: ServedModel, run: str, count: int, folder: pathlib.Path, seed: int = 0
) -> list[Example]:
    """Examples of the test split of a run; with classes, one of each before a second of any.

    Args:
        model: of the run.
        run: the run folder.
        count: examples, at most.
        folder: where pictures are written that are not files of their own.
        seed: draws the examples.

    Returns:
        [] with a warning where the run's data cannot be read, or has no test split.
    """
    if not count:
        return []
    try:
        part = run_data.load_parts(run).test
        if part is None:
            raise TltfError("the run has no test split")
        part = part.reorder_classes(model.class_names)
    except TltfError as error:
        warnings.warn(f"the page has no examples: {error.what}", stacklevel=2)
        return []
    rows = drawn_rows(part, count, seed)
    shown = part.take(np.array(rows, np.int64))
    labels = _truths(model, shown)
    values = _values(shown, folder)
    return [Example(value, label) for value, label in zip(values, labels, strict=True)]


def _truths(model: ServedModel, part: Source) -> list[str]:
    """The true answer of each row as text; of several tasks those that are known, `stars: 4; topic: film`."""
    if not model.core.joint:
        judge = evaluators.evaluator_for(model.core.head)
        return [*map(str, judge.truths(np.asarray(part.labels), model.class_names))]
    told = [list[str]() for _ in part.ids]
    for task, own in model.core.heads.items():
        judge, rows = evaluators.evaluator_for(own.head), part.of_task(task)
        places = np.flatnonzero(part.label_fields[task].known).tolist()
        truths = judge.truths(np.asarray(rows.labels), own.class_names)
        for place, truth in zip(places, truths, strict=True):
            told[place].append(f"{task}: {truth}")
    return ["; ".join(parts) for parts in told]


def drawn_rows(part: Source, count: int, seed: int) -> list[int]:
    """The rows of a split that are drawn: of classes, one of each before a second of any."""
    order = np.random.default_rng(seed).permutation(len(part)).tolist()
    labels = np.asarray(part.labels)
    if not label_kinds.kind_of(labels).is_one_class:
        return order[:count]
    seen: dict[int, int] = {}
    rounds = list[tuple[int, int]]()
    for place, row in enumerate(order):
        label = int(labels[row])
        seen[label] = seen.get(label, -1) + 1
        rounds.append((seen[label], place))
    return [order[place] for _, place in sorted(rounds)[:count]]


def _values(part: Source, folder: pathlib.Path) -> Sequence[tuple[str, ...]]:
    """The values of the rows as a page takes them."""
    if part.modality == "text":
        return list(zip(*map(list, part.text_columns()), strict=True))
    if part.column.kind == "path":
        return [(str(path),) for path in part.column.values]
    paths = [folder / f"example_{number}.png" for number in range(len(part))]
    for path, content in zip(paths, raw_inputs.encode_column(part.column), strict=True):
        path.write_bytes(content)
    return [(str(path),) for path in paths]

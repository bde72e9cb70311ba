"""The rows that several runs were judged on, found by their contents, and what the runs say of them."""

import collections
import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from tltf.data import label_kinds
from tltf.errors import FlagError
from tltf.evaluation import evaluators
from tltf.evaluation.evaluators.evaluator import Evaluator
from tltf.experiments.comparison.finished_run import FinishedRun
from tltf.models.prediction_table import DIGEST, Table


@dataclasses.dataclass(frozen=True)
class CommonRows:
    """The rows that all runs were judged on, with what each of them answered.

    Args:
        places: int[N] for each run: the rows in its table, in the order of the first run's.
        labels: of the N rows, as the evaluators take them.
        class_names: of all runs, in the order of the first one that has them.
        candidates: for each run what an evaluator judges.
        judges: the evaluator of each run's head.
        num_relabelled: rows that all runs were judged on, but with different labels; they are left out.
        are_comparable: whether the values of each run have the meaning of the first one's.
    """

    places: list[np.ndarray]
    labels: np.ndarray
    class_names: list[str]
    candidates: list[Any]
    judges: list[Evaluator[Any]]
    num_relabelled: int
    are_comparable: list[bool]

    def __len__(self) -> int:
        return len(self.places[0])


def find(runs: Sequence[FinishedRun]) -> CommonRows:
    """The common rows of runs, of which there may be none.

    Raises:
        FlagError: the runs answer different kinds of questions.
    """
    kinds = {run.metrics.target for run in runs}
    if len(kinds) > 1:
        told = ", ".join(
            f"{run.name}: {label_kinds.KINDS[run.metrics.target].phrase}" for run in runs
        )
        raise FlagError(f"the runs predict different things ({told})", flag="runs")
    places = match([run.table for run in runs])
    kind = label_kinds.KINDS[runs[0].metrics.target]
    truths = [
        kind.normal_forms([(run.table.truths or [])[row] for row in rows.tolist()])
        for run, rows in zip(runs, places, strict=True)
    ]
    is_same = np.array([len(set(row)) == 1 for row in zip(*truths, strict=True)], bool)
    places = [rows[is_same] for rows in places]
    names = list(dict.fromkeys(name for run in runs for name in run.metrics.class_names))
    judges = [evaluators.evaluator_for(run.head) for run in runs]
    parsed = [
        parse(judge, run.table.take(rows), run.metrics.class_names, names)
        for run, judge, rows in zip(runs, judges, places, strict=True)
    ]
    columns = [run.columns for run in runs]
    return CommonRows(
        places,
        parsed[0][0],
        names,
        [candidate for _, candidate in parsed],
        judges,
        int((~is_same).sum()),
        [kind.has_classes or own == columns[0] for own in columns],
    )


def match(tables: Sequence[Table]) -> list[np.ndarray]:
    """int[N] for each table: its places of the N rows that all tables have, in the first one's order.

    Rows are the same whose contents are, or, in tables without digests, whose texts, paths or ids
    are. A content that stands in a table several times is matched as often as all tables have it.
    """
    keyed = [{key: place for place, key in enumerate(_counted(keys))} for keys in keys_of(tables)]
    common = [key for key in keyed[0] if all(key in places for places in keyed[1:])]
    return [np.array([places[key] for key in common], np.int64) for places in keyed]


def keys_of(tables: Sequence[Table]) -> list[Sequence[Any]]:
    """What tells the rows of each table apart."""
    if all(DIGEST in table.contents for table in tables):
        return [table.contents[DIGEST] for table in tables]
    columns = [[name for name in table.contents if name != DIGEST] for table in tables]
    if all(names == columns[0] for names in columns) and columns[0]:
        return [
            list(zip(*(table.contents[name] for name in columns[0]), strict=True))
            for table in tables
        ]
    return [table.ids for table in tables]


def _counted(keys: Sequence[Any]) -> Iterator[tuple[Any, int]]:
    """Each key with the number of the same keys before it."""
    seen = collections.Counter[Any]()
    for key in keys:
        yield key, seen[key]
        seen[key] += 1


def parse(
    judge: Evaluator[Any], answers: Table, own_names: Sequence[str], names: Sequence[str]
) -> tuple[np.ndarray, Any]:
    """`(labels, candidate)` of the rows of a table, for the classes of several runs in one order.

    The probability of a class that the run does not know is 0.

    Args:
        judge: the evaluator of the run's head.
        answers: of the run, with labels.
        own_names: of the run's classes, in the order of its columns.
        names: of all classes.
    """
    values = answers.values
    if label_kinds.KINDS[judge.head.target].has_classes:
        own = {name: place for place, name in enumerate(own_names)}
        values = np.zeros((len(answers), len(names)))
        for place, name in enumerate(names):
            if name in own:
                values[:, place] = answers.values[:, own[name]]
    return judge.parse(answers.truths or [], answers.answers, values, names)

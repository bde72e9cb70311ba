"""The difference between two runs round by round, where both have the same folds, draws or seeds."""

import dataclasses
from typing import Any

import numpy as np

from tltf.console import lazy_imports
from tltf.evaluation.baseline_row import Gain, PairedDifference
from tltf.evaluation.report import folds
from tltf.evaluation.report.wording import Wording, count_of, number
from tltf.experiments.comparison import common_rows
from tltf.experiments.comparison.finished_run import FinishedRun

stats = lazy_imports.Module("scipy.stats")

LEAST_ROUNDS = 6
"""Rounds from which Wilcoxon's test can find a difference at 5%: with n rounds its least p is 2^(1-n)."""


@dataclasses.dataclass(frozen=True)
class RoundsTest:
    """The headline metric of a run less that of another on the same rounds.

    Args:
        noun: `fold`, `draw` or `seed`.
        differences: one for each round.
        t_probability: the two-sided p of the corrected resampled t-test (Nadeau & Bengio 2003), of
            Student's where rounds share no rows; None where all differences are equal.
        wilcoxon_probability: the two-sided p of Wilcoxon's signed-rank test; None for fewer than
            LEAST_ROUNDS, which it cannot tell apart.
    """

    noun: str
    differences: list[float]
    t_probability: float | None
    wilcoxon_probability: float | None

    def to_json(self) -> dict[str, Any]:
        """Plain JSON."""
        return dataclasses.asdict(self)


def are_paired(run: FinishedRun, first: FinishedRun) -> bool:
    """Whether two runs have the same kind of rounds and judged the same rows in each, in one order."""
    own, others = run.report.folds or [], first.report.folds or []
    if len(own) < 2 or len(own) != len(others):
        return False
    if run.report.round_kind != first.report.round_kind:
        return False
    sizes = [[fold.examples.get("test") for fold in rows] for rows in (own, others)]
    keys = [list(part) for part in common_rows.keys_of([run.table, first.table])]
    return sizes[0] == sizes[1] and keys[0] == keys[1]


def difference(run: FinishedRun, first: FinishedRun) -> PairedDifference:
    """The mean differences over rounds, with the interval of `folds.mean_interval`."""
    kind, shared = _kind(run)
    gains = {}
    for name in run.report.folds[0].scores if run.report.folds else ():
        values = _differences(run, first, name)
        if values:
            gains[name] = Gain(float(np.mean(values)), folds.mean_interval(values, kind, shared))
    return PairedDifference(gains, interval_confidence=folds.CONFIDENCE)


def compare(run: FinishedRun, first: FinishedRun, metric: str) -> RoundsTest | None:
    """The tests of the headline metric; None where a round of either run does not have it."""
    kind, shared = _kind(run)
    values = _differences(run, first, metric)
    if not values:
        return None
    count, wilcoxon = len(values), None
    error = folds.mean_error(values, kind, shared)
    is_varied = error > 1e-12
    probability = (
        2 * float(stats.t.sf(abs(np.mean(values)) / error, count - 1)) if is_varied else None
    )
    if count >= LEAST_ROUNDS and np.any(values):
        wilcoxon = float(stats.wilcoxon(values).pvalue)
    return RoundsTest(kind.noun, values, probability, wilcoxon)


def _kind(run: FinishedRun) -> tuple[folds.RoundKind, float | None]:
    kind = folds.kind_of(run.report.round_kind)
    return kind, folds.shared_rows(run.report.folds or [], kind)


def _differences(run: FinishedRun, first: FinishedRun, name: str) -> list[float]:
    """The differences of a metric, one for each round; [] where one does not have it."""
    pairs = zip(run.report.folds or (), first.report.folds or (), strict=True)
    values = [(own.scores.get(name), other.scores.get(name)) for own, other in pairs]
    known = [own - other for own, other in values if own is not None and other is not None]
    return known if len(known) == len(values) else []


def sentence(test: RoundsTest, name: str, first: str, said: Wording) -> str:
    """What the tests say, such as `b from a over 10 folds: +1.2 points; better in 8; corrected t-test p = 0.03`."""
    values = np.array(test.differences) * (-1 if said.is_error else 1)
    unit = " points" if said.is_share else ""
    parts = [
        f"{name} from {first} over {count_of(len(values), test.noun)}: "
        f"{said.change(float(np.mean(test.differences)))}{unit} in the mean",
        f"better in {int((values > 0).sum())}, worse in {int((values < 0).sum())}",
    ]
    if test.t_probability is not None:
        parts.append(f"corrected t-test p = {number(test.t_probability)}")
    if test.wilcoxon_probability is not None:
        parts.append(f"Wilcoxon p = {number(test.wilcoxon_probability)}")
    return "; ".join(parts) + "."

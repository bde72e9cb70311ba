"""Judges answers of several labels per row; candidates are probabilities and what is given."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import scipy.sparse

from tltf.console import lazy_imports
from tltf.data import label_kinds
from tltf.errors import DataError, NumericError, ShapeError
from tltf.evaluation import bootstrap, linear_baselines, reliability
from tltf.evaluation.baselines import edge_note
from tltf.evaluation.evaluators.evaluator import Evaluator
from tltf.evaluation.report.wording import Wording, number, percent
from tltf.heads import thresholds

metrics = lazy_imports.Module("sklearn.metrics")


@dataclasses.dataclass(frozen=True)
class Answers:
    """A candidate.

    Args:
        probabilities: float64[N, C].
        given: bool[N, C], the labels that are given.
    """

    probabilities: np.ndarray
    given: np.ndarray


class LabelEvaluator(Evaluator):
    """See `tltf.evaluation.evaluators`.

    Args:
        head: whose answers are judged.
    """

    constant_name, linear_name = "frequencies", "logistic_regression"
    wording = Wording(
        "micro_f1", "micro F1", ("macro_f1", "average_precision", "exact_match", "loss"),
        ("num_examples", "micro_f1", "macro_f1", "average_precision", "label_accuracy",
         "exact_match", "loss", "calibration_error", "mean_labels", "mean_given"),
        lambda examples, metrics, interval: (
            f"Micro F1 is {number(metrics['micro_f1'])}{interval}; the model gives exactly the right "
            f"labels to {percent(metrics['exact_match'])} of {examples}."),
        noun="label",
    )  # fmt: skip

    def candidate(self, head: Any, stated: np.ndarray) -> Any:
        """What is judged of what a head states."""
        return Answers(np.asarray(stated, np.float64), head.choose_labels(stated))

    def measure(
        self, labels: Any, candidate: Answers, class_names: Sequence[str], *, seed: int = 0
    ) -> Any:
        """Every metric of one model on one split.

        Args:
            labels: uint8[N, C], N >= 1.
            candidate: Answers.
            class_names: C names.
            seed: of the bootstrap.

        Returns:
            dict of plain JSON: target (`labels`); num_examples; micro_f1 macro_f1 (over labels
            that occur or are given); average_precision (the mean over labels that occur);
            label_accuracy (one minus the Hamming loss); exact_match; loss (mean cross-entropy a
            label, probabilities clipped at 1e-7); calibration_error (over all pairs of a row and a
            label, most of which are easy: of a label that the row lacks); mean_labels and mean_given (a row); class_names;
            absent_classes; per_class (name precision recall f1 average_precision support);
            reliability; intervals; interval_confidence.

        Raises:
            DataError: no examples.
            ShapeError: the arguments do not fit together.
            NumericError: a probability is not finite.
        """
        _check(labels, candidate, class_names)
        stated, given = candidate.probabilities, candidate.given
        sums = _sums(labels, candidate)
        totals = _metrics(sums @ np.ones((len(labels), 1)), len(labels), len(class_names))
        per_class = _per_class(labels, candidate, class_names)
        precisions = [r["average_precision"] for r in per_class if r["support"]]
        return {
            "target": label_kinds.LABELS,
            "num_examples": len(labels),
            **{name: float(value[0]) for name, value in totals.items()},
            "average_precision": float(np.mean(precisions)) if precisions else None,
            "label_accuracy": float((given == labels).mean()),
            "calibration_error": reliability.expected_calibration_error(
                stated.ravel(), labels.ravel()
            ),
            "mean_labels": float(labels.sum(axis=1).mean()),
            "mean_given": float(given.sum(axis=1).mean()),
            "class_names": [str(name) for name in class_names],
            "absent_classes": [row["name"] for row in per_class if not row["support"]],
            "per_class": per_class,
            "reliability": reliability.reliability_bins(stated.ravel(), labels.ravel()),
            "intervals": _intervals(sums, labels, class_names, totals, seed=seed),
            "interval_confidence": bootstrap.CONFIDENCE,
        }

    def difference(
        self, labels: np.ndarray, first: Answers, second: Answers, *, seed: int = 0
    ) -> dict[str, dict[str, Any]]:
        """How much better the first candidate is: metric -> difference and interval."""
        names = range(labels.shape[1])
        pair = [_sums(labels, candidate) for candidate in (first, second)]
        return bootstrap.differences(pair, _of(labels, names), seed=seed)

    def worst(self, labels: Any, candidate: Any, class_names: Any, ids: Any, limit: Any) -> Any:
        """The rows with the largest loss among those that are not exactly right."""
        is_wrong = (candidate.given != labels).any(axis=1)
        losses = _losses(labels, candidate.probabilities)
        order = np.argsort(np.where(is_wrong, -losses, np.inf), kind="stable")
        names, rows = np.array(class_names, object), []
        for row in order[: min(limit, int(is_wrong.sum()))].tolist():
            missed = names[(labels[row] > 0) & ~candidate.given[row]]
            extra = names[(labels[row] == 0) & candidate.given[row]]
            rows.append({
                "index": row, "id": str(ids[row]), "label": ", ".join(names[labels[row] > 0]),
                "predicted": ", ".join(names[candidate.given[row]]),
                "detail": f"{len(missed)} missing, {len(extra)} too many",
            })  # fmt: skip
        return rows

    def constant(self, train_labels: Any, labels: Any, class_names: Any, *, seed: Any = 0) -> Any:
        """`(row, candidate)`: every label's share of the training rows, given from one half on."""
        shares = (train_labels.sum(axis=0, dtype=float) + 1) / (len(train_labels) + 2)
        stated = np.tile(shares, (len(labels), 1))
        candidate = Answers(stated, stated >= 0.5)
        row = {"test": self.measure(labels, candidate, class_names, seed=seed), "chosen": {},
               "note": "every label's share of the training rows, given from one half on"}  # fmt: skip
        return row, candidate

    def linear(
        self,
        train: Any,
        validation: Any,
        test: Any,
        class_names: Any,
        *,
        seed: Any = 0,
        groups: Any = None,
    ) -> Any:
        """`(row, candidate)`: logistic regression for each label on frozen features.

        C and the thresholds are chosen on validation; see `linear_baselines.one_vs_rest`.
        """
        found = linear_baselines.one_vs_rest(train, validation, test[0], seed=seed, groups=groups)
        stated, judged, chosen = found
        edges = thresholds.best_thresholds(*judged)
        candidate = Answers(stated, stated >= edges)
        note = "logistic regression for each label on the frozen features; thresholds and C from "
        note += "validation" + edge_note(chosen)
        row = {"test": self.measure(test[1], candidate, class_names, seed=seed), "chosen": chosen,
               "note": note}  # fmt: skip
        return row, candidate

    def counts(self, part: Any) -> Any:
        """What a report says of the labels of a split."""
        found = part.labels.sum(axis=0, dtype=np.int64).tolist()
        return {"class_counts": dict(zip(part.class_names, found, strict=True))}

    def training_labels(self, report: Any, part: Any) -> Any:
        """Rows with the counts of a report's training split; None where it does not say."""
        try:
            split = report["data"]["splits"]["train"]
            counts = [split["class_counts"][name] for name in part.class_names]
            rows = np.arange(split["num_examples"])
            return np.stack([rows < count for count in counts], axis=1).astype(np.uint8)
        except (KeyError, TypeError, ValueError):
            return None

    def truths(self, labels: Any, class_names: Any) -> Any:
        """str per row: the labels in tables."""
        names = np.array(class_names, object)
        return [label_kinds.join_labels(names[row > 0]) for row in labels]

    def answers(self, candidate: Any, class_names: Any) -> Any:
        """str per row: the answers in tables."""
        return self.truths(candidate.given, class_names)

    def values(self, candidate: Answers) -> Any:
        """float[N, C]: what the head stated, for tables."""
        return candidate.probabilities

    def parse(self, truths: Any, answers: Any, values: Any, class_names: Any) -> Any:
        """`(labels, candidate)` of the rows of a table."""
        labels, _ = label_kinds.several(truths, class_names, "predictions")
        given, _ = label_kinds.several(
            [*answers, label_kinds.join_labels(class_names)], class_names, ""
        )
        return labels, Answers(values, given[:-1] > 0)


def _check(labels: np.ndarray, candidate: Answers, class_names: Sequence[str]) -> None:
    if not len(labels):
        raise DataError("a split without examples cannot be evaluated", flag="split")
    shapes = {labels.shape, candidate.probabilities.shape, candidate.given.shape,
              (len(labels), len(class_names))}  # fmt: skip
    if len(shapes) > 1:
        raise ShapeError(f"labels, probabilities and answers do not fit together: {shapes}")
    bad = np.flatnonzero(~np.isfinite(candidate.probabilities).all(axis=1))
    if bad.size:
        what = f"the model's probabilities are not finite, first at example {bad[0]}"
        raise NumericError(what, fix="--learning_rate lower, or --precision=float32")


def _losses(labels: np.ndarray, stated: np.ndarray) -> np.ndarray:
    """float64[N]: the mean cross-entropy over the labels."""
    stated = np.clip(stated, 1e-7, 1 - 1e-7)
    return -np.where(labels > 0, np.log(stated), np.log1p(-stated)).mean(axis=1)


def _sums(labels: np.ndarray, candidate: Answers) -> Any:
    """csr[2 + 3 C, N]: exact matches, losses, and each label's hits, givens and occurrences."""
    given, is_there = candidate.given.astype(float), (labels > 0).astype(float)
    exact = (given == is_there).all(axis=1).astype(float)
    first = np.stack([exact, _losses(labels, candidate.probabilities)])
    parts = [first, (given * is_there).T, given.T, is_there.T]
    return scipy.sparse.vstack([scipy.sparse.csr_matrix(part) for part in parts], format="csr")


def _of(labels: np.ndarray, class_names: Any) -> Callable[..., Any]:
    return lambda totals: _metrics(totals, len(labels), len(class_names))


def _metrics(totals: np.ndarray, num_examples: int, num_labels: int) -> dict[str, np.ndarray]:
    hits, given, there = (
        totals[2 + part * num_labels : 2 + (part + 1) * num_labels] for part in range(3)
    )
    either = given + there
    f1 = 2 * hits / np.maximum(either, 1)
    return {
        "micro_f1": 2 * hits.sum(axis=0) / np.maximum(either.sum(axis=0), 1),
        "macro_f1": f1.sum(axis=0) / np.maximum((either > 0).sum(axis=0), 1),
        "exact_match": totals[0] / num_examples,
        "loss": totals[1] / num_examples,
    }


def _intervals(
    sums: Any,
    labels: np.ndarray,
    class_names: Sequence[str],
    totals: dict[str, np.ndarray],
    *,
    seed: int,
) -> dict[str, list[float]]:
    """Metric -> [low, high]; macro F1 as `classification.measure` has it."""
    metrics_of = _of(labels, class_names)
    found = bootstrap.intervals(sums, metrics_of, ("exact_match",), seed=seed)
    bounds, point = found.pop("macro_f1", None), float(totals["macro_f1"][0])
    support = labels.sum(axis=0)
    if bounds and support[support > 0].min(initial=bootstrap.LEAST_SUPPORT) >= (
        bootstrap.LEAST_SUPPORT
    ):
        found["macro_f1"] = bootstrap.mirrored_interval(bounds, point)
    return found


def _per_class(
    labels: np.ndarray, candidate: Answers, class_names: Sequence[str]
) -> list[dict[str, Any]]:
    columns = metrics.precision_recall_fscore_support(
        labels, candidate.given, average=None, zero_division=0
    )
    rows = []
    for place, name in enumerate(class_names):
        precision, recall, f1, support = (column[place] for column in columns)
        row = {"name": str(name), "precision": float(precision), "recall": float(recall),
               "f1": float(f1), "average_precision": None, "support": int(support)}  # fmt: skip
        if support:
            row["average_precision"] = float(metrics.average_precision_score(
                labels[:, place], candidate.probabilities[:, place]))  # fmt: skip
        rows.append(row)
    return rows

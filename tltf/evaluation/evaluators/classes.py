"""Judges answers of one class per row; candidates are float[N, C] probabilities."""

import numpy as np

from tltf.evaluation import baselines, classification
from tltf.evaluation.evaluators.evaluator import Evaluator
from tltf.evaluation.report.wording import Wording, percent


class ClassEvaluator(Evaluator):
    """See `tltf.evaluation.evaluators`.

    Args:
        head: whose answers are judged.
    """

    constant_name, linear_name = "majority", "logistic_regression"
    """Names of the baselines in reports."""
    wording = Wording(
        "accuracy", "accuracy", ("macro_f1", "loss"),
        ("num_examples", "accuracy", "balanced_accuracy", "top_5_accuracy", "roc_auc", "macro_f1",
         "macro_precision", "macro_recall", "weighted_f1", "loss", "calibration_error",
         "mean_confidence", "mean_rank_error", "quadratic_kappa"),
        lambda examples, metrics, interval: (
            f"The model is right on {percent(metrics['accuracy'])} of {examples}{interval}."),
    )  # fmt: skip

    def candidate(self, head, stated):
        """What is judged of what a head states."""
        return stated

    def measure(self, labels, candidate, class_names, *, seed=0):
        """Every metric, see `classification.measure`; with `rank_metrics` where classes are ranks."""
        found = classification.measure(labels, candidate, class_names, seed=seed)
        more = classification.rank_metrics(labels, candidate) if self.head.has_order else {}
        return found | more

    def difference(self, labels, first, second, *, seed=0):
        """How much better the first candidate is, see `classification.paired_difference`."""
        return classification.paired_difference(labels, first, second, seed=seed)

    def worst(self, labels, candidate, class_names, ids, limit):
        """The worst mistakes, see `classification.worst_mistakes`."""
        return classification.worst_mistakes(labels, candidate, class_names, ids, limit=limit)

    def constant(self, train_labels, labels, class_names, *, seed=0):
        """`(row, candidate)` of the answer that looks at no input."""
        return baselines.majority(train_labels, labels, class_names, seed=seed)

    def linear(self, train, validation, test, class_names, *, seed=0, groups=None):
        """`(row, candidate)` of a linear model on (features, labels) of each split."""
        return baselines.logistic_regression(
            train, validation, test, class_names, seed=seed, groups=groups
        )

    def counts(self, part):
        """What a report says of the labels of a split."""
        found = np.bincount(part.labels, minlength=len(part.class_names)).tolist()
        return {"class_counts": dict(zip(part.class_names, found, strict=True))}

    def training_labels(self, report, part):
        """Labels with the counts of a report's training split; None where it does not say."""
        try:
            counts = report["data"]["splits"]["train"]["class_counts"]
            found = np.array([counts[name] for name in part.class_names])
        except (KeyError, TypeError):
            return None
        is_usable = found.dtype.kind == "i" and found.min() >= 0 and found.any()
        return np.repeat(np.arange(len(found)), found) if is_usable else None

    def truths(self, labels, class_names):
        """str per row: the labels in tables."""
        return [class_names[place] for place in labels]

    def answers(self, candidate, class_names):
        """str per row: the answers in tables."""
        return [class_names[place] for place in np.argmax(candidate, axis=1)]

    def values(self, candidate):
        """float[N, K]: what the head stated, for tables."""
        return candidate

    def parse(self, truths, answers, values, class_names):
        """`(labels, candidate)` of the rows of a table."""
        places = {name: place for place, name in enumerate(class_names)}
        return np.array([places[name] for name in truths]), values

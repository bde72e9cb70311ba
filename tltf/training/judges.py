"""The splits that judge the core between epochs: validation, and the test split if it is watched."""

import dataclasses

import numpy as np
import tensorflow as tf

from tltf.console import out_of_memory
from tltf.graphs.core import Core
from tltf.graphs.frozen_prefix import Cut
from tltf.heads.head import Head
from tltf.models.forward import ForwardPass
from tltf.training.callbacks import keep_best
from tltf.training.callbacks.keep_best import ChosenBy
from tltf.training.feed import Above, DataAbove, Feed

VALIDATION, TEST = "validation", "test"
MACRO_F1, LOSS = "macro_f1", "loss"
"""Values of --metric beside `auto`."""


@dataclasses.dataclass(frozen=True)
class JudgedSplit:
    """A split that the core is judged on.

    Args:
        forward: the core, or what stands above its cached frozen prefix.
        dataset: tuples, the first of which `forward` takes.
        labels: int[N], uint8[N, L] or float[N].
        head: Head of the core.
    """

    forward: ForwardPass
    dataset: tf.data.Dataset
    labels: np.ndarray
    head: Head


class Judges:
    """The splits of a fit that the core is judged on, by their role.

    Args:
        feed: Feed of the fit.
        eval_batch_size: the batch size that an error names where memory runs out.
        metric: --metric.
    """

    def __init__(self, feed: Feed, eval_batch_size: int | None, metric: str = "auto") -> None:
        self.feed, self.eval_batch_size, self.metric = feed, eval_batch_size, metric
        self.splits: dict[str, JudgedSplit] = {}

    def place(self, core: Core, parts: Cut, above: DataAbove) -> Above | None:
        """Judges a core from now on as a phase trains it, above its frozen prefix where that is cached.

        Args:
            core: Core.
            parts: Cut of its model.
            above: DataAbove of its frozen prefix.

        Returns:
            What `TransferModel.above` takes.
        """
        whole = ForwardPass(core.model, core.outputs)
        upper = ForwardPass(parts.suffix, core.outputs) if parts.prefix else whole
        for role, data, cached in (
            (VALIDATION, self.feed.validation, above.validation),
            (TEST, self.feed.watched, above.watched),
        ):
            judged = cached or data
            if judged:
                dataset, labels = judged
                opened = dataset() if callable(dataset) else dataset
                self.splits[role] = JudgedSplit(
                    upper if cached else whole, opened, labels, core.head
                )
        return (upper, above.dataset) if above.dataset else None

    def __contains__(self, role: str) -> bool:
        return role in self.splits

    def measure(self, role: str = VALIDATION) -> tuple[float, float]:
        """(loss, the metric that is logged beside it) of the core on a split."""
        split = self.splits[role]
        with out_of_memory.explain_out_of_memory("eval_batch_size", self.eval_batch_size):
            logits = split.forward(split.dataset)[: len(split.labels)]
        loss = float(split.head.losses(logits, split.labels).mean())
        if self.metric == MACRO_F1:
            return loss, macro_f1(np.argmax(split.head.scores(logits), axis=1), split.labels)
        return loss, split.head.metric_value(logits, split.labels)

    def logged(self, head: Head) -> str:
        """The name of the metric that is logged beside the loss."""
        return MACRO_F1 if self.metric == MACRO_F1 else head.metric

    def chosen_by(self, head: Head) -> Head | ChosenBy:
        """What epochs are judged by."""
        return head if self.metric == "auto" else ChosenBy(self.metric, self.metric == LOSS)

    def quality(self) -> tuple[float, float]:
        """(loss, quality) on validation; a larger quality is better."""
        loss, value = self.measure()
        chosen_by = self.chosen_by(self.splits[VALIDATION].head)
        return loss, keep_best.quality_of(chosen_by, loss if self.metric == LOSS else value)


def macro_f1(answers: np.ndarray, labels: np.ndarray) -> float:
    """The mean F1 of the classes that answers or labels have, all of the same weight.

    Args:
        answers: int[N], the predicted classes.
        labels: int[N].
    """
    classes = np.union1d(answers, labels)
    is_answer, is_label = answers[:, None] == classes, labels[:, None] == classes
    right = (is_answer & is_label).sum(axis=0)
    return float(np.mean(2 * right / (is_answer.sum(axis=0) + is_label.sum(axis=0))))

"""The splits that judge the core between epochs: validation, and the test split if it is watched."""

import dataclasses
from collections.abc import Callable

import numpy as np
import tensorflow as tf
from scipy import special

from tltf.console import out_of_memory
from tltf.data import label_kinds
from tltf.data.source import TARGET
from tltf.graphs.core import Core
from tltf.graphs.frozen_prefix import Cut
from tltf.heads.head import Head
from tltf.models.forward import ForwardPass
from tltf.training import target_risk
from tltf.training.callbacks import keep_best
from tltf.training.callbacks.keep_best import ChosenBy
from tltf.training.feed import Above, DataAbove, Feed

VALIDATION, TEST = "validation", "test"
MACRO_F1, LOSS = "macro_f1", "loss"
TARGET_ENTROPY, TARGET_INFORMATION = "target_entropy", "target_information"
TARGET_RISK = "target_risk"
"""Values of --metric beside `auto`; the last three look at the rows without labels that the method reads."""
OF_TARGET = (TARGET_ENTROPY, TARGET_INFORMATION, TARGET_RISK)
LOWER_IS_BETTER = (LOSS, TARGET_ENTROPY, TARGET_RISK)
SMALLEST = 1e-12
"""What keeps logarithms finite."""


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
        self.target: tuple[ForwardPass, tf.data.Dataset] | None = None
        self.features: dict[str, ForwardPass] = {}

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
                if self.metric == TARGET_RISK and role == VALIDATION:
                    self.features[role] = _features_pass(self.splits[role].forward, core)
        read = self.feed.unlabelled_in_order
        if read and self.metric in OF_TARGET:
            is_cached = parts.prefix is not None and above.unlabelled is not None
            self.target = (upper, read(parts.prefix)) if is_cached else (whole, read(None))
            if self.metric == TARGET_RISK:
                self.features[TARGET] = _features_pass(self.target[0], core)
        return (upper, above.dataset) if above.dataset else None

    def __contains__(self, role: str) -> bool:
        return role in self.splits

    def judged(self, role: str = VALIDATION) -> tuple[np.ndarray, np.ndarray]:
        """`(float32[N, L] logits, labels)` of a split."""
        split = self.splits[role]
        with out_of_memory.explain_out_of_memory("eval_batch_size", self.eval_batch_size):
            return split.forward(split.dataset)[: len(split.labels)], split.labels

    def of_classes(self) -> Callable[[], tuple[np.ndarray, np.ndarray]] | None:
        """`judged` of the validation split; None without one, or where a row has no class."""
        split = self.splits.get(VALIDATION)
        return self.judged if split and split.head.target == label_kinds.CLASS else None

    def measure(self, role: str = VALIDATION) -> tuple[float, float]:
        """(loss, the metric that is logged beside it) of the core on a split."""
        split, (logits, _) = self.splits[role], self.judged(role)
        loss = float(split.head.losses(logits, split.labels).mean())
        if self.metric == MACRO_F1:
            return loss, macro_f1(np.argmax(split.head.scores(logits), axis=1), split.labels)
        if (
            self.metric == TARGET_RISK
        ):  # test rows are the target's own: their loss needs no estimate
            return loss, loss if role == TEST else self._risk(split, logits)
        if self.metric in OF_TARGET:
            return loss, self._of_target(logits if role == TEST else None)
        return loss, split.head.metric_value(logits, split.labels)

    def _of_target(self, logits: np.ndarray | None) -> float:
        """The metric of float[M, C] logits; where they are None, of those of the target's rows.

        Raises:
            ValueError: the feed has no such rows.
        """
        if logits is None:
            logits = self._target_rows(None)
        shares = special.softmax(logits, axis=1)
        return information(shares) if self.metric == TARGET_INFORMATION else mean_entropy(shares)

    def _target_rows(self, forward: ForwardPass | None) -> np.ndarray:
        """float32[M, d]: what a pass makes of the target's rows; None for the pass that gives logits."""
        if self.target is None:
            raise ValueError(f"{self.metric} is of rows without labels, and the feed has none")
        logits, dataset = self.target
        with out_of_memory.explain_out_of_memory("eval_batch_size", self.eval_batch_size):
            return (forward or logits)(dataset)[: self.feed.num_unlabelled]

    def _risk(self, split: JudgedSplit, logits: np.ndarray) -> float:
        """The loss on the target that float32[N, C] logits of the validation split let expect."""
        losses = split.head.losses(logits, split.labels)
        with out_of_memory.explain_out_of_memory("eval_batch_size", self.eval_batch_size):
            source = self.features[VALIDATION](split.dataset)[: len(split.labels)]
        return target_risk.estimate(losses, source, self._target_rows(self.features[TARGET]))

    def logged(self, head: Head) -> str:
        """The name of the metric that is logged beside the loss."""
        return self.metric if self.metric in (MACRO_F1, *OF_TARGET) else head.metric

    def chosen_by(self, head: Head) -> Head | ChosenBy:
        """What epochs are judged by."""
        if self.metric == "auto":
            return head
        return ChosenBy(self.metric, self.metric in LOWER_IS_BETTER)

    def quality(self) -> tuple[float, float]:
        """(loss, quality) on validation; a larger quality is better."""
        loss, value = self.measure()
        chosen_by = self.chosen_by(self.splits[VALIDATION].head)
        return loss, keep_best.quality_of(chosen_by, loss if self.metric == LOSS else value)


def _features_pass(forward: ForwardPass, core: Core) -> ForwardPass:
    """The pass that gives what the last layer takes where another gives the logits."""
    (output,) = core.outputs
    return ForwardPass(target_risk.features_model(forward.model, output))


def judge_logits(
    head: Head, logits: np.ndarray, labels: np.ndarray, metric: str = "auto"
) -> tuple[str, bool, float, float]:
    """`(name, whether it is an error, value, loss)` of outputs on labelled rows, by --metric.

    Args:
        head: of the core.
        logits: float32[N, L].
        labels: of the rows.
        metric: auto, macro_f1 or loss.
    """
    loss = float(head.losses(logits, labels).mean())
    if metric == LOSS:
        return LOSS, True, loss, loss
    if metric == MACRO_F1:
        answers = np.argmax(head.scores(logits), axis=1)
        return MACRO_F1, False, macro_f1(answers, np.asarray(labels)), loss
    return head.metric, head.lower_is_better, head.metric_value(logits, labels), loss


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


def mean_entropy(shares: np.ndarray) -> float:
    """The mean entropy of rows of probabilities, float[N, C], in nats.

    It is low where answers are sure, be they all the same one: Morerio et al. 2018, arXiv:1711.10288,
    section 4.
    """
    return float(-(shares * np.log(shares + SMALLEST)).sum(axis=1).mean())


def information(shares: np.ndarray) -> float:
    """The mutual information of rows and answers, of float[N, C] probabilities, in nats.

    H(mean_i p_i) - mean_i H(p_i): Krause, Perona & Gomes 2010, NIPS, eq. 3, without its penalty. It is
    high where answers are sure and all classes are answered.
    """
    return mean_entropy(shares.mean(axis=0, keepdims=True)) - mean_entropy(shares)

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
from tltf.training.feed import Above, DataAbove, Feed

VALIDATION, TEST = "validation", "test"


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
    """

    def __init__(self, feed: Feed, eval_batch_size: int | None) -> None:
        self.feed, self.eval_batch_size = feed, eval_batch_size
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
        name = core.head.name
        whole = ForwardPass(core.model, name)
        upper = ForwardPass(parts.suffix, name) if parts.prefix else whole
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
        """(loss, the head's metric) of the core on a split."""
        split = self.splits[role]
        with out_of_memory.explain_out_of_memory("eval_batch_size", self.eval_batch_size):
            logits = split.forward(split.dataset)[: len(split.labels)]
        loss = float(split.head.losses(logits, split.labels).mean())
        return loss, split.head.metric_value(logits, split.labels)

    def quality(self) -> tuple[float, float]:
        """(loss, quality) on validation; a larger quality is better."""
        loss, value = self.measure()
        return loss, keep_best.quality_of(self.splits[VALIDATION].head, value)

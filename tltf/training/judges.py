"""What judges the core between epochs: the validation split, and the test split that is watched."""

import dataclasses
from typing import Any

import numpy as np
import tensorflow as tf

from tltf.console import out_of_memory
from tltf.models.forward import Forward
from tltf.training.callbacks import keep_best

VALIDATION, TEST = "validation", "test"


@dataclasses.dataclass(frozen=True)
class Judged:
    """A split that the core is judged on.

    Args:
        forward: the core, or what stands above its cached frozen prefix.
        dataset: of what `forward` takes, as the first of a tuple.
        labels: int[N], uint8[N, L] or float[N].
    """

    forward: Forward
    dataset: tf.data.Dataset
    labels: np.ndarray


class Judges:
    """The splits of a fit that are judged, by their role.

    Args:
        feed: Feed.
        eval_batch_size: named where memory runs out.
    """

    def __init__(self, feed: Any, eval_batch_size: int | None) -> None:
        self.feed, self.eval_batch_size = feed, eval_batch_size
        self.head: Any = None
        self.splits: dict[str, Judged] = {}

    def place(self, core: Any, parts: Any, above: Any) -> tuple | None:
        """Takes the core as a phase trains it, above the frozen prefix where that is cached.

        Args:
            core: Core.
            parts: Cut of its model.
            above: Above.

        Returns:
            What `Trained.above` is.
        """
        self.head, name = core.head, core.head.name
        whole = Forward(core.model, name)
        upper = Forward(parts.suffix, name) if parts.prefix else whole
        for role, data, cached in (
            (VALIDATION, self.feed.validation, above.validation),
            (TEST, self.feed.watched, above.watched),
        ):
            if cached or data:
                dataset, labels = cached or data
                opened = dataset() if callable(dataset) else dataset
                self.splits[role] = Judged(upper if cached else whole, opened, labels)
        return (upper, above.dataset) if above.dataset else None

    def __contains__(self, role: str) -> bool:
        return role in self.splits

    def measure(self, role: str = VALIDATION) -> tuple[float, float]:
        """(loss, the head's metric) of the core on a split."""
        split = self.splits[role]
        with out_of_memory.explain_out_of_memory("eval_batch_size", self.eval_batch_size):
            logits = split.forward(split.dataset)[: len(split.labels)]
        loss = float(self.head.losses(logits, split.labels).mean())
        return loss, self.head.metric_value(logits, split.labels)

    def quality(self) -> tuple[float, float]:
        """(loss, quality) on validation; more quality is better."""
        loss, value = self.measure()
        return loss, keep_best.quality_of(self.head, value)

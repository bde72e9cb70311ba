"""Training examples as the network sees them, a few of each class, for a page."""

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class Sample:
    """One training example as the network sees it.

    Args:
        id: of the example.
        image: uint8[S, S, C], cropped, resized and augmented; None for a text.
        text: the example as it was read, where it is a text.
        unread: [start, end] of each part of the text that is cut off before the network.
    """

    id: str
    image: np.ndarray | None = None
    text: str | None = None
    unread: list[list[int]] | None = None


@dataclasses.dataclass(frozen=True)
class SampleGroup:
    """Some training examples of one class.

    Args:
        name: the class, the label, or what the examples have in common; empty for all rows.
        num_examples: rows of the class in the training split.
        samples: some of them, drawn at random.
    """

    name: str
    num_examples: int
    samples: list[Sample]

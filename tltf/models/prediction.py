"""The answer of a model for one input."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Prediction:
    """The decoded output for one input.

    Args:
        id: the text or the path that was given.
        label: the most probable class, or several labels such as `cat|dog`; empty for a number.
        probabilities: class name -> probability.
        error: why there is no answer; empty otherwise.
        labels: of a head of several labels, those that are given.
        value: of a head of a number, its median.
        quantiles: the level as text -> float.
    """

    id: str
    label: str = ""
    probabilities: dict = dataclasses.field(default_factory=dict)
    error: str = ""
    labels: tuple = ()
    value: float | None = None
    quantiles: dict = dataclasses.field(default_factory=dict)

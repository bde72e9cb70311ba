"""The answer of a model for one input."""

import dataclasses
from typing import Any


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

    @property
    def answer(self) -> str:
        """The answer as tables show it; empty where there is none."""
        return self.label if self.value is None else format(self.value, ".9g")

    @property
    def scores(self) -> list[float]:
        """What the head states, in the order of its columns; [] where there is no answer."""
        return _flat(self.probabilities or self.quantiles)


def _flat(scores: dict[str, Any]) -> list[float]:
    """The numbers in a dict of numbers or of such dicts, in their order."""
    found: list[float] = []
    for value in scores.values():
        found += _flat(value) if isinstance(value, dict) else [value]
    return found

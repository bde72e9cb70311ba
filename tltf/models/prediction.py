"""The answer of a model for one input."""

import dataclasses
from typing import Any

from tltf.data.label_kinds import SEPARATOR


@dataclasses.dataclass(frozen=True)
class Prediction:
    """The decoded output for one input.

    Args:
        id: the text or the path that was given.
        label: the most probable class, or several labels such as `cat|dog`; empty for numbers.
        probabilities: class name -> probability.
        error: why there is no answer; empty otherwise.
        labels: of a head of several labels, those that are given.
        value: of a head of a number, its median.
        quantiles: the level as text -> float; of several numbers, name -> the same.
        values: of a head of several numbers, name -> its median.
    """

    id: str
    label: str = ""
    probabilities: dict = dataclasses.field(default_factory=dict)
    error: str = ""
    labels: tuple = ()
    value: float | None = None
    quantiles: dict[str, Any] = dataclasses.field(default_factory=dict)
    values: dict[str, float] = dataclasses.field(default_factory=dict)

    @property
    def answer(self) -> str:
        """The answer as tables show it; empty where there is none."""
        values = list(self.values.values()) if self.value is None else [self.value]
        return SEPARATOR.join(format(value, ".9g") for value in values) if values else self.label

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

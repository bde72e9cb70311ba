"""The answer of a model for one input."""

import dataclasses
from collections.abc import Mapping

from tltf.data.label_kinds import SEPARATOR


@dataclasses.dataclass(frozen=True, repr=False)
class Prediction:
    """The decoded output for one input.

    Args:
        id: the text or the path of the input.
        label: the most probable class, or several labels such as `cat|dog`; empty for numbers, and
            where the model is not sure.
        probabilities: class name -> probability.
        error: why there is no answer; empty otherwise.
        labels: the labels that a head for several labels gives.
        value: the median that a head for a number gives.
        quantiles: level, as text -> quantile; for a head of several numbers, name -> such a dict.
        values: the medians that a head for several numbers gives, by name.
        is_sure: whether the model is sure of its answer; a model that was trained without --abstain
            always is.
        tasks: of a model of several heads, task -> its own Prediction, and all of the above but `id`
            and `error` is empty; {} for a model of one head.
    """

    id: str
    label: str = ""
    probabilities: dict[str, float] = dataclasses.field(default_factory=dict)
    error: str = ""
    labels: tuple[str, ...] = ()
    value: float | None = None
    quantiles: dict[str, float] | dict[str, dict[str, float]] = dataclasses.field(
        default_factory=dict
    )
    values: dict[str, float] = dataclasses.field(default_factory=dict)
    is_sure: bool = True
    tasks: "dict[str, Prediction]" = dataclasses.field(default_factory=dict)

    def __repr__(self) -> str:
        if self.error:
            return f"Prediction(error={self.error!r})"
        if self.tasks:
            return (
                f"Prediction({', '.join(f'{task}: {own!r}' for task, own in self.tasks.items())})"
            )
        if (self.label or not self.is_sure) and len(self.probabilities) > 1 and not self.labels:
            label = self.label or max(self.probabilities, key=self.probabilities.__getitem__)
            others = {name: p for name, p in self.probabilities.items() if name != label}
            other = max(others, key=others.__getitem__)
            first, second = self.probabilities[label], others[other]
            text = f"{label!r} {first:.1%}, next {other!r} {second:.1%}"
            return f"Prediction({'' if self.is_sure else 'not sure: '}{text})"
        return f"Prediction({self.answer!r})"

    @property
    def answer(self) -> str:
        """The answer as tables show it; empty where there is none."""
        values = list(self.values.values()) if self.value is None else [self.value]
        return SEPARATOR.join(format(value, ".9g") for value in values) if values else self.label

    @property
    def scores(self) -> list[float]:
        """The numbers that the head predicts, in the order of its columns; [] where there is no answer."""
        return _flat(self.probabilities or self.quantiles)


def _flat(scores: Mapping[str, float | dict[str, float]]) -> list[float]:
    """The numbers in a dict of numbers or of dicts of numbers, in their order."""
    numbers: list[float] = []
    for value in scores.values():
        numbers += value.values() if isinstance(value, dict) else [value]
    return numbers

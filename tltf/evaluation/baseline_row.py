"""The row of a simpler model in a report, and its difference from the model that is judged."""

import dataclasses
from typing import Any

from tltf.evaluation.split_metrics import SplitMetrics

CLASSICAL = "classical"
"""The name of the baseline that uses no pretrained network."""
LIGHT_HEAD = "light_head"
"""The name of the baseline that --baseline=probe measures."""
BEST_MEMBER, MEAN_OF_ALL = "best_member", "mean_of_all"
"""The names of the candidate of an ensemble that is best on validation, and of the mean of all."""
ORACLE = "oracle"
"""The name of the same model on the labels of the target's rows, which no method reads."""


@dataclasses.dataclass(frozen=True)
class Gain:
    """The difference of one metric between two models on the same examples.

    Args:
        difference: the judged model's value minus the other's, in the metric's unit; of an error,
            below 0 is better.
        interval: [low, high] of the difference; None where it has no width.
    """

    difference: float
    interval: list[float] | None = None


@dataclasses.dataclass(frozen=True)
class PairedDifference:
    """The differences of all metrics between two models on the same examples.

    Args:
        gains: metric -> Gain.
        only_a_right: examples that the judged model alone has right; None for labels that are not
            one class per row.
        only_b_right: examples that the other alone has right; None likewise.
        num_examples: rows of the split; None likewise.
        interval_confidence: coverage of the intervals, 0..1; None likewise.
    """

    gains: dict[str, Gain]
    only_a_right: int | None = None
    only_b_right: int | None = None
    num_examples: int | None = None
    interval_confidence: float | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain JSON: the metrics stand beside the counts."""
        counts = dataclasses.asdict(self)
        gains = counts.pop("gains")
        return gains | {name: value for name, value in counts.items() if value is not None}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "PairedDifference":
        """The differences of plain JSON; unknown counts are passed over."""
        counts = {field.name for field in dataclasses.fields(cls)} - {"gains"}
        return cls(
            {
                name: Gain(value["difference"], value.get("interval"))
                for name, value in values.items()
                if isinstance(value, dict)
            },
            **{name: value for name, value in values.items() if name in counts},
        )


@dataclasses.dataclass(frozen=True)
class BaselineRow:
    """A simpler model on the split that the report is about.

    Args:
        test: its metrics.
        chosen: what was chosen for it and how, plain JSON; None where nothing was chosen: for
            random weights, and for means over folds.
        note: what it is, in words.
        time_s: seconds that its training took; None where it is not known.
        gain: the judged model minus this one; None where it was not compared.
    """

    test: SplitMetrics
    chosen: dict[str, Any] | None = None
    note: str = ""
    time_s: float | None = None
    gain: PairedDifference | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain JSON. Where nothing was chosen or timed, the gain stands before the note."""
        values = {
            "test": self.test.to_json(),
            "chosen": self.chosen,
            "note": self.note or None,
            "time_s": self.time_s,
            "gain": self.gain and self.gain.to_json(),
        }
        if self.chosen is None and self.time_s is None:
            values["note"] = values.pop("note")
        return {key: value for key, value in values.items() if value is not None}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "BaselineRow":
        """The row of plain JSON; every key but `test` may be missing."""
        gain = values.get("gain")
        return cls(
            SplitMetrics.from_json(values["test"]),
            values.get("chosen"),
            values.get("note") or "",
            values.get("time_s"),
            PairedDifference.from_json(gain) if gain else None,
        )

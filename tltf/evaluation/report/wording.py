"""What reports call the metrics of each kind of labels, and how they print them."""

import dataclasses
from collections.abc import Callable

from tltf.evaluation.baseline_row import Gain
from tltf.evaluation.split_metrics import SplitMetrics

NOTHING = "\N{EN DASH}"
SHARES = ("accuracy", "calibration_error", "confidence", "exact_match", "coverage", "share_below")
"""Ends of the names of metrics that are shares of one."""


def percent(value: float | None, digits: int = 1) -> str:
    """`97.3%`; a dash for None."""
    return NOTHING if value is None else f"{100 * value:.{digits}f}%"


def number(value: float | None, digits: int = 3) -> str:
    """`0.123`, small ones as `1.23e-06`; a dash for None."""
    return NOTHING if value is None else format(value, _form(value, digits))


def points(value: float | None) -> str:
    """`+3.1`, percentage points with sign; the minus is the typographic one."""
    return NOTHING if value is None else _signed(100 * value, ".1f")


def metric(name: str, value: float | None, digits: int | None = None) -> str:
    """A metric as text: shares in percent, others as numbers."""
    if name == "num_examples":
        return NOTHING if value is None else f"{value:,}"
    if name.endswith(SHARES):
        return percent(value, 1 if digits is None else digits)
    return number(value, 3 if digits is None else digits)


def count_of(value: int, singular: str, plural: str | None = None) -> str:
    """`1 example`, `1,200 examples`."""
    return f"{value:,} {singular if value == 1 else plural or singular + 's'}"


def _form(value: float, digits: int) -> str:
    """The format that leaves `digits` of a number: fixed, unless that shows a small one as none."""
    is_small = 0 < abs(value) < 10 ** (1 - digits)
    return f".{digits}g" if is_small else f".{digits}f"


def _signed(value: float, form: str) -> str:
    return format(value, "+" + form).replace("-", "\N{MINUS SIGN}")


@dataclasses.dataclass(frozen=True)
class Wording:
    """How one kind of labels is reported.

    Args:
        metric: the headline metric's key.
        title: its name in words.
        columns: keys of more metrics beside baselines.
        scalars: keys of all that are listed.
        sentence: (`100 test examples`, metrics, text of the headline's interval) -> the first
            sentence of a report.
        noun: what a row of `per_class` is about.
        is_error: whether less of the headline metric is better.
        is_share: whether differences of it are percentage points.
    """

    metric: str
    title: str
    columns: tuple[str, ...]
    scalars: tuple[str, ...]
    sentence: Callable[[str, SplitMetrics, str], str]
    noun: str = "class"
    is_error: bool = False
    is_share: bool = True

    def value(self, value: float | None) -> str:
        """The headline metric as text."""
        return metric(self.metric, value)

    def change(self, value: float | None) -> str:
        """A difference of the headline metric as text, without a unit."""
        if value is None or self.is_share:
            return points(value)
        return _signed(value, _form(value, 3))

    def interval(self, gain: Gain) -> str:
        """`+3.1 points (+1.9 to +4.2)` of the headline metric's gain."""
        text = self.change(gain.difference) + (" points" if self.is_share else "")
        if not gain.interval:
            return text
        low, high = gain.interval
        return f"{text} ({self.change(low)} to {self.change(high)})"

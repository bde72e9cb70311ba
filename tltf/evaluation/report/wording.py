"""How reports name and print the metrics of a kind of labels."""

import dataclasses
from collections.abc import Callable, Mapping

from tltf.evaluation.baseline_row import Gain
from tltf.evaluation.split_metrics import SplitMetrics

NOTHING = "\N{EN DASH}"
SHARES = ("accuracy", "calibration_error", "confidence", "exact_match", "coverage")
"""Ends of the names of metrics that are shares of one, and are shown in percent."""


def percent(value: float | None, digits: int = 1) -> str:
    """`97.3%`; a dash for None."""
    return NOTHING if value is None else f"{100 * value:.{digits}f}%"


def number(value: float | None, digits: int = 3) -> str:
    """`0.123`, small ones as `1.23e-06`; a dash for None."""
    return NOTHING if value is None else format(value, _form(value, digits))


def points(value: float | None) -> str:
    """`+3.1`, percentage points with sign; the minus is the typographic one."""
    return NOTHING if value is None else _signed(100 * value, ".1f")


def count_of(value: int, singular: str, plural: str | None = None) -> str:
    """`1 example`, `1,200 examples`."""
    return f"{value:,} {singular if value == 1 else plural or singular + 's'}"


def _form(value: float, digits: int) -> str:
    """The format that leaves `digits` of a number: fixed, unless that would show a small one as 0."""
    is_small = 0 < abs(value) < 10 ** (1 - digits)
    return f".{digits}g" if is_small else f".{digits}f"


def _signed(value: float, form: str) -> str:
    return format(value, "+" + form).replace("-", "\N{MINUS SIGN}")


@dataclasses.dataclass(frozen=True)
class MetricTile:
    """One more number at the top of the page.

    Args:
        metric: its key.
        title: its name in words.
        detail: what stands below it, with other metrics in braces, such as `{coverage:.0%}`; empty
            for its interval.
    """

    metric: str
    title: str
    detail: str = ""


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
        tiles: more numbers at the top of the page; those that were not measured are left out.
        baselines: name of a baseline -> what it is, in words.
        is_error: whether less of the headline metric is better.
        is_share: whether differences of it are percentage points.
        shares: ends of the names of metrics that are shown in percent.
        curves: ends of the names of metrics of which a learning curve is drawn.
    """

    metric: str
    title: str
    columns: tuple[str, ...]
    scalars: tuple[str, ...]
    sentence: Callable[[str, SplitMetrics, str], str]
    tiles: tuple[MetricTile, ...] = ()
    baselines: Mapping[str, str] = dataclasses.field(default_factory=dict)
    is_error: bool = False
    is_share: bool = True
    shares: tuple[str, ...] = SHARES
    curves: tuple[str, ...] = ("accuracy", "absolute_error")

    def text(self, name: str, value: float | None, digits: tuple[int, int] = (1, 3)) -> str:
        """A metric as text: shares in percent, others as numbers.

        Args:
            name: its key.
            value: of the metric; None where it is not defined.
            digits: behind the point, of a share and of another number.
        """
        if name == "num_examples":
            return NOTHING if value is None else f"{value:,}"
        of_share, of_number = digits
        return percent(value, of_share) if name.endswith(self.shares) else number(value, of_number)

    def value(self, value: float | None) -> str:
        """The headline metric as text."""
        return self.text(self.metric, value)

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

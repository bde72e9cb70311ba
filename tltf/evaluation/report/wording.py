"""How reports name and print the metrics of a kind of labels."""

import dataclasses
import math
from collections.abc import Callable, Mapping

from tltf.evaluation.baseline_row import Gain
from tltf.evaluation.split_metrics import SplitMetrics

NOTHING = "\N{EN DASH}"
SHARES = (
    "accuracy",
    "calibration_error",
    "confidence",
    "exact_match",
    "coverage",
    "within_one_class",
)
"""Ends of the names of metrics that are shares of one, and are shown in percent."""
BAD, UNCLEAR, GOOD, NEUTRAL = "bad", "unclear", "good", "neutral"
"""What a difference is to the judged model: worse, not to be told from zero, better, or unknown."""

MOST_DECIMALS = 8
"""Digits behind the point of the smallest number that is written without an exponent."""
_RAISED = str.maketrans(
    "-0123456789", "\u207b\u2070\u00b9\u00b2\u00b3\u2074\u2075\u2076\u2077\u2078\u2079"
)
NO_POINTS = 1e-9
"""The largest difference of two shares that is rounding of floating-point numbers."""


def percent(value: float | None, digits: int = 1) -> str:
    """`97.3%`; a dash for None."""
    return NOTHING if value is None else f"{100 * value:.{digits}f}%"


def number(value: float | None, digits: int = 3) -> str:
    """`0.123`, `9.123`, `10.4`, `1,235`, `0.00000123`; a dash for None.

    Args:
        value: of any size.
        digits: behind the point, below 10; all that a larger number shows unless more stand before
            the point.
    """
    return NOTHING if value is None else _fixed(value, digits)


def points(value: float | None) -> str:
    """`+3.1`, percentage points with sign; the minus is the typographic one.

    What is not zero is not shown as zero, since its sign decides whether two models differ.
    """
    if value is None:
        return NOTHING
    if abs(value) < NO_POINTS:
        return "0.0"
    shown = 100 * value
    return _typographic(f"{shown:+.1f}" if abs(shown) >= 0.05 else f"{shown:+.1g}")


def cell_text(value: object) -> str:
    """A value of a table as text: `1,200`, `0.25`, `yes`, a list with commas, a dash for None."""
    if value is None:
        return NOTHING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        text = number(value, 4)
        return text.rstrip("0").rstrip(".") if "." in text and "10" not in text[-4:] else text
    if isinstance(value, (list, tuple)):
        return ", ".join(map(cell_text, value)) or NOTHING
    return str(value)


def count_of(value: int, singular: str, plural: str | None = None) -> str:
    """`1 example`, `1,200 examples`."""
    return f"{value:,} {singular if value == 1 else plural or singular + 's'}"


def _fixed(value: float, digits: int, sign: str = "") -> str:
    """A number without an exponent, unless it is smaller than MOST_DECIMALS can show.

    Args:
        value: a number.
        digits: see `number`.
        sign: `+` for a sign in front of numbers above zero.
    """
    size = math.floor(math.log10(abs(value))) if value and math.isfinite(value) else 0
    if size >= 1:
        return format(value, f"{sign},.{max(0, digits - 1 - size)}f")
    if abs(value) >= 10 ** (1 - digits) or not value:
        return format(value, f"{sign}.{digits}f")
    if digits - 1 - size <= MOST_DECIMALS:
        return format(value, f"{sign}.{digits - 1 - size}f").rstrip("0")
    factor = format(value / 10.0**size, f"{sign}.{digits - 1}f").rstrip("0").rstrip(".")
    return f"{factor} \N{MULTIPLICATION SIGN} 10{str(size).translate(_RAISED)}"


def _typographic(text: str) -> str:
    return text.replace("-", "\N{MINUS SIGN}")


@dataclasses.dataclass(frozen=True)
class MetricTile:
    """One more number at the top of the page.

    Args:
        metric: its key.
        title: its name in words.
        detail: what stands below it, with other metrics in braces, such as `{coverage:.0%}`; empty
            for its interval.
        is_shown: whether metrics have the tile.
    """

    metric: str
    title: str
    detail: str = ""
    is_shown: Callable[[SplitMetrics], bool] = lambda metrics: True


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
        constant_answer: what the constant baseline does, in words that follow `better than`.
        linear_model: name of the linear baseline, in words that follow `better than`.
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
    constant_answer: str = "always giving the same answer"
    linear_model: str = "a linear model"

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
        return _typographic(_fixed(value, 3, "+"))

    def interval(self, gain: Gain) -> str:
        """`+3.1 points (+1.9 to +4.2)` of the headline metric's gain."""
        text = self.change(gain.difference) + (" points" if self.is_share else "")
        if not gain.interval:
            return text
        low, high = gain.interval
        return f"{text} ({self.change(low)} to {self.change(high)})"

    def difference(self, name: str, gain: Gain) -> str:
        """`+3.1 (+1.9 to +4.2)` of the gain of any metric, in points where it is a share."""

        def text(value: float) -> str:
            return (
                points(value) if name.endswith(self.shares) else _typographic(_fixed(value, 3, "+"))
            )

        if not gain.interval:
            return text(gain.difference)
        low, high = gain.interval
        return f"{text(gain.difference)} ({text(low)} to {text(high)})"

    def improvement(self, gain: Gain) -> tuple[float, float]:
        """`(low, high)` of a gain of the headline metric, where above 0 is better."""
        low, high = gain.interval or (gain.difference, gain.difference)
        return (-high, -low) if self.is_error else (low, high)

    def tone(self, gain: Gain) -> str:
        """BAD, UNCLEAR or GOOD: what a gain of the headline metric says of the judged model."""
        low, high = self.improvement(gain)
        if low <= 0 <= high:
            return UNCLEAR
        return GOOD if low > 0 else BAD

    def amount(self, gain: Gain) -> str:
        """`7.3 points (5.9 to 8.7)`: the size of a gain of the headline metric, without its sign.

        It is for gains whose interval is on one side of zero.
        """
        sizes = sorted(abs(bound) for bound in gain.interval or ())
        texts = [self.change(size).lstrip("+") for size in (abs(gain.difference), *sizes)]
        text = texts[0] + (" points" if self.is_share else "")
        return f"{text} ({texts[1]} to {texts[2]})" if sizes else text

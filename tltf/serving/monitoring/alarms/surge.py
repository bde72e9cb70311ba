"""An alarm on a class that is suddenly predicted more often than before."""

import dataclasses

from scipy import stats

from tltf.errors import FlagError
from tltf.serving.monitoring.alarms.alarm import View, require_name
from tltf.serving.monitoring.look import Ring
from tltf.serving.monitoring.reference import About


def surge(label: str, points: float = 0.1, alpha: float = 0.001, windows: int = 10) -> "Surge":
    """An alarm on a class or label that is predicted more often than in the windows before.

    It rings where the share rose by at least `points`, and by more than chance explains: Fisher's exact
    test, one-sided, has a p-value below alpha. Windows in which it rang are not compared with, so that
    it goes on ringing while the surge lasts. Without earlier windows it compares with the reference.

    Args:
        label: the class or label.
        points: the least rise of its share that matters, above 0 and up to 1.
        alpha: the probability of a false alarm at one look.
        windows: how many of the windows before are compared with; 0 for the reference.

    Raises:
        FlagError: an argument is out of its range.
    """
    if not 0 < points <= 1 or not 0 < alpha < 1 or windows < 0:
        what = (
            "surge takes points above 0 and up to 1, alpha between 0 and 1 and windows from 0 "
            f"(received points={points:g}, alpha={alpha:g}, windows={windows})"
        )
        raise FlagError(what, flag="alarm", fix=f"--alarm='surge(label={label}, points=.1)'")
    return Surge(label, points, alpha, windows)


@dataclasses.dataclass(frozen=True)
class Surge:
    """See `surge`."""

    label: str
    points: float
    alpha: float
    windows: int

    def check(self, about: About) -> None:
        """Raises FlagError where the run does not predict the class."""
        require_name(self.label, about, has_classes=True)

    def ring(self, view: View, text: str) -> Ring | None:
        """A Ring where the share rose by enough, and by more than chance explains."""
        if not view.look.summary.rates:
            return None
        calm = [
            past
            for past in view.earlier
            if not any(ring.alarm == text for ring in past.rings) and past.summary.rates
        ]
        before = [(past.summary.rates[self.label], past.num_rows) for past in calm][-self.windows :]
        if not self.windows or not before:
            before = [(view.reference.rates[self.label], view.num_reference)]
        num_before = sum(num for _, num in before)
        hits_before = sum(round(share * num) for share, num in before)
        value, num = view.look.summary.rates[self.label], view.look.num_rows
        usual = hits_before / num_before
        if value - usual < self.points:
            return None
        hits = round(value * num)
        table = [[hits, num - hits], [hits_before, num_before - hits_before]]
        p_value = float(stats.fisher_exact(table, alternative="greater").pvalue)
        if p_value >= self.alpha:
            return None
        than = "in the windows before" if self.windows and calm else "in the reference"
        said = f"{self.label} rose to {value:.1%} of the answers from {usual:.1%} {than} (p {p_value:.2g})"
        return Ring(text, said, value, usual + self.points)

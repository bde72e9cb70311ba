"""The options of `python -m tltf.train`: those of a run, and how much is tried before it."""

import dataclasses

from tltf.config.flag_fields import flag
from tltf.config.options import Options

NONE, QUICK, GOOD, BEST = "none", "quick", "good", "best"
USUAL_MINUTES = {QUICK: 10.0, GOOD: 30.0, BEST: 60.0}
"""Preset -> minutes where --budget_minutes gives none."""


@dataclasses.dataclass(frozen=True)
class PresetOptions:
    """The flags of what is tried before a run."""

    preset: str = flag(
        NONE,
        "What is tried first: quick takes the first network of tltf.advise with a tuned light head; good tries "
        "some methods and rates of it as tltf.search does; best also an ensemble of these, where it is "
        "surely better on validation rows; none trains what the other flags say.",
        choices=(NONE, QUICK, GOOD, BEST),
    )
    budget_minutes: float = flag(
        0.0,
        "Minutes for everything, from the advice to the export; without --preset it is good. 0 is 10 for quick, "
        "30 for good and 60 for best.",
        least=0.0,
    )

    @property
    def name(self) -> str:
        """The preset that is meant."""
        return GOOD if self.preset == NONE and self.budget_minutes else self.preset

    @property
    def budget_s(self) -> float:
        """Seconds for everything; 0 where nothing is tried."""
        return 60 * (self.budget_minutes or USUAL_MINUTES.get(self.name, 0.0))


@dataclasses.dataclass(frozen=True)
class TrainCommandOptions(Options):
    """The flags of `python -m tltf.train`."""

    presets: PresetOptions = dataclasses.field(default_factory=PresetOptions)

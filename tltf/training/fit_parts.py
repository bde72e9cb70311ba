"""The objects that all phases of a fit share."""

import dataclasses
import pathlib

from tltf.config.options import Options
from tltf.graphs.core import Core
from tltf.training.callbacks.log_epochs import EpochLog
from tltf.training.feed import Feed
from tltf.training.fit_state import Arrays, FitClock, FitRecord, MovedWeights
from tltf.training.judges import Judges


@dataclasses.dataclass(frozen=True)
class FitParts:
    """The objects that all phases of a fit share: what they train and read, and where they write.

    Args:
        core: Core that is trained.
        feed: Feed.
        options: Options with every `auto` resolved.
        judges: Judges.
        moved: MovedWeights.
        record: FitRecord.
        clock: FitClock.
        log: EpochLog, which takes a dict per epoch.
        run: the run folder for checkpoints; None keeps none.
        is_writer: whether this process writes them.
    """

    core: Core
    feed: Feed
    options: Options
    judges: Judges
    moved: MovedWeights
    record: FitRecord
    clock: FitClock
    log: EpochLog
    run: pathlib.Path | None
    is_writer: bool

    def weights_to_keep(self) -> Arrays:
        """The weights that KeepBest keeps of an epoch; {} where the last epoch is kept."""
        return self.moved.read() if self.options.train.keep == "best" else {}

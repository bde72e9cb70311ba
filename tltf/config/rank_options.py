"""The options of `python -m tltf.rank`."""

import dataclasses

from tltf.config.flag_fields import flag
from tltf.config.options import Options


@dataclasses.dataclass(frozen=True)
class RankingOptions:
    """The flags of a ranking of networks beside those of a run."""

    backbones: str = flag(
        "auto",
        "The networks that are ranked, as call strings of --list=backbones joined with |; auto takes all "
        "whose weights are in packages, that need no extra and that take such rows.",
    )
    image_sizes_px: str = flag(
        "auto",
        "Sides of the input at which each network is ranked, joined with commas, such as 96,160; auto is "
        "--image_size_px, or that of each network.",
    )
    taps: str = flag(
        "last",
        "Where features are taken: last is what a head takes by default; all adds the earlier stages of "
        "image networks and the other poolings of texts.",
        choices=("last", "all"),
    )
    rows: int = flag(
        2000, "Training rows that are looked at, drawn by the seed, at most.", least=20
    )
    sort_by: str = flag(
        "probe",
        "The score that orders them: probe is the cross-validated accuracy of the tuned light head; nearest was "
        "measured to order networks about as well in the mean of two seeds, worse on the second alone, and takes a "
        "four-hundredth of the time once features are there.",
        choices=("probe", "log_me", "h_score", "nearest"),
    )


@dataclasses.dataclass(frozen=True)
class RankOptions(Options):
    """The flags of `python -m tltf.rank`: those of a run, and those of the ranking."""

    ranking: RankingOptions = dataclasses.field(default_factory=RankingOptions)

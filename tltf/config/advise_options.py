"""The options of `python -m tltf.advise`."""

import dataclasses

from tltf.config.flag_fields import flag
from tltf.config.options import Options

CHEAP_BACKBONES = {
    "image": ("efficientnet_lite0", "mobilenet_v2_torchvision", "dog_mobilenet_v2"),
    "text": ("minilm_l6", "minilm_l3", "minilm_static", "glove"),
}
"""Modality -> the networks that are tried where none are named: packaged ones that are fast on a CPU."""
SMALL_SIDE_PX = 96
"""Pictures no larger than this are also tried at this side, which costs a fraction of a network's own."""


@dataclasses.dataclass(frozen=True)
class AdvisingOptions:
    """The flags of advice beside those of a run."""

    backbones: str = flag(
        "auto",
        "The networks that are tried, as call strings of --list=backbones joined with |; auto takes three or "
        "four packaged ones that are fast on a CPU.",
    )
    image_sizes_px: str = flag(
        "auto",
        "Sides of the input at which each network is tried, joined with commas, such as 96,160; auto is "
        "--image_size_px, or that of each network, and where all pictures are smaller than 96, that, and then the own one of the best.",
    )
    rows: int = flag(
        1000, "Training rows that are looked at, drawn by the seed, at most.", least=20
    )


@dataclasses.dataclass(frozen=True)
class AdviseOptions(Options):
    """The flags of `python -m tltf.advise`: those of a run, and those of the advice."""

    advice: AdvisingOptions = dataclasses.field(default_factory=AdvisingOptions)

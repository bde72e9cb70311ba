"""The options of `python -m tltf.search`."""

import dataclasses

from tltf.config.flag_fields import flag
from tltf.config.options import Options

SAMPLERS = ("tpe", "random", "grid", "cma_es")
PRUNERS = ("auto", "halving", "wilcoxon", "none")


@dataclasses.dataclass(frozen=True)
class SearchingOptions:
    """The flags of a search beside those of a run."""

    space: str = flag(
        "",
        "What is searched, as 'FLAG: KIND; FLAG: KIND', where a kind is log(1e-5, 1e-2), uniform(0, .5), "
        "int(1, 6) or a list such as [full, lp_ft, lora(rank=4)]; if empty, what is usual for --method.",
    )
    trials: int = flag(
        20, "The number of trials, over all processes that search in --output.", least=1
    )
    budget_minutes: float = flag(
        0.0,
        "Minutes after which no trial is begun, and one that runs is stopped where it is, to be gone on with "
        "by the same command with more minutes; those of an interrupted search count. 0 sets no limit.",
        least=0.0,
    )
    sampler: str = flag(
        "tpe",
        "How the next values are chosen: tpe learns from the trials before (Bergstra et al. 2011), cma_es "
        "moves a normal distribution (Hansen 2016), grid takes every combination of lists, random none.",
        choices=SAMPLERS,
    )
    pruner: str = flag(
        "auto",
        "How a trial is given up early: halving compares it with the others after 1, 3, 9, ... epochs "
        "(Li et al. 2018), wilcoxon tests its folds or seeds against those of the best one; auto is the "
        "one that fits --split, and none where different methods are searched.",
        choices=PRUNERS,
    )
    keep_models: int = flag(
        1, "Of how many of the best trials the trained networks are kept.", least=1
    )
    retrain: bool = flag(
        False,
        "Also trains the best configuration on the training and the validation rows, in OUTPUT/retrained.",
    )


@dataclasses.dataclass(frozen=True)
class SearchOptions(Options):
    """The flags of `python -m tltf.search`: those of a run, and those of the search."""

    search: SearchingOptions = dataclasses.field(default_factory=SearchingOptions)

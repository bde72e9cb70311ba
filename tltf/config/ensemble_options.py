"""The options of `python -m tltf.ensemble`."""

import dataclasses

from tltf.config.flag_fields import flag

AUTO, GREEDY, STACKING, MEAN = "auto", "greedy", "stacking", "mean"
RULES = (MEAN, GREEDY, STACKING)
"""The ways in which answers are combined, the simplest first."""


@dataclasses.dataclass(frozen=True)
class EnsembleOptions:
    """The flags of `python -m tltf.ensemble`."""

    runs: str = flag(
        "",
        "The folders of the runs that may be members, joined with commas; they may also be written "
        "without the flag's name. They must have been trained on the same data, split in the same way.",
        takes_rest=True,
    )
    output: str = flag("", "The folder of the ensemble, which is a run like any other.")
    combine: str = flag(
        GREEDY,
        "How the answers become one: greedy selects members on validation rows, with replacement, and "
        "takes the mean of their probabilities; stacking fits a logistic regression on the logarithms of "
        "all probabilities; mean is the plain mean of all; auto takes the one with the smallest "
        "cross-validated loss on validation rows.",
        choices=(AUTO, *RULES),
    )
    metric: str = flag(
        "loss",
        "What greedy makes as good as it can: loss is the cross-entropy, or the quantile loss of numbers; "
        "score is the metric by which epochs are chosen, which takes more validation rows.",
        choices=("loss", "score"),
    )
    rounds: int = flag(25, "Members that greedy adds, counted with those of its start.", least=1)
    most_first: int = flag(
        5, "Greedy starts with the best candidates, of which it takes at most so many.", least=1
    )
    bags: int = flag(
        0,
        "Greedy selects so many times, each from a random half of the candidates, and averages the "
        "weights; 0 selects once from all.",
        least=0,
    )
    snapshots: bool = flag(
        False,
        "Also takes the snapshots of runs that were trained with --snapshots; of other runs the weights of their "
        "last epoch, if they kept another epoch.",
    )
    calibrate: str = flag(
        AUTO,
        "What is done to the probabilities of the ensemble, as --calibrate of a run. Those of the members "
        "are calibrated as in their runs.",
        choices=(AUTO, "temperature", "none"),
    )
    distill: str = flag(
        "",
        "Also trains one network on the answers of the ensemble, in the folder distilled of the output: a "
        "backbone, or flags such as '--backbone=mobilenet_v2 --train_epochs=20', which are added to those "
        "of the best member; auto is its own backbone.",
    )
    title: str = flag("", "The heading of the report.")
    explain: str = flag(
        "none", "How the report explains its worst mistakes, as --explain of a run says."
    )
    export: bool = flag(True, "Exports the ensemble as a SavedModel.")
    seed: int = flag(0, "The seed of the bags and of the intervals.", least=0)
    eval_batch_size: int = flag(128, "Examples per step.", least=1)
    overwrite: bool = flag(False, "Replaces a finished run in the output folder.")
    quiet: bool = flag(False, "Prints no progress.")

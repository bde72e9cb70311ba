"""The options of `python -m tltf.label`."""

import dataclasses

from tltf.config.command_options import PageOptions
from tltf.config.flag_fields import flag


@dataclasses.dataclass(frozen=True)
class LabelOptions(PageOptions):
    """The flags of `python -m tltf.label`."""

    page: bool = flag(
        False,
        "Asks on a page in a browser, at --host and --port, in place of the terminal. It needs the extra demo.",
    )
    pool: str = flag(
        "",
        "The rows without labels: files, folders, tables or texts as --input of tltf.predict takes them, or "
        "a call string of --list=sources, whose labels are not looked at.",
    )
    output: str = flag("labels.csv", "The table of the labels; one that is there is gone on with.")
    query: str = flag(
        "badge",
        "How the rows of a round are chosen, as a call string. See --list=queries. skactiveml:CLASS is a "
        "strategy of scikit-activeml.",
    )
    per_round: int = flag(
        10, "Rows that are chosen together, before the head is fitted again.", least=1
    )
    num_labels: int | None = flag(
        None, "Labels at which it ends; auto asks until no row is left.", kind=int, least=1
    )
    training_rows: int = flag(
        1000,
        "Training rows of the run, drawn by chance, that the head learns beside the new labels; 0 for none.",
        least=0,
    )
    new_classes: str = flag("", "Classes that the run does not know, joined with commas.")
    families: str = flag(
        "logistic",
        "The light heads that are tried after each round, joined with |, as family of probe has them; auto "
        "tries all, which takes longer.",
    )
    seed: int = flag(0, "The seed of the draws and of the cross-validation.", least=0)
    eval_batch_size: int = flag(128, "Rows per step of the backbone.", least=1)

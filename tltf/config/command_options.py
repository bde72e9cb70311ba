"""The options of every command but `train`, whose options other commands share parts of."""

import dataclasses

from tltf.config.flag_fields import flag
from tltf.config.options import Options, ScanOptions


@dataclasses.dataclass(frozen=True)
class RangeTestOptions:
    """What a learning-rate range test is told beside the run's own flags."""

    num_steps: int = flag(100, "Steps from the smallest rate to the largest.", least=20)


@dataclasses.dataclass(frozen=True)
class FindOptions(Options):
    """The flags of `python -m tltf.lr_find`: those of a run, and the test's."""

    find: RangeTestOptions = dataclasses.field(default_factory=RangeTestOptions)


@dataclasses.dataclass(frozen=True)
class EvaluateOptions:
    """The flags of `python -m tltf.evaluate`."""

    run: str = flag("", "The run folder.")
    data: str = flag("", "Other labelled examples, a call string; empty: the run's own test split.")
    rows: str = flag(
        "auto",
        "Which rows of --data: auto is its test split, else its validation "
        "split, else the rows of data without splits; train and all take rows that "
        "a run may have trained on.",
        choices=("auto", "test", "validation", "train", "all"),
    )
    output: str = flag("", "Folder of the report; empty: RUN/evaluations/<next integer>.")
    eval_batch_size: int = flag(128, "Examples at a time.", least=1)
    scan: ScanOptions = dataclasses.field(default_factory=ScanOptions)


@dataclasses.dataclass(frozen=True)
class CheckOptions:
    """The flags of `python -m tltf.check`."""

    data: str = flag("", "What to scan, a call string.")
    split: str = flag("holdout", "How it is parted, see --list=splits.")
    head: str = flag("classify", "How labels are read: classify, ordinal, multi_label or regress.")
    seed: int = flag(0, "Of the splits.", least=0)
    scan: ScanOptions = dataclasses.field(default_factory=ScanOptions)
    near_duplicates: bool = flag(True, "Looks for rows that are nearly the same.")
    output: str = flag("", "Folder for data_report.jsonl; empty: none is written.")


@dataclasses.dataclass(frozen=True)
class PredictOptions:
    """The flags of `python -m tltf.predict`."""

    run: str = flag("", "The run folder.")
    input: str = flag(
        "-",
        "What to classify: files, folders, CSV or text files joined with commas; "
        "- reads texts or paths from standard input, one per line.",
    )
    column: str = flag(
        "",
        "Column of a CSV or JSON lines input; empty: the one that the run's --data "
        "names, else text, path or image.",
    )
    delimiter: str = flag(
        "", "Between the columns of a CSV input; empty: that of the run's --data."
    )
    encoding: str = flag("", "Of inputs of texts; empty: that of the run's --data, else UTF-8.")
    quote: str = flag("", "Around texts in a CSV input, or none; empty: that of the run's --data.")
    output: str = flag("-", "File for the predictions; - is standard output.")
    format: str = flag("csv", "One row an input.", choices=("csv", "jsonl"))
    eval_batch_size: int = flag(128, "Inputs at a time.", least=1)


@dataclasses.dataclass(frozen=True)
class ExportOptions:
    """The flags of `python -m tltf.export`."""

    run: str = flag("", "The run folder.")
    output: str = flag("", "Folder of the versions; empty: RUN/export.")
    format: str = flag("saved_model", "What to write, see --list=formats.")
    version: int | None = flag(
        None, "Version number; auto: the next free integer.", kind=int, least=1
    )
    verify: bool = flag(
        True, "Reloads the export in a clean process and compares it with the model."
    )

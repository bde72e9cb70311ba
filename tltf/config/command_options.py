"""The options of every command but `train`; they share groups with those of a training run."""

import dataclasses

from tltf.config.flag_fields import flag
from tltf.config.option_groups import ScanOptions
from tltf.config.options import Options


@dataclasses.dataclass(frozen=True)
class RangeTestOptions:
    """The flags of a learning-rate range test beside those of the run."""

    num_steps: int = flag(
        100, "The number of steps from the smallest rate to the largest.", least=20
    )


@dataclasses.dataclass(frozen=True)
class FindOptions(Options):
    """The flags of `python -m tltf.lr_find`: those of a run, and those of the range test."""

    find: RangeTestOptions = dataclasses.field(default_factory=RangeTestOptions)


@dataclasses.dataclass(frozen=True)
class EvaluateOptions:
    """The flags of `python -m tltf.evaluate`."""

    run: str = flag("", "The run folder.")
    data: str = flag(
        "", "Other labelled examples, as a call string; if empty, the run's own test split."
    )
    rows: str = flag(
        "auto",
        "Which rows of --data are evaluated: auto is its test split, else its validation split, "
        "else the rows of data without splits. train and all include rows that a run may have "
        "trained on.",
        choices=("auto", "test", "validation", "train", "all"),
    )
    output: str = flag("", "The folder of the report; if empty, RUN/evaluations/<next integer>.")
    eval_batch_size: int = flag(128, "Examples per step.", least=1)
    scan: ScanOptions = dataclasses.field(default_factory=ScanOptions)


@dataclasses.dataclass(frozen=True)
class CompareOptions:
    """The flags of `python -m tltf.compare`."""

    runs: str = flag(
        "",
        "The folders of two or more runs, or of evaluations of runs, joined with commas; they may also "
        "be written without the flag's name. Differences are from the first one.",
        takes_rest=True,
    )
    output: str = flag(
        "", "The folder of the page; if empty, comparisons/<next integer> in the first run."
    )
    examples: int = flag(
        12, "Rows that the page shows of each disagreement between two runs.", least=0
    )


@dataclasses.dataclass(frozen=True)
class UpdateOptions:
    """The flags of `python -m tltf.update`."""

    run: str = flag("", "The folder of the run that is in use, whose own data must still be there.")
    data: str = flag(
        "",
        "The new labelled examples, as a call string; they may have new classes. See --list=sources.",
    )
    output: str = flag("", "The folder of the new run.")
    replay: float = flag(
        5.0,
        "Training rows of the run that are trained on again, per new training row; 0 for none, with "
        "which the old is often forgotten.",
        least=0,
    )
    tolerance: float = flag(
        0.01,
        "By how much the new run may be worse on the old test rows: 0.01 is one point of accuracy; of "
        "an error, a share of that of the run in use.",
        least=0,
    )
    method: str = flag(
        "auto", "The transfer method; auto is that of the run, and full where it was scratch."
    )
    train_epochs: int | None = flag(
        None, "Passes over the training rows; auto is that of the run.", kind=int, least=1
    )
    learning_rate: float | None = flag(
        None, "The peak learning rate; auto is that of the run.", kind=float, above=0
    )
    seed: int = flag(0, "The seed of the splits, of replay and of training.", least=0)
    publish: str = flag(
        "",
        "The folder of the versions that are served, where a new run that is good enough becomes the "
        "next version; if empty, RUN/export. none publishes nothing.",
    )
    eval_batch_size: int = flag(128, "Examples per step of an evaluation.", least=1)
    overwrite: bool = flag(False, "Replaces a finished run in the output folder.")


@dataclasses.dataclass(frozen=True)
class CheckOptions:
    """The flags of `python -m tltf.check`."""

    data: str = flag("", "The examples to scan, as a call string. See --list=sources.")
    split: str = flag("holdout", "How the examples are split. See --list=splits.")
    head: str = flag("classify", "How labels are read: classify, ordinal, multi_label or regress.")
    seed: int = flag(0, "The seed of the splits.", least=0)
    scan: ScanOptions = dataclasses.field(default_factory=ScanOptions)
    near_duplicates: bool = flag(True, "Looks for rows that are nearly the same.")
    output: str = flag(
        "",
        "The folder for data_report.jsonl and samples.html, a page of training examples as the "
        "network sees them; if empty, these are not written.",
    )
    augment: str = flag("", "The augmentations that samples.html shows, as --augment of a run.")
    backbone: str = flag(
        "",
        "The network whose input size and tokenizer samples.html uses; if empty, images have "
        "--image_size_px and texts are whole.",
    )
    image_size_px: int | None = flag(
        None,
        "The side of the images in samples.html, in pixels; auto is the backbone's own, or 224.",
        kind=int,
        least=1,
    )
    text_length: int | None = flag(
        None,
        "Tokens to which --backbone cuts the texts in samples.html; auto fits them to the data.",
        kind=int,
        least=3,
    )


@dataclasses.dataclass(frozen=True)
class TableOptions:
    """The flags that say how the tables of a finished model's inputs are read."""

    column: str = flag(
        "",
        "The column of a CSV or JSON lines input; if empty, the one that the run's --data names, "
        "else text, path or image.",
    )
    delimiter: str = flag(
        "", "The character between the columns of a CSV input; if empty, that of the run's --data."
    )
    encoding: str = flag(
        "", "The encoding of text inputs; if empty, that of the run's --data, else UTF-8."
    )
    quote: str = flag(
        "",
        "The character around texts in a CSV input, or none; if empty, that of the run's --data.",
    )


@dataclasses.dataclass(frozen=True)
class InputOptions:
    """The flags that say what a finished model is given."""

    input: str = flag(
        "-",
        "The inputs: files, folders, CSV or text files, joined with commas. - reads texts or "
        "paths from standard input, one per line.",
    )
    text: str = flag("", "One text, in place of --input.")
    table: TableOptions = dataclasses.field(default_factory=TableOptions)


@dataclasses.dataclass(frozen=True)
class PredictOptions:
    """The flags of `python -m tltf.predict`."""

    run: str = flag("", "The run folder.")
    server: str = flag(
        "",
        "The host:port of a model server that answers in place of --run, over REST; "
        "grpc://host:port for gRPC, http:// and https:// for a server with a path.",
    )
    model: str = flag("", "The name of the model on --server.")
    version: int | None = flag(
        None, "The version on --server; auto is the newest.", kind=int, least=1
    )
    version_label: str = flag("", "The label of the version on --server, such as stable.")
    timeout_s: float = flag(30.0, "Seconds to wait for an answer of --server.", above=0)
    retries: int = flag(
        5,
        "How often a batch is sent again to a --server that is busy, or not there, with longer and "
        "longer pauses.",
        least=0,
    )
    inputs: InputOptions = dataclasses.field(default_factory=InputOptions)
    output: str = flag("-", "The file for the predictions; - is standard output.")
    format: str = flag(
        "csv", "The format of the predictions, with one row per input.", choices=("csv", "jsonl")
    )
    threshold: float | None = flag(
        None,
        "Of two classes, the probability from which on the second by name, the positive one, is the "
        "answer; auto answers the more probable class. report.html says what thresholds come to.",
        kind=float,
        least=0,
        most=1,
    )
    top_k: int = flag(
        0,
        "Writes so many of the most probable classes with four digits, in place of the probabilities "
        "of all classes; 0 writes all.",
        least=0,
    )
    eval_batch_size: int = flag(128, "Inputs per step.", least=1)


@dataclasses.dataclass(frozen=True)
class PageOptions:
    """The flags of a command that opens a page for a run on this machine."""

    run: str = flag("", "The run folder.")
    host: str = flag(
        "127.0.0.1",
        "The address that the page is served at. The default is for this machine alone; 0.0.0.0 lets "
        "everybody use it who reaches the machine.",
    )
    port: int | None = flag(
        None, "The port; auto is the first free one from 7860 on.", kind=int, least=1, most=65535
    )
    share: bool = flag(
        False, "Also asks gradio.live for a public address, through which anybody can use the page."
    )


@dataclasses.dataclass(frozen=True)
class DemoOptions(PageOptions):
    """The flags of `python -m tltf.demo`."""

    examples: int = flag(
        8, "Examples of the run's test split that the page offers; 0 reads no data.", least=0
    )
    explainer: str = flag(
        "auto",
        "How an answer is explained after it is shown: auto is what --explain of the run names, else "
        "grad_cam for images and integrated_gradients for texts; none; or an entry of "
        "--list=explainers.",
    )


@dataclasses.dataclass(frozen=True)
class MonitorOptions:
    """The flags of `python -m tltf.monitor`."""

    run: str = flag("", "The run folder.")
    input: str = flag(
        "",
        "What is watched: a log of what tltf.predict wrote, as CSV or JSON lines; a file of texts, of "
        "paths or of a table, whose rows the run predicts; or a folder of images. Rows and images that "
        "were looked at before are not read again.",
    )
    task: str = flag("", "The task that is watched, of a run of several heads.")
    alarm: str = flag(
        "drift", "What rings, as call strings joined with |. See --list=alarms for all of them."
    )
    window: int = flag(500, "Rows that are looked at together.", least=20)
    rest: bool | None = flag(
        None,
        "Also looks at last rows that do not fill a window; auto does so at the first look at an input.",
        kind=bool,
    )
    time: str = flag(
        "",
        "The column with the time of a row, as ISO 8601 or seconds since 1970; if empty, time, "
        "timestamp, datetime, date or created_at, where there is one.",
    )
    webhook: str = flag("", "The address to which alarms are posted, as JSON.")
    predict_again: bool = flag(
        False,
        "Predicts the inputs in a log of predictions again, so that their features are tested too.",
    )
    output: str = flag(
        "",
        "The folder of the page and of what was read so far; if empty, RUN/monitor, or of a task "
        "RUN/tasks/TASK/monitor.",
    )
    table: TableOptions = dataclasses.field(default_factory=TableOptions)
    eval_batch_size: int = flag(128, "Inputs per step.", least=1)


@dataclasses.dataclass(frozen=True)
class ExportOptions:
    """The flags of `python -m tltf.export`."""

    run: str = flag("", "The run folder.")
    output: str = flag("", "The folder of the exports; if empty, RUN/export.")
    format: str = flag(
        "saved_model",
        "The format of the export, or several joined with |, which are then compared in table.md. "
        "See --list=formats.",
    )
    version: int | None = flag(
        None, "The version number; auto is the next free integer of all formats.", kind=int, least=1
    )
    verify: bool = flag(
        True,
        "Loads the export in a clean process and compares it with the model; formats other than "
        "saved_model, and those beside them, answer the whole test split and are timed.",
    )


@dataclasses.dataclass(frozen=True)
class ExplainOptions:
    """The flags of `python -m tltf.explain`."""

    run: str = flag("", "The run folder.")
    inputs: InputOptions = dataclasses.field(default_factory=InputOptions)
    explainer: str = flag(
        "auto",
        "How answers are explained, or several ways joined with |; auto is "
        "grad_cam|integrated_gradients for images and integrated_gradients for texts. See "
        "--list=explainers.",
    )
    task: str = flag(
        "",
        "Of a run of several heads, the task whose answers are explained; if empty, all of them.",
    )
    label: str = flag(
        "",
        "The class that is explained in every input; if empty, the answer of each. Of several labels "
        "or numbers, the one of this name.",
    )
    num_inputs: int = flag(100, "Explains at most so many inputs, the first ones.", least=1)
    output: str = flag("", "The folder of the page; if empty, RUN/explanations/<next integer>.")
    check: bool = flag(
        False,
        "Also measures whether deleting what an explanation names first changes the output sooner, and "
        "showing it alone brings it back sooner, than parts in a random order do.",
    )
    eval_batch_size: int = flag(
        32,
        "Inputs, or points on the paths of integrated gradients, that are computed together.",
        least=1,
    )


@dataclasses.dataclass(frozen=True)
class ServeOptions:
    """The flags of `python -m tltf.serve`."""

    run: str = flag("", "The run folder, whose export is served.")
    export: str = flag("", "The folder of the versions of an export, in place of --run.")
    name: str = flag("", "The name of the model in the paths; if empty, that of the folder.")
    versions: str = flag(
        "latest", "The versions that are served: latest, all, or numbers joined with commas."
    )
    labels: str = flag("", "Labels of versions, joined with commas, such as stable=3,canary=4.")
    host: str = flag(
        "127.0.0.1",
        "The address at which the server listens. 0.0.0.0 lets other machines in, and there is no "
        "password.",
    )
    port: int = flag(8501, "The port; 0 takes a free one.", least=0, most=65535)
    max_batch: int = flag(32, "The most rows that are computed at once.", least=1)
    max_wait_ms: float = flag(
        0.0,
        "Milliseconds that a request waits for others to be computed with it. At 0, those are "
        "computed together that wait while others are computed.",
        least=0,
        most=1000,
    )
    max_queue: int = flag(
        256,
        "The most requests without an answer; one more gets status 429 at once.",
        least=1,
    )
    max_body_mb: int = flag(
        32, "The largest body of a request, in MiB; a larger one gets 413.", least=1
    )
    num_workers: int | None = flag(
        None, "Batches that are computed at the same time; auto is one per core.", kind=int, least=1
    )
    num_threads: int | None = flag(
        None, "Threads that compute one batch; auto is one per core.", kind=int, least=1
    )
    warmup: bool = flag(
        True, "Answers the warm-up requests of the export before the first request."
    )

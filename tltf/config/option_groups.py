"""The flags of a training run in groups: each flag with its default, bounds and help, said once.

An options dataclass is a group of flags: a field's name is the flag's name, its metadata the rest.
A default of None, written `auto`, asks for the value that fits the data and the backbone, which
tltf.config.defaults chooses and run.flags records.
"""

import dataclasses

from tltf.config.flag_fields import flag


@dataclasses.dataclass(frozen=True)
class ScanOptions:
    """The faults that the scan of labelled examples lets pass."""

    max_bad_fraction: float = flag(
        0.01,
        "The largest share of rows or files that may be unusable. They are skipped; if there are "
        "more, the run stops.",
        least=0.0,
        most=1.0,
    )
    allow_empty_classes: bool = flag(
        False,
        "Leaves out classes without a usable row, with a warning, instead of stopping the run.",
    )
    follow_links: bool = flag(False, "Follows links that lead out of the data folder.")
    unknown_classes: str = flag(
        "refuse",
        "What happens to rows of classes that are not in the training split: refuse stops the run,"
        " skip leaves the rows out.",
        choices=("refuse", "skip"),
    )
    strict: bool = flag(
        False,
        "Stops the run if the same content is in two splits. Without it the content stays in the "
        "later split only.",
    )
    skip_bad_shards: bool = flag(
        False, "Reads a damaged TFRecord file up to the damage and goes on with the next file."
    )


@dataclasses.dataclass(frozen=True)
class DataOptions:
    """The data that the run learns from."""

    data: str = flag(
        "",
        "The labelled examples, as a call string such as 'image_folder(path=DIR)', "
        "'csv(path=all.csv, text=text, label=label)' or 'vader(domain=movie)', see --list=sources; the "
        "path of a table or of a folder with a folder of pictures per class; or several data sets for "
        "one network, named by its heads, as in 'film: csv(...); tweet: csv(...)'.",
    )
    target_data: str = flag(
        "",
        "Examples of another domain, which the model is for, as a call string like that of --data. "
        "Methods of domain adaptation learn from them without their labels; where they have labels, "
        "the test rows are theirs.",
    )
    unlabelled_data: str = flag(
        "",
        "More examples without labels, as a call string like that of --data, for methods that learn "
        "from them. Labels that they have are not read.",
    )
    split: str = flag(
        "holdout",
        "How the examples are split: 'holdout(test=.2, validation=.1)', 'kfold(folds=5, fold=0)' "
        "or 'given'. Splits that the data has already are kept.",
    )
    augment: str = flag(
        "",
        "Random changes of training inputs, joined with |, such as "
        "'flip|randaugment|mixup(alpha=.2)'. See --list=augments.",
    )
    limit: int = flag(
        0,
        "Uses at most so many rows, for a trial: drawn by the seed before they are split, with the "
        "shares that classes and given splits have. 0 uses all.",
        least=0,
    )
    near_duplicates: bool = flag(
        True, "Looks for rows that are nearly the same, and warns of those that are in two splits."
    )
    scan: ScanOptions = dataclasses.field(default_factory=ScanOptions)


@dataclasses.dataclass(frozen=True)
class ModelOptions:
    """The network that the run trains."""

    backbone: str = flag(
        "usual",
        "The pretrained network: a name of --list=backbones, 'hub:PRESET' of KerasHub, or a folder"
        " (a KerasHub preset, a Hugging Face checkpoint, or a tltf run folder). usual is "
        "efficientnet_lite0 for images and minilm_l6 for texts. auto tries some on the training rows, as "
        "tltf.advise does, and trains the first; commands that do not train a run take the usual one.",
    )
    backbone_weights: str = flag(
        "default",
        "The backbone's weights: default, none (which starts from random weights) or a weights "
        "file.",
    )
    head: str = flag(
        "classify",
        "The layers on the backbone's features, which predict the labels, such as "
        "'classify(hidden=256, dropout=.1)'; or several on one network, as in 'stars: regress; "
        "topic: classify', named by the columns of their labels. See --list=heads.",
    )
    head_weights: str = flag(
        "",
        "Where the head starts: 'random' weights; 'solved', its optimum on the frozen network, which "
        "takes a head of one dense layer; or a run from whose head classes that it knows keep their "
        "weights, by name. If empty, random.",
    )
    image_size_px: int | None = flag(
        None,
        "The side of the square input image, in pixels; auto is the backbone's own.",
        kind=int,
        least=1,
    )
    text_length: int | None = flag(
        None,
        "Tokens per text; longer texts are cut. auto fits the length to the data.",
        kind=int,
        least=3,
    )


@dataclasses.dataclass(frozen=True)
class RuntimeOptions:
    """The devices and the arithmetic that it runs on."""

    strategy: str = flag(
        "auto",
        "How training is distributed; auto is mirrored where there are several GPUs, else "
        "one_device.",
        choices=("auto", "one_device", "mirrored", "multi_worker", "tpu"),
    )
    precision: str = flag(
        "auto",
        "The number format that the network trains in; heads stay in float32, and so does what is "
        "judged, saved and served. auto is half precision where it was measured to be faster "
        "without being less accurate: on TPUs and newer GPUs, and in linear probes and full "
        "fine-tuning of texts on CPUs that multiply bfloat16, after a short probe.",
        choices=("auto", "float32", "mixed_bfloat16", "mixed_float16"),
    )
    seed: int = flag(
        0, "The seed of splits, new weights, the order of rows, dropout and augmentation.", least=0
    )
    seeds: int = flag(
        1,
        "How many trainings, with the seeds from --seed on, each with splits of its own where the data gives "
        "none: one report with the mean and an interval, and a run folder for each.",
        least=1,
    )
    deterministic: str = flag(
        "auto",
        "Trains the same weights from the same seed, bit for bit, interrupted or not; auto is on "
        "for a CPU and off otherwise.",
        choices=("auto", "on", "off"),
    )
    logical_devices: int = flag(
        1, "The number of logical devices that the CPU is split into.", least=1
    )


@dataclasses.dataclass(frozen=True)
class CacheOptions:
    """How the outputs of frozen layers are kept, so that none is computed twice."""

    cache: bool = flag(True, "Computes frozen layers once per example and keeps the result.")
    cache_views: int = flag(
        0,
        "With --augment, keeps this many augmented views per example and uses them in turn; 0 "
        "computes frozen layers again in every epoch.",
        least=0,
    )
    cache_memory_mb: int = flag(
        1024,
        "Megabytes per split that are kept in memory; the rest goes to the disk.",
        least=0,
    )
    cache_disk_gb: float = flag(
        5.0,
        "Gigabytes that are kept on the disk, below $TLTF_CACHE, for later runs; the oldest are "
        "removed first. 0 keeps none.",
        least=0.0,
    )
    cache_precision: str = flag(
        "float32",
        "The number format of cached features; float16 takes half the space and is less exact.",
        choices=("float32", "float16"),
    )


@dataclasses.dataclass(frozen=True)
class OutputOptions:
    """The files that the run leaves behind."""

    output: str = flag("", "The folder that the run writes.")
    title: str = flag(
        "",
        "The heading of the report; if empty, it is made of the data, the backbone and the method.",
    )
    resume: str = flag(
        "auto",
        "auto continues an unfinished run of the same flags, data and versions; "
        "'batch_size|data|versions' continues it even if those differ; with never the run starts "
        "again from the beginning.",
    )
    overwrite: bool = flag(
        False, "Replaces a finished run in --output; other files in that folder stay."
    )
    checkpoint_minutes: float = flag(
        10.0,
        "Minutes between checkpoints within an epoch; 0 writes them at the end of epochs only.",
        least=0.0,
    )
    baseline: str = flag(
        "auto",
        "Simpler models that the result is compared with, joined with |: logistic (a linear model on "
        "the frozen features; for classes it is logistic regression, and under lp_ft the probe that "
        "it starts from), probe (what --method=probe would train), oracle (the same on the labels of --target_data), classical (no "
        "pretrained network: words of texts, or edges and colours of images), scratch (the same run from "
        "random weights) and without_source (the same run from where the run of --backbone=RUN had begun); or none. auto is logistic under methods that solve for it anyway, or where "
        "a pretrained network has at most 5,000 examples to pass through; else none.",
    )
    explain: str = flag(
        "auto",
        "How the report explains its worst mistakes: auto is grad_cam for images and "
        "integrated_gradients for texts; none; or an entry of --list=explainers.",
    )
    export: bool = flag(True, "Exports the model when the training is done.")
    export_format: str = flag(
        "saved_model", "What --export writes, joined with |. See --list=formats."
    )
    track: str = flag(
        "none",
        "Where the run is also tracked, joined with |: tensorboard, wandb or mlflow; see --list=trackers.",
    )
    quiet: bool = flag(
        False, "Prints no plan and no progress; warnings, errors and the last lines stay."
    )
    dry_run: bool = flag(
        False, "Prints the plan and the table of what would be trained, and trains nothing."
    )

"""Every option of every command: its flag, default, bounds and help, said once.

An options dataclass is a group of flags, or a group of such groups: a field's name is the flag's
name, its metadata the rest. A default of None, written `auto`, asks for the value that fits the
data and the backbone, which tltf.config.defaults chooses and run.flags records.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar, Protocol, TypeVar, cast, overload

from tltf.config.flag_fields import Flag, FlagValue, check, flag
from tltf.errors import FlagError, choices_text


@dataclasses.dataclass(frozen=True)
class ScanOptions:
    """What the scan of labelled examples lets pass."""

    max_bad_fraction: float = flag(
        0.01,
        "Largest share of unusable rows or files that is skipped before the run stops.",
        least=0.0,
        most=1.0,
    )
    allow_empty_classes: bool = flag(
        False,
        "Classes without a usable row are left out with a warning instead of stopping the run.",
    )
    follow_links: bool = flag(False, "Follows links that lead out of the data folder.")
    unknown_classes: str = flag(
        "refuse",
        "What to do with rows of classes that are not in the training split: refuse stops the run, skip leaves them out.",
        choices=("refuse", "skip"),
    )
    strict: bool = flag(
        False,
        "Stops the run where the same content is in two splits; otherwise it stays in the later one.",
    )
    skip_bad_shards: bool = flag(
        False, "Reads a damaged TFRecord file up to the damage and goes on with the next file."
    )


@dataclasses.dataclass(frozen=True)
class DataOptions:
    """What is learned from."""

    data: str = flag(
        "",
        "The labelled examples: a call string, e.g. 'image_folder(path=DIR)', "
        "'csv(path=all.csv, text=text, label=label)', 'vader(domain=movie)'. See --list=sources.",
    )
    split: str = flag(
        "holdout",
        "How examples are split: 'holdout(test=.2, validation=.1)', "
        "'kfold(folds=5, fold=0)' or 'given'. Splits that the data gives are kept.",
    )
    augment: str = flag(
        "",
        "Random changes of training inputs, joined with |, e.g. 'flip|randaugment|mixup(alpha=.2)'.",
    )
    near_duplicates: bool = flag(
        True, "Looks for rows that are nearly the same, and warns of those in two splits."
    )
    scan: ScanOptions = dataclasses.field(default_factory=ScanOptions)


@dataclasses.dataclass(frozen=True)
class ModelOptions:
    """What is trained."""

    backbone: str = flag(
        "",
        "The pretrained network: a name of --list=backbones, 'hub:PRESET' of KerasHub, a folder "
        "(KerasHub preset, Hugging Face checkpoint, or a tltf run folder).",
    )
    backbone_weights: str = flag(
        "default", "The backbone's weights: default, none (random) or a weights file."
    )
    head: str = flag(
        "classify",
        "What stands on the backbone's features, e.g. 'classify(hidden=256, dropout=.1)'.",
    )
    image_size_px: int | None = flag(
        None, "Side of the square input image; auto: the backbone's own.", kind=int, least=1
    )
    text_length: int | None = flag(
        None, "Tokens per text; longer texts are cut; auto: fits the data.", kind=int, least=3
    )


@dataclasses.dataclass(frozen=True)
class TrainOptions:
    """How it is trained."""

    method: str = flag(
        "auto",
        "Transfer method, e.g. linear_probe, 'partial(last_groups=2)', full, scratch; "
        "auto chooses by data size.",
    )
    train_epochs: int | None = flag(
        None, "Passes over the training split; auto: by method and data size.", kind=int, least=1
    )
    batch_size: int | None = flag(
        None, "Examples per step, over all devices together; auto: by method.", kind=int, least=1
    )
    eval_batch_size: int | None = flag(
        None, "Examples per step of evaluation and prediction; auto: 128.", kind=int, least=1
    )
    optimizer: str = flag(
        "auto", "auto: adam for images, adamw for text.", choices=("auto", "adam", "adamw", "sgd")
    )
    learning_rate: float | None = flag(
        None, "Peak learning rate; auto: by method and family.", kind=float, above=0.0
    )
    momentum: float = flag(0.9, "Momentum of the sgd optimizer.", least=0.0, below=1.0)
    adam_beta_1: float = flag(0.9, "First moment's decay of adam and adamw.", least=0.0, below=1.0)
    adam_beta_2: float = flag(
        0.999, "Second moment's decay of adam and adamw.", least=0.0, below=1.0
    )
    adam_epsilon: float = flag(1e-7, "Added to the denominator of adam and adamw.", above=0.0)
    weight_decay: float | None = flag(
        None,
        "Decoupled weight decay, never of biases and normalisations; auto: 0.01 for adamw (1 for its linear probe), else 0.",
        kind=float,
        least=0.0,
    )
    clipnorm: float = flag(
        0.0,
        "Largest norm of each variable's gradient, over all devices together; 0: no limit.",
        least=0.0,
    )
    global_clipnorm: float = flag(
        0.0, "Largest norm of all gradients together, over all devices; 0: no limit.", least=0.0
    )
    schedule: str = flag(
        "auto",
        "How the learning rate changes over the steps; auto: cosine for images, linear for text.",
        choices=("auto", "constant", "linear", "cosine", "one_cycle", "plateau"),
    )
    warmup_fraction: float | None = flag(
        None,
        "Share of the steps with a rising rate; auto: .3 for one_cycle, .1 for a pretrained text backbone, else 0.",
        kind=float,
        least=0.0,
        below=1.0,
    )
    loss: str = flag(
        "cross_entropy",
        "Training loss; focal: cross-entropy times (1 - p)^focal_gamma.",
        choices=("cross_entropy", "focal"),
    )
    focal_gamma: float = flag(
        2.0,
        "Exponent of the focal loss: the larger, the less examples count that are already right.",
        least=0.0,
    )
    label_smoothing: float = flag(
        0.0, "Share of each target that is spread over all classes.", least=0.0, below=1.0
    )
    class_weights: str = flag(
        "none",
        "Weights of the classes in the loss. balanced: n / (classes * n of the class); effective: by effective numbers. "
        "The epoch and the penalty are still chosen by the head's unweighted metric on validation.",
        choices=("none", "balanced", "effective"),
    )
    backbone_dropout: float | None = flag(
        None,
        "Rate of the backbone's own dropout; auto: as it was pretrained.",
        kind=float,
        least=0.0,
        below=1.0,
    )
    stochastic_depth: float | None = flag(
        None,
        "Rate at which the last residual branch is skipped, lower branches less often; auto: as it was pretrained.",
        kind=float,
        least=0.0,
        below=1.0,
    )
    sampling: str = flag(
        "none",
        "balanced: every class is drawn equally often, rows with replacement. "
        "The epoch and the penalty are still chosen by the head's unweighted metric on validation.",
        choices=("none", "balanced"),
    )
    norm: str = flag(
        "auto",
        "Batch norms that the method trains: train, frozen (statistics and weights), or recalibrate: "
        "train, then statistics anew over the training split.",
        choices=("auto", "train", "frozen", "recalibrate"),
    )
    ema_decay: float = flag(
        0.0,
        "Keeps the moving average of the weights, with this decay per step; 0: off. It starts at the first step's weights, which keep a share of decay^steps; batch-norm statistics are not averaged.",
        least=0.0,
        below=1.0,
    )
    early_stopping_epochs: int = flag(
        0, "Stops after so many epochs without a better validation result; 0: never.", least=0
    )
    watch_test: bool = flag(
        False,
        "Measures the test split after every epoch too, for the curves; nothing is chosen by it.",
    )
    keep: str = flag(
        "auto",
        "Weights that the run ends with; auto: best on validation, last without one.",
        choices=("auto", "best", "last"),
    )


@dataclasses.dataclass(frozen=True)
class RuntimeOptions:
    """What it runs on."""

    strategy: str = flag(
        "auto",
        "Distribution; auto: mirrored over all GPUs, else one device.",
        choices=("auto", "one_device", "mirrored", "multi_worker", "tpu"),
    )
    precision: str = flag(
        "float32",
        "Precision of the layers' arithmetic; heads stay float32.",
        choices=("float32", "mixed_bfloat16", "mixed_float16"),
    )
    seed: int = flag(0, "Decides splits, new weights, order, dropout and augmentation.", least=0)
    deterministic: str = flag(
        "auto",
        "Trains the same weights from the same seed, bit for bit, interrupted or not; "
        "auto: on a CPU.",
        choices=("auto", "on", "off"),
    )
    logical_devices: int = flag(1, "Splits the CPU into so many logical devices.", least=1)


@dataclasses.dataclass(frozen=True)
class CacheOptions:
    """How the outputs of frozen layers are kept, so that none is computed twice."""

    cache: bool = flag(True, "Computes frozen layers once per example and keeps the result.")
    cache_views: int = flag(
        0,
        "With --augment: keeps so many augmented views per example and uses them in turn; 0: frozen "
        "layers are computed again in every epoch.",
        least=0,
    )
    cache_memory_mb: int = flag(
        1024,
        "Megabytes per split that are kept in memory; what is beyond goes to the disk.",
        least=0,
    )
    cache_disk_gb: float = flag(
        5.0,
        "Gigabytes that are kept on the disk, below $TLTF_CACHE, for later runs; the oldest go first; 0: none.",
        least=0.0,
    )
    cache_precision: str = flag(
        "float32",
        "Precision of what is kept; float16 takes half the space and rounds.",
        choices=("float32", "float16"),
    )


@dataclasses.dataclass(frozen=True)
class OutputOptions:
    """What it leaves behind."""

    output: str = flag("", "The folder that the run writes.")
    resume: str = flag(
        "auto",
        "auto goes on with an unfinished run of the same flags, data and versions; "
        "'batch_size|data|versions' goes on though those differ; never starts anew.",
    )
    overwrite: bool = flag(
        False, "Replaces a finished run in --output; other files in that folder stay."
    )
    checkpoint_minutes: float = flag(
        10.0,
        "Minutes between checkpoints within an epoch; 0: at the end of epochs only.",
        least=0.0,
    )
    baseline: str = flag(
        "",
        "Baselines that are measured beside the result, joined with |: logistic (regression on frozen features), "
        "scratch (the same run from random weights).",
    )
    export: bool = flag(True, "Exports a SavedModel when the training is done.")
    tensorboard: bool = flag(False, "Writes TensorBoard logs to RUN/tensorboard.")
    dry_run: bool = flag(
        False, "Prints the plan and the table of what would be trained, and trains nothing."
    )


@dataclasses.dataclass(frozen=True)
class Options:
    """All that a training run is told."""

    data: DataOptions = dataclasses.field(default_factory=DataOptions)
    model: ModelOptions = dataclasses.field(default_factory=ModelOptions)
    train: TrainOptions = dataclasses.field(default_factory=TrainOptions)
    runtime: RuntimeOptions = dataclasses.field(default_factory=RuntimeOptions)
    cache: CacheOptions = dataclasses.field(default_factory=CacheOptions)
    output: OutputOptions = dataclasses.field(default_factory=OutputOptions)


class OptionsGroup(Protocol):
    """Any options dataclass."""

    __dataclass_fields__: ClassVar[dict[str, dataclasses.Field[Any]]]


AnyOptions = TypeVar("AnyOptions", bound=OptionsGroup)


def flags_of(kind: type[OptionsGroup]) -> dict[str, Flag]:
    """Name -> Flag for each flag of an options dataclass."""
    flags: dict[str, Flag] = {}
    for field in dataclasses.fields(kind):
        if "flag" in field.metadata:
            flags[field.name] = field.metadata["flag"]
        else:
            flags |= flags_of(_group_of(field))
    return flags


@overload
def make(**values: FlagValue) -> Options: ...


@overload
def make(kind: type[AnyOptions], /, **values: FlagValue) -> AnyOptions: ...


def make(kind: type = Options, /, **values: FlagValue) -> object:
    """Options from flag names and values; the same checks as on the command line.

    Raises:
        FlagError: an unknown name, or a value of the wrong type or out of bounds.
    """
    flags = flags_of(kind)
    for name, value in values.items():
        if name not in flags:
            choices = choices_text(name, flags)
            raise FlagError(f"there is no flag {name!r} (choices: {choices})", flag=name)
        check(name, value, flags[name])
    return _assemble(kind, values)


def replace(options: AnyOptions, **values: FlagValue) -> AnyOptions:
    """A copy of `options` with other values, named by flag."""
    return make(type(options), **{**flat(options), **values})


def flat(options: OptionsGroup) -> dict[str, FlagValue]:
    """Flag name -> value."""
    result: dict[str, FlagValue] = {}
    for field in dataclasses.fields(options):
        value = getattr(options, field.name)
        result.update({field.name: value} if "flag" in field.metadata else flat(value))
    return result


def _assemble(kind: type[AnyOptions], values: Mapping[str, FlagValue]) -> AnyOptions:
    arguments: dict[str, Any] = {}
    for field in dataclasses.fields(kind):
        if "flag" not in field.metadata:
            arguments[field.name] = _assemble(_group_of(field), values)
        elif field.name in values:
            value = values[field.name]
            kind_of_value = field.metadata["flag"].kind
            arguments[field.name] = value if value is None else kind_of_value(value)
    return kind(**arguments)


def _group_of(field: dataclasses.Field[Any]) -> type[OptionsGroup]:
    """The options dataclass that a field without a flag holds."""
    return cast(type[OptionsGroup], field.default_factory)

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
        "'csv(path=all.csv, text=text, label=label)' or 'vader(domain=movie)', see --list=sources; or "
        "the path of a table or of a folder with a folder of pictures per class.",
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
        "auto",
        "The pretrained network: a name of --list=backbones, 'hub:PRESET' of KerasHub, or a folder"
        " (a KerasHub preset, a Hugging Face checkpoint, or a tltf run folder). auto is "
        "efficientnet_lite0 for images and minilm_l6 for texts.",
    )
    backbone_weights: str = flag(
        "default",
        "The backbone's weights: default, none (which starts from random weights) or a weights "
        "file.",
    )
    head: str = flag(
        "classify",
        "The layers on the backbone's features, which predict the labels, such as "
        "'classify(hidden=256, dropout=.1)'. See --list=heads.",
    )
    head_weights: str = flag(
        "",
        "A run from whose head the head starts: classes that the run knows keep their weights, by "
        "name. If empty, it starts from random weights.",
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
class TrainOptions:
    """The way in which the network is trained."""

    method: str = flag(
        "auto",
        "The transfer method, such as linear_probe, 'partial(last_groups=2)', full or scratch; "
        "auto chooses one by the amount of data. See --list=methods.",
    )
    train_epochs: int | None = flag(
        None,
        "Passes over the training split; auto depends on the method and the amount of data.",
        kind=int,
        least=1,
    )
    batch_size: int | None = flag(
        None,
        "Examples per step, over all devices together; auto depends on the method.",
        kind=int,
        least=1,
    )
    eval_batch_size: int | None = flag(
        None, "Examples per step of evaluation and prediction; auto is 128.", kind=int, least=1
    )
    optimizer: str = flag(
        "auto",
        "The optimizer; auto is adam for images and adamw for text.",
        choices=("auto", "adam", "adamw", "sgd"),
    )
    learning_rate: float | None = flag(
        None,
        "The peak learning rate; auto depends on the method and on whether the backbone takes "
        "images or text.",
        kind=float,
        above=0.0,
    )
    momentum: float = flag(0.9, "The momentum of the sgd optimizer.", least=0.0, below=1.0)
    adam_beta_1: float = flag(
        0.9, "The decay of the first moment in adam and adamw.", least=0.0, below=1.0
    )
    adam_beta_2: float = flag(
        0.999, "The decay of the second moment in adam and adamw.", least=0.0, below=1.0
    )
    adam_epsilon: float = flag(
        1e-7, "The number that adam and adamw add to the denominator.", above=0.0
    )
    weight_decay: float | None = flag(
        None,
        "Decoupled weight decay, which spares biases and normalisations; auto is 0.01 for adamw (1"
        " for a linear probe of text), else 0.",
        kind=float,
        least=0.0,
    )
    clipnorm: float = flag(
        0.0,
        "The largest norm of each variable's gradient, over all devices together; 0 sets no limit.",
        least=0.0,
    )
    global_clipnorm: float = flag(
        0.0,
        "The largest norm of all gradients together, over all devices; 0 sets no limit.",
        least=0.0,
    )
    schedule: str = flag(
        "auto",
        "How the learning rate changes over the steps; auto is cosine for images and linear for "
        "text.",
        choices=("auto", "constant", "linear", "cosine", "one_cycle", "plateau"),
    )
    warmup_fraction: float | None = flag(
        None,
        "The share of the steps in which the learning rate rises; auto is .3 for one_cycle, .1 for"
        " a pretrained text backbone, else 0.",
        kind=float,
        least=0.0,
        below=1.0,
    )
    loss: str = flag(
        "cross_entropy",
        "The training loss; focal is cross-entropy times (1 - p)^focal_gamma.",
        choices=("cross_entropy", "focal"),
    )
    focal_gamma: float = flag(
        2.0,
        "The exponent of the focal loss; the larger it is, the less those examples count that the "
        "model already gets right.",
        least=0.0,
    )
    label_smoothing: float = flag(
        0.0, "The share of each target that is spread over all classes.", least=0.0, below=1.0
    )
    class_weights: str = flag(
        "none",
        "The weights of the classes in the loss: balanced is n / (classes * n of the class), "
        "effective is by effective numbers. The epoch and the penalty are still chosen by the "
        "head's unweighted metric on validation.",
        choices=("none", "balanced", "effective"),
    )
    backbone_dropout: float | None = flag(
        None,
        "The rate of the backbone's own dropout; auto keeps the rate that it was pretrained with.",
        kind=float,
        least=0.0,
        below=1.0,
    )
    stochastic_depth: float | None = flag(
        None,
        "The chance that training skips the last residual block; earlier blocks are skipped less "
        "often, in proportion to their depth. auto keeps the rate that the backbone was pretrained with.",
        kind=float,
        least=0.0,
        below=1.0,
    )
    sampling: str = flag(
        "none",
        "How training rows are drawn: balanced draws every class equally often, with replacement. "
        "The epoch and the penalty are still chosen by the head's unweighted metric on validation.",
        choices=("none", "balanced"),
    )
    norm: str = flag(
        "auto",
        "What the method does with the batch norms that it trains: train; frozen, which keeps "
        "statistics and weights; or recalibrate, which trains and then computes the statistics "
        "again over the training split.",
        choices=("auto", "train", "frozen", "recalibrate"),
    )
    ema_decay: float = flag(
        0.0,
        "Keeps the moving average of the weights, with this decay per step; 0 keeps none. The "
        "average starts at the first step's weights, which keep a share of decay^steps; batch-norm"
        " statistics are not averaged.",
        least=0.0,
        below=1.0,
    )
    early_stopping_epochs: int = flag(
        0,
        "Stops after this many epochs without a better validation result; 0 never stops early.",
        least=0,
    )
    watch_test: bool = flag(
        False,
        "Also measures the test split after every epoch, for the curves; it is not used for any "
        "choice.",
    )
    metric: str = flag(
        "auto",
        "What the best epoch, early stopping and the choices of a method are judged by on validation: "
        "auto is the head's own metric (accuracy for classes); macro_f1 counts every class the same, "
        "however rare it is; loss is the validation loss. The penalty of a head that is solved for is "
        "always chosen by accuracy.",
        choices=("auto", "loss", "macro_f1"),
    )
    keep: str = flag(
        "auto",
        "The weights that the run ends with; auto is the best by validation, or the last where "
        "there is no validation split.",
        choices=("auto", "best", "last"),
    )
    calibrate: str = flag(
        "auto",
        "How probabilities are made believable after the training: temperature divides the model's "
        "logits by a number, or by one per label, that is fitted on the validation split; answers "
        "stay the same. auto does so where there are 100 validation rows or more and "
        "cross-validation over them finds a lower loss; none leaves probabilities as they are.",
        choices=("auto", "temperature", "none"),
    )
    abstain: str = flag(
        "none",
        "When the model says that it is not sure of a class, with a threshold that is chosen on the "
        "validation split, such as 'coverage(.9)', 'accuracy(.95)' or 'conformal(.1)'; none answers "
        "every row. See --list=abstentions.",
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
        "it starts from), probe (what --method=probe would train) and scratch (the same run from "
        "random weights); or none. auto is logistic under methods that solve for it anyway, or where "
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

"""What `auto` means: values that fit the modality, the method and the amount of data.

The numbers were chosen on validation splits of the packaged samples; tools/results.py prints
what they reach on the test splits. This module is free of TensorFlow.
"""

import dataclasses
import warnings

from tltf.config import call_strings
from tltf.config.call_strings import Call
from tltf.config.catalogs import METHODS, MethodRow
from tltf.config.flag_fields import FlagValue
from tltf.config.options import Options, replace
from tltf.config.paths import SOLVED
from tltf.config.train_options import TrainOptions
from tltf.errors import FlagError

BACKBONES = {"image": "efficientnet_lite0", "text": "minilm_l6"}
"""Modality -> the network that is fast on a CPU and comes as a package, without a download of its own."""
FEW_PER_CLASS = 20
"""Labels per class below which a head that starts at random is only probed."""
FEWEST_PER_CLASS = 4
"""Labels per class up to which a head that can be solved for is only probed."""
FEW_TO_TELL = 50
"""Labels per class below which the network is mixed with its start, as validation rows are too few to choose."""
MIXED = "wise_ft(solver=light, choice=mean)"
"""What `auto` takes with so few labels."""
MOST_SOLVED = 50_000
"""Most rows for which `auto` solves for the head: a solver holds the features of all in memory."""
FOR_TARGET = "probe"
"""What `auto` takes where --target_data is given: the source alone, which no method that learns from rows of the
target is known to beat in general."""
AFTER_SOLVED = 0.1
"""The share of the steps in which the rate rises after a solved head; chosen with tools/starts.py."""
SEVERAL_HEADS_RATE = 2.0
"""The factor on the usual rate of methods that train a network of texts, where it has several heads: a step on the sum
of several losses moves less for each of them. Chosen with two tasks (tools/several_tasks.py)."""
MOST_COMPARED = 5_000
"""Most examples that `auto` passes through a frozen network for the sake of a baseline alone."""


@dataclasses.dataclass(frozen=True)
class Situation:
    """What the defaults depend on.

    Args:
        modality: `image` or `text`.
        num_train: training examples.
        num_classes: classes or labels; 0 for a number.
        is_pretrained: whether the backbone has pretrained weights.
        has_validation: whether there is a validation split.
        num_replicas: devices that share a batch.
        is_solvable: whether a solver can find the head's optimum, as `lp_ft` has it.
        num_examples: examples of all splits together.
        has_test: whether there is a test split.
        has_oracle: whether rows of a target have classes as labels, which a baseline may learn from.
        num_unlabelled: rows without labels, or of a target where there are none.
        has_unlabelled: whether these are rows of --unlabelled_data.
        has_several_heads: whether several heads are trained on one network.
        has_target: whether rows of a target are given.
    """

    modality: str
    num_train: int
    num_classes: int
    is_pretrained: bool
    has_validation: bool
    num_replicas: int = 1
    is_solvable: bool = True
    num_examples: int = 0
    has_test: bool = True
    has_oracle: bool = False
    num_unlabelled: int = 0
    has_unlabelled: bool = False
    has_several_heads: bool = False
    has_target: bool = False


@dataclasses.dataclass(frozen=True)
class MethodDefaults:
    """What the options of a kind of method are where they are `auto`.

    Args:
        optimizer: of --optimizer.
        schedule: of --schedule.
        warmup_fraction: of --warmup_fraction, where the schedule is not `one_cycle`.
        learning_rate: of --learning_rate.
        steps: about how many steps the training takes.
        epochs: the fewest and the most passes over the training split.
        batch_size: examples per step.
        weight_decay: of adamw.
    """

    optimizer: str
    schedule: str
    warmup_fraction: float
    learning_rate: float
    steps: int
    epochs: tuple[int, int]
    batch_size: int = 32
    weight_decay: float = 0.01


def resolve(options: Options, situation: Situation, method: Call[MethodRow]) -> Options:
    """`options` with every `auto` replaced.

    Args:
        options: Options.
        situation: Situation.
        method: what `choose_method` gives.
    """
    train = options.train
    usual = _defaults_of(method, situation.modality, situation.is_pretrained)
    optimizer = usual.optimizer if train.optimizer == "auto" else train.optimizer
    schedule = _schedule(train, usual)
    num_rows, passes = _rows_of_epoch(method, situation), method.row.passes if method.row else 1
    batch_size = _batch_size(train.batch_size, usual.batch_size, num_rows, situation)
    _check(train, situation)
    warmup = _warmup_fraction(usual, schedule, options.model.head_weights == SOLVED)
    chosen: dict[str, FlagValue] = {
        "method": method.text,
        "optimizer": optimizer,
        "batch_size": batch_size,
        "eval_batch_size": train.eval_batch_size or 128,
        "train_epochs": train.train_epochs or _epochs(usual, passes * num_rows, batch_size),
        "schedule": schedule,
        "norm": _norm(train.norm, method, situation),
        "keep": _keep(train.keep, method, situation),
        "learning_rate": _either(train.learning_rate, _rate_for(usual, method, situation)),
        "warmup_fraction": _either(train.warmup_fraction, warmup),
        "weight_decay": _either(train.weight_decay, _weight_decay(usual, optimizer, method)),
        "baseline": _baseline(options.output.baseline, method, situation),
    }
    return replace(options, **chosen)


def usual_backbone(modality: str) -> str:
    """The backbone that fits data of a modality."""
    return BACKBONES[modality]


def choose_method(method: Call[MethodRow] | None, situation: Situation) -> Call[MethodRow]:
    """The method's call; where `method` is None, which is `auto`, that of the method that fits.

    That is `lp_ft`, which was the best at every number of labels that was measured:
    tools/label_budgets.py compares it with plain fine-tuning and logistic regression, from 10 to
    500 labels per class. Below FEW_TO_TELL it is MIXED: tools/few_label_choice.py. Up to FEWEST_PER_CLASS it is `probe`, or `label_propagation` for images beside rows
    without labels: tools/few_shot_methods.py and tools/semi_supervised.py. A head that cannot be solved for would start at random, and few labels
    cannot teach it without spoiling the network, so it is `linear_probe` below FEW_PER_CLASS labels
    per class, and `full` above. The same holds for more than MOST_SOLVED rows. A network without
    pretrained weights is trained in full, by `scratch`. With rows of a target it is FOR_TARGET, a tuned
    light head of the source alone, with which tools/domain_adaptation.py compares the methods that learn from them.
    """
    if method is not None:
        return method
    return call_strings.pick(METHODS, _auto_method(situation), "method")


def pick_method(text: str) -> Call[MethodRow]:
    """The call of --method, which is not `auto`.

    Raises:
        FlagError: it does not exist.
    """
    return call_strings.pick(METHODS, text, "method")


def why_method(situation: Situation) -> str:
    """Why `auto` takes the method that it takes."""
    name = _auto_method(situation)
    if name == "scratch":
        return "the network has random weights"
    if situation.has_target and name == FOR_TARGET:
        return (
            "the source alone, as methods that learn from --target_data are not better in general; "
            "--method=align and others try"
        )
    if situation.num_train > MOST_SOLVED:
        labels = f"{situation.num_train:,} training examples"
    elif situation.num_classes > 1:
        labels = f"{round(situation.num_train / situation.num_classes):,} labels per class"
    else:
        labels = f"{situation.num_train:,} labels"
    if name == "label_propagation":
        return f"{labels}, and {situation.num_unlabelled:,} rows without labels"
    if situation.is_solvable and name in ("lp_ft", "probe", MIXED):
        return labels
    why = "too many to solve for the head" if situation.is_solvable else "a head without a solver"
    return f"{labels}, {why}"


def _auto_method(situation: Situation) -> str:
    if not situation.is_pretrained:
        return "scratch"
    if situation.is_solvable and situation.num_train <= MOST_SOLVED:
        if situation.has_target:
            return FOR_TARGET
        if situation.num_train > FEWEST_PER_CLASS * situation.num_classes:
            is_told = situation.num_train >= FEW_TO_TELL * situation.num_classes
            return "lp_ft" if is_told or situation.has_several_heads else MIXED
        spreads = situation.has_unlabelled and situation.modality == "image"
        return "label_propagation" if spreads else "probe"
    few = situation.num_train < FEW_PER_CLASS * max(situation.num_classes, 2)
    return "linear_probe" if few else "full"


def _rows_of_epoch(method: Call[MethodRow], situation: Situation) -> int:
    """The rows that an epoch passes over, for which training rows may be repeated."""
    if _kind(method) == "semi_supervised":
        return max(situation.num_train, situation.num_unlabelled)
    return situation.num_train


def _batch_size(given: int | None, usual: int, num_rows: int, situation: Situation) -> int:
    """`given` or `usual`, but no more than an epoch has rows, in a number that the devices can share.

    Warns where another number was given.
    """
    replicas = situation.num_replicas
    most = max(num_rows // replicas * replicas, replicas)
    if given and given > most:
        warnings.warn(
            f"--batch_size={given} is more than the training split can fill, so {most} is used",
            stacklevel=2,
        )
    return min(given or usual, most)


def _check(train: TrainOptions, situation: Situation) -> None:
    if train.sampling == "balanced" and train.class_weights != "none":
        what = (
            "--sampling=balanced draws the classes equally often already, so that weights would "
            "balance them twice"
        )
        raise FlagError(what, flag="class_weights", fix="--class_weights=none, or --sampling=none")
    if train.snapshots and train.schedule not in ("auto", "cosine"):
        what = "makes the rate fall several times as half a cosine, in place of --schedule"
        raise FlagError(what, flag="snapshots", fix="--schedule=auto, or --snapshots=0")
    if train.snapshots and (train.early_stopping_epochs or train.stop_when_learned):
        what = "trains to the end of each fall, where the rate is 0, and nothing may end it before"
        fix = "--early_stopping_epochs=0 --nostop_when_learned, or --snapshots=0"
        raise FlagError(what, flag="snapshots", fix=fix)
    if situation.has_validation:
        return
    for name, is_on in {
        "keep": train.keep == "best",
        "early_stopping_epochs": train.early_stopping_epochs > 0,
    }.items():
        if is_on:
            what = "needs a validation split, and the data has none"
            raise FlagError(what, flag=name, fix="--split='holdout(validation=.1)'")


def _schedule(train: TrainOptions, usual: MethodDefaults) -> str:
    chosen = "cosine" if train.snapshots else usual.schedule
    return chosen if train.schedule == "auto" else train.schedule


def _warmup_fraction(usual: MethodDefaults, schedule: str, begins_solved: bool) -> float:
    """The share of steps in which the rate rises: without it the first ones after a solved head spoil the network."""
    if schedule == "one_cycle":
        return 0.3
    return max(usual.warmup_fraction, AFTER_SOLVED) if begins_solved else usual.warmup_fraction


def _weight_decay(usual: MethodDefaults, optimizer: str, method: Call[MethodRow]) -> float:
    """A method whose loss already shrinks weights, or holds them, takes the place of the decay."""
    if method.row and method.row.replaces_weight_decay:
        return 0.0
    return usual.weight_decay if optimizer == "adamw" else 0.0


def _rate_for(usual: MethodDefaults, method: Call[MethodRow], situation: Situation) -> float:
    is_shared = situation.has_several_heads and situation.modality == "text"
    is_shared = is_shared and _kind(method) in ("fine_tune", "solved", "light_start")
    return usual.learning_rate * (SEVERAL_HEADS_RATE if is_shared else 1.0)


def _either(given: float | None, otherwise: float) -> float:
    return otherwise if given is None else given


def _norm(norm: str, method: Call[MethodRow], situation: Situation) -> str:
    """Batch norms of pretrained networks keep their statistics but where few other weights are trained.

    A head that was solved for needs the statistics under which its features were computed; networks that are
    fine-tuned as a whole are as good with them and better under shift.
    """
    if norm != "auto":
        return norm
    row, is_frozen = method.row, _kind(method) in FROZEN_NORMS
    if row and row.defaults == "fine_tune":
        is_frozen = situation.is_pretrained and not row.trains_norms
    return "frozen" if is_frozen else "train"


def solves_first(method: Call[MethodRow]) -> bool:
    """Whether a method solves for the head on frozen features before it trains anything else."""
    is_solved = method.kwargs.get("solver") in ("lbfgs", "light")
    return is_solved and _kind(method) in ("solved", "light_start")


def _baseline(baseline: str, method: Call[MethodRow], situation: Situation) -> str:
    """The linear model, where it costs little and is not what the method trains.

    For a method that reads a target whose labels are known, it is the light head of the source, beside
    which transfer that harms shows, and that of the target.
    """
    if baseline != "auto":
        return baseline
    is_linear = _kind(method) == "linear_probe" and method.kwargs.get("solver") == "lbfgs"
    if not situation.has_test or not situation.is_pretrained or is_linear:
        return "none"
    if situation.has_oracle and method.row and "target" in method.row.reads:
        return "probe|oracle"
    if situation.has_oracle and situation.has_target and method.name == FOR_TARGET:
        return "oracle"
    is_cheap = solves_first(method) or situation.num_examples <= MOST_COMPARED
    return "logistic" if is_cheap else "none"


def _keep(keep: str, method: Call[MethodRow], situation: Situation) -> str:
    """The best epoch, unless validation rows are too few to tell: a light start is for few rows."""
    if keep != "auto":
        return keep
    is_told = situation.has_validation and _kind(method) != "light_start"
    return "best" if is_told else "last"


MODALITIES = ("image", "text")
FROZEN_NORMS = (
    "solved",
    "light_start",
    "linear_probe",
    "contrast",
    "two_domains",
    "semi_supervised",
)
"""Kinds of methods under which batch norms keep their statistics."""


def _image(rate: float, steps: int, epochs: tuple[int, int]) -> MethodDefaults:
    return MethodDefaults("adam", "cosine", 0.0, rate, steps, epochs)


def _text(
    rate: float, steps: int, epochs: tuple[int, int], weight_decay: float = 0.01
) -> MethodDefaults:
    return MethodDefaults("adamw", "linear", 0.1, rate, steps, epochs, weight_decay=weight_decay)


_DEFAULTS = {
    ("image", "linear_probe"): _image(3e-3, 600, (5, 40)),
    ("image", "fine_tune"): _image(3e-4, 300, (5, 40)),
    ("image", "solved"): MethodDefaults("adam", "cosine", AFTER_SOLVED, 3e-4, 300, (5, 40)),
    ("image", "light_start"): MethodDefaults("adam", "cosine", 0.1, 3e-4, 300, (5, 12)),
    ("image", "scratch"): _image(1e-3, 1500, (10, 60)),
    ("image", "contrast"): _image(1e-4, 50, (1, 50)),
    ("image", "light"): _image(3e-3, 300, (5, 40)),
    ("image", "two_domains"): MethodDefaults("adam", "cosine", 0.0, 1e-3, 800, (10, 60), 64),
    ("text", "two_domains"): MethodDefaults("adam", "cosine", 0.0, 1e-3, 800, (10, 60), 64),
    ("image", "semi_supervised"): MethodDefaults("adam", "cosine", 0.0, 1e-3, 800, (2, 60), 64),
    ("text", "semi_supervised"): MethodDefaults("adam", "cosine", 0.0, 1e-3, 800, (2, 60), 64),
    ("text", "linear_probe"): _text(1e-2, 625, (5, 40), weight_decay=1.0),
    ("text", "fine_tune"): _text(5e-5, 200, (3, 20)),
    ("text", "solved"): _text(5e-5, 200, (3, 20)),
    ("text", "light_start"): _text(5e-5, 200, (3, 20)),
    ("text", "contrast"): _text(5e-5, 50, (1, 50)),
    ("text", "light"): _text(3e-3, 200, (3, 20)),
    ("text", "scratch"): _text(1e-4, 600, (5, 30)),
}
"""(modality, `MethodRow.defaults`) -> MethodDefaults."""


def usual_rate(method: str | Call[MethodRow], modality: str, is_pretrained: bool) -> float:
    """The learning rate that --learning_rate=auto takes for a method and a network."""
    call = call_strings.pick(METHODS, method, "method")
    return _defaults_of(call, modality, is_pretrained).learning_rate


def _defaults_of(method: Call[MethodRow], modality: str, is_pretrained: bool) -> MethodDefaults:
    kind = _kind(method)
    if method.row and not is_pretrained and kind != "linear_probe":
        kind = "scratch"
    return _DEFAULTS[modality, kind]


def _kind(method: Call[MethodRow]) -> str:
    """The defaults that a method takes; code from outside takes those of fine-tuning."""
    if method.row is None:
        return "fine_tune"
    is_light = method.row.defaults == "solved" and method.kwargs.get("solver") == "light"
    return "light_start" if is_light else method.row.defaults


def _epochs(usual: MethodDefaults, num_rows: int, batch_size: int) -> int:
    least, most = usual.epochs
    return min(max(round(usual.steps * batch_size / num_rows), least), most)

"""What `auto` means: values that fit the modality, the method and the amount of data.

The numbers were chosen on validation splits of the packaged samples; tools/results.py prints
what they reach on the test splits. Free of TensorFlow.
"""

import dataclasses
import warnings
from typing import Any

from tltf.config import call_strings
from tltf.config.call_strings import Call
from tltf.config.catalogs import METHODS, MethodRow
from tltf.config.options import Options, TrainOptions, replace
from tltf.errors import FlagError

FEW_PER_CLASS = 20
MOST_SOLVED = 50_000
"""Rows above which `auto` solves for no head: a solver holds the features of all in memory."""


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
    """

    modality: str
    num_train: int
    num_classes: int
    is_pretrained: bool
    has_validation: bool
    num_replicas: int = 1
    is_solvable: bool = True


def resolve(options: Options, situation: Situation, method: Call[MethodRow]) -> Options:
    """`options` with every `auto` replaced.

    Args:
        options: Options.
        situation: Situation.
        method: what `choose_method` gives.
    """
    train = options.train
    usual = _defaults_of(method, situation.modality, situation.is_pretrained)
    optimizer = usual["optimizer"] if train.optimizer == "auto" else train.optimizer
    schedule = usual["schedule"] if train.schedule == "auto" else train.schedule
    batch_size = _batch_size(train.batch_size or usual["batch_size"], situation)
    _check(train, situation)
    chosen = {
        "method": method.text,
        "optimizer": optimizer,
        "batch_size": batch_size,
        "eval_batch_size": train.eval_batch_size or 128,
        "train_epochs": train.train_epochs or _epochs(usual, situation.num_train, batch_size),
        "schedule": schedule,
        "norm": _norm(train.norm, method),
        "keep": _keep(train.keep, situation),
        "learning_rate": _either(train.learning_rate, usual["learning_rate"]),
        "warmup_fraction": _either(train.warmup_fraction, _warmup_fraction(usual, schedule)),
        "weight_decay": _either(train.weight_decay, _weight_decay(usual, optimizer, method)),
    }
    return replace(options, **chosen)


def choose_method(method: Call[MethodRow] | None, situation: Situation) -> Call[MethodRow]:
    """The method's call; `auto`, None here, is `lp_ft`, the best at every number of labels measured.

    tools/label_budgets.py compares it with plain fine-tuning and logistic regression, from 10 to
    500 labels per class. A head that cannot be solved for would start at random, and few labels
    cannot teach it without spoiling the network: it is a probe below FEW_PER_CLASS labels per class,
    and full fine-tuning above, as for more than MOST_SOLVED rows. A network without pretrained
    weights is trained in full.
    """
    if method is not None:
        return method
    return call_strings.pick(METHODS, _auto_method(situation), "method")


def _auto_method(situation: Situation) -> str:
    if not situation.is_pretrained:
        return "scratch"
    if situation.is_solvable and situation.num_train <= MOST_SOLVED:
        return "lp_ft"
    few = situation.num_train < FEW_PER_CLASS * max(situation.num_classes, 2)
    return "linear_probe" if few else "full"


def _batch_size(wanted: int, situation: Situation) -> int:
    """`wanted`, but no more than there are examples, in a number that the devices can share."""
    replicas = situation.num_replicas
    most = max(situation.num_train // replicas * replicas, replicas)
    if wanted > most:
        warnings.warn(
            f"--batch_size={wanted} is more than the examples: {most} is used", stacklevel=2
        )
    return min(wanted, most)


def _check(train: TrainOptions, situation: Situation) -> None:
    if train.sampling == "balanced" and train.class_weights != "none":
        what = "the classes are drawn equally often already, weights would balance them twice"
        raise FlagError(what, flag="class_weights",
                        fix="--class_weights=none, or --sampling=none")  # fmt: skip
    if situation.has_validation:
        return
    for name, is_on in {
        "keep": train.keep == "best",
        "early_stopping_epochs": train.early_stopping_epochs > 0,
    }.items():
        if is_on:
            what = "takes a validation split, and there is none"
            raise FlagError(what, flag=name, fix="--split='holdout(validation=.1)'")


def _warmup_fraction(usual: dict[str, Any], schedule: str) -> float:
    return 0.3 if schedule == "one_cycle" else usual["warmup_fraction"]


def _weight_decay(usual: dict[str, Any], optimizer: str, method: Call[MethodRow]) -> float:
    """A method whose loss already shrinks weights, or holds them, takes the place of the decay."""
    if method.row and method.row.replaces_weight_decay:
        return 0.0
    return usual.get("weight_decay", 0.01) if optimizer == "adamw" else 0.0


def _either(given: float | None, otherwise: float) -> float:
    return otherwise if given is None else given


def _norm(norm: str, method: Call[MethodRow]) -> str:
    """A head that was solved for needs the statistics under which its features were computed."""
    if norm != "auto":
        return norm
    return "frozen" if _kind(method) in ("solved", "linear_probe") else "train"


def _keep(keep: str, situation: Situation) -> str:
    if keep != "auto":
        return keep
    return "best" if situation.has_validation else "last"


MODALITIES = ("image", "text")

_IMAGE = {"optimizer": "adam", "schedule": "cosine", "warmup_fraction": 0.0, "batch_size": 32}
_TEXT = {"optimizer": "adamw", "schedule": "linear", "warmup_fraction": 0.1, "batch_size": 32}

_DEFAULTS = {
    ("image", "linear_probe"): _IMAGE | {"learning_rate": 3e-3, "steps": 600, "epochs": (5, 40)},
    ("image", "fine_tune"): _IMAGE | {"learning_rate": 1e-3, "steps": 300, "epochs": (5, 40)},
    ("image", "solved"): _IMAGE | {"learning_rate": 3e-4, "steps": 300, "epochs": (5, 40)},
    ("image", "scratch"): _IMAGE | {"learning_rate": 1e-3, "steps": 1500, "epochs": (10, 60)},
    ("text", "linear_probe"): _TEXT
    | {"learning_rate": 1e-2, "steps": 625, "epochs": (5, 40), "weight_decay": 1.0},
    ("text", "fine_tune"): _TEXT | {"learning_rate": 5e-5, "steps": 200, "epochs": (3, 20)},
    ("text", "solved"): _TEXT | {"learning_rate": 5e-5, "steps": 200, "epochs": (3, 20)},
    ("image", "light"): _IMAGE | {"learning_rate": 3e-3, "steps": 300, "epochs": (5, 40)},
    ("text", "light"): _TEXT | {"learning_rate": 3e-3, "steps": 200, "epochs": (3, 20)},
    ("text", "scratch"): _TEXT | {"learning_rate": 1e-4, "steps": 600, "epochs": (5, 30)},
}


def usual_rate(method: str | Call[MethodRow], modality: str, is_pretrained: bool) -> float:
    """The learning rate that --learning_rate=auto takes for a method and a network."""
    call = call_strings.pick(METHODS, method, "method")
    return _defaults_of(call, modality, is_pretrained)["learning_rate"]


def _defaults_of(method: Call[MethodRow], modality: str, is_pretrained: bool) -> dict[str, Any]:
    kind = _kind(method)
    if method.row and not is_pretrained and kind != "linear_probe":
        kind = "scratch"
    return _DEFAULTS[modality, kind]


def _kind(method: Call[MethodRow]) -> str:
    """The defaults that a method takes; code from outside takes those of fine-tuning."""
    return method.row.defaults if method.row else "fine_tune"


def _epochs(usual: dict[str, Any], num_train: int, batch_size: int) -> int:
    least, most = usual["epochs"]
    return min(max(round(usual["steps"] * batch_size / num_train), least), most)

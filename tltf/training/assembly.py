"""Makes the untrained model of options and splits: core, preprocessing, resolved options."""

import dataclasses
import functools
import warnings
from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

from tltf.config import checks as config_checks
from tltf.config import defaults
from tltf.config.call_strings import Call
from tltf.config.catalogs import METHODS
from tltf.config.catalogs.row import HeadRow, MethodRow
from tltf.config.options import Options, replace
from tltf.config.paths import HEAD_STARTS, SOLVED
from tltf.config.recipe import Recipe
from tltf.config.task_heads import TaskCalls
from tltf.config.train_options import TrainOptions
from tltf.console import lines
from tltf.data import label_kinds, preprocessing
from tltf.data.images.preprocessing import ImagePreprocessing
from tltf.data.source import TARGET, UNLABELLED, Source, Splits
from tltf.data.texts.preprocessing import TextPreprocessing, TokenCounts
from tltf.errors import FlagError
from tltf.graphs import dropout, functional
from tltf.graphs.core import Core
from tltf.heads.task_weights import TaskNumber
from tltf.methods.context import FitContext
from tltf.methods.method import Method, Phase
from tltf.methods.rules import HEAD
from tltf.models import core_builder, head_rows, loading
from tltf.models.transfer_model import TransferModel
from tltf.runs.carried import Carried
from tltf.training import course, head_tuning, precision_choice, teaching
from tltf.training.judges import MACRO_F1, OF_TARGET


def assemble(
    options: Options,
    recipe: Recipe,
    parts: Splits | dict[str, Source],
    strategy: tf.distribute.Strategy,
) -> tuple[TransferModel, Method]:
    """`(TransferModel, Method)`: the untrained model, whose options have every `auto` resolved.

    Args:
        options: Options.
        recipe: Recipe of these options.
        parts: role -> Source.
        strategy: tf.distribute.Strategy.
    """
    training, norm = parts["train"], options.train.norm
    if options.model.backbone in (config_checks.USUAL, config_checks.AUTO) and recipe.backbone:
        options = replace(options, backbone=recipe.backbone.text)
    if recipe.method and recipe.method.name == "scratch":
        options = replace(options, backbone_weights="none")
    head = core_builder.fit_head(recipe.head, training)
    if isinstance(head, TaskCalls):  # each of its tasks would need a baseline of its own
        options = replace(options, baseline=config_checks.NO_BASELINE)
    options = replace(options, head=head.text, data=recipe.source.text or options.data.data)
    texts = training.texts() if training.modality == "text" else None

    def make() -> Core:
        return core_builder.build(
            options.model,
            _classes_of(head, training),
            training.modality,
            texts,
            backbone_call=recipe.backbone,
            head_call=head,
        )

    work = _work(recipe, parts, strategy.num_replicas_in_sync)
    with strategy.scope():
        core, precision = precision_choice.build(make, options.runtime, options.model, work)
    if options.model.head_weights not in HEAD_STARTS:
        _copy_head(core, training.class_names, options.model.head_weights)
    options = replace(options, precision=precision)
    backbone_layers = functional.layers(list(core.backbone.taps.values()))
    dropout.set_rates(
        backbone_layers, options.train.backbone_dropout, options.train.stochastic_depth
    )
    situation = _situation(core, parts, options, strategy.num_replicas_in_sync)
    method_call = defaults.choose_method(recipe.method, situation)
    options = defaults.resolve(options, situation, method_call)
    baselines = config_checks.pick_baselines(options.output.baseline)
    recipe = dataclasses.replace(recipe, head=head, method=method_call, baselines=baselines)
    prepared = preprocessing.build(core.backbone, training, options.model.text_length)
    options = replace(options, **_sizes(prepared))
    method = method_call.build()
    if options.model.head_weights == SOLVED and method.phases(core)[0].solver == "gradient":
        method.solve_head_first()
    _require_phases(core, options.train, method)
    _require_choices(core, options.train, recipe, parts)
    _warn_of_norm(norm, method.phases(core))
    return TransferModel(core, prepared, training.class_names, options, parts, recipe), method


def context_of(
    trained: TransferModel, fingerprint: str = "", left: Carried | None = None
) -> FitContext:
    """The FitContext of a model that is about to be trained.

    Args:
        trained: TransferModel.
        fingerprint: of the training rows; empty for a dry run.
        left: what the method has left in the run that --backbone names.
    """
    names, prepared = tuple(trained.class_names), trained.preprocessing
    answers = None
    if isinstance(prepared, TextPreprocessing) and fingerprint:
        answers = functools.partial(teaching.text_answers, trained)
    if not isinstance(prepared, TextPreprocessing) or len(prepared.fields) > 1:
        length = trained.text_length
        return FitContext(names, fingerprint, loading.load, None, left, answers, length)
    to_inputs = prepared.graph_function

    def text_inputs(texts: Sequence[str]) -> dict[str, np.ndarray]:
        made = to_inputs(tf.constant(list(texts)))
        return {name: tensor.numpy() for name, tensor in made.items()}

    length = trained.text_length
    return FitContext(names, fingerprint, loading.load, text_inputs, left, answers, length)


def _classes_of(head: Call[HeadRow], training: Source) -> int | dict[str, tuple[str, ...]]:
    """The number of classes; for several heads, task -> the names of its classes."""
    if not isinstance(head, TaskCalls):
        return len(training.class_names)
    return {task: labels.class_names for task, labels in training.label_fields.items()}


def _work(
    recipe: Recipe, parts: Splits | dict[str, Source], num_replicas: int
) -> precision_choice.Work:
    """What the choice of a precision depends on."""
    return precision_choice.Work(
        parts["train"].modality,
        recipe.method.name if recipe.method else "",
        num_replicas,
        **{f"num_{role}": len(parts.get(role) or ()) for role in ("validation", "test")},
        num_training=len(parts["train"]),
    )


def _copy_head(core: Core, class_names: Sequence[str], run: str) -> None:
    """Starts the head from that of a run, and says so."""
    shared = head_rows.copy_head(core, class_names, run)
    start = f"{len(shared)} of {len(class_names)} classes start" if class_names else "it starts"
    lines.say("head", f"{start} from the weights in {run}")


def situation_of(trained: TransferModel, given: Options) -> defaults.Situation:
    """The Situation that the options of a model were chosen in.

    Args:
        trained: TransferModel with its splits.
        given: its options before `auto` was replaced.
    """
    return _situation(trained.core, trained.splits, given)


def _situation(
    core: Core, parts: Splits | dict[str, Source], options: Options, num_replicas: int = 1
) -> defaults.Situation:
    training = parts["train"]
    return defaults.Situation(
        modality=training.modality,
        num_train=len(training),
        num_classes=len(training.class_names),
        is_pretrained=core.backbone.pretrained,
        has_validation="validation" in parts,
        num_replicas=num_replicas,
        is_solvable=core.head.target != label_kinds.NUMBER
        and _unsolvable(core, options.train.loss) is None,
        num_examples=sum(map(len, parts.values())),
        has_test="test" in parts,
        num_unlabelled=len(parts.get("unlabelled") or parts.get("target") or ()),
        has_oracle=_has_oracle(core, parts),
        has_unlabelled=UNLABELLED in parts,
        has_several_heads=core.joint is not None,
        has_target=TARGET in parts,
    )


def _has_oracle(core: Core, parts: Splits | dict[str, Source]) -> bool:
    """Whether rows of a target have classes as labels."""
    target = parts.get(TARGET)
    return (
        target is not None and target.labels is not None and core.head.target == label_kinds.CLASS
    )


def count_tokens(trained: TransferModel) -> TokenCounts | None:
    """The TokenCounts of the training texts; None for images. Warns where most are unknown."""
    prepared = trained.preprocessing
    if not isinstance(prepared, TextPreprocessing):
        return None
    return preprocessing.count_tokens(prepared, trained.splits["train"].text_columns())


def _require_phases(core: Core, train: TrainOptions, method: Method) -> None:
    """Raises FlagError for a loss or for snapshots that the phases of a method do not allow."""
    phases = method.phases(core)
    _require_loss(core, train, phases)
    course.require_snapshots(train, method, phases)


def _require_loss(core: Core, train: TrainOptions, phases: Sequence[Phase]) -> None:
    """Raises FlagError for a loss that the head or a solver among the phases does not have."""
    core.head.loss(train.loss, train.label_smoothing, train.focal_gamma)
    refusal, solvers = _unsolvable(core, train.loss), {phase.solver for phase in phases}
    if refusal and solvers & {"lbfgs", "method"}:
        raise refusal
    if "method" in solvers and core.head.target != label_kinds.CLASS:
        what = "a tuned light head is of one class per row, and not of several heads or of numbers"
        raise FlagError(what, flag="method", fix="solver=lbfgs in --method, or --method=lp_ft")


def _require_choices(
    core: Core, train: TrainOptions, recipe: Recipe, parts: Splits | dict[str, Source]
) -> None:
    """Raises FlagError for a choice or a baseline that the labels of the head or the rows do not allow.

    Warns where there are rows that the method does not read.
    """
    if recipe.method:
        _warn_of_unread_rows(recipe.method, parts)
    head_tuning.require(core, train, recipe.abstention, parts)
    metric, is_of_classes = train.metric, core.head.target == label_kinds.CLASS
    light = [name for name in ("probe", "oracle", "classical") if name in (recipe.baselines or ())]
    if light and not is_of_classes:
        what = f"{light[0]} is a baseline of one class per row, not of several labels or a number"
        raise FlagError(what, flag="baseline", fix="--baseline=logistic")
    if metric == MACRO_F1 and not is_of_classes:
        what = f"{metric} is of one class per row, and the head {core.head.name} predicts others"
        raise FlagError(what, flag="metric", fix="--metric=auto")
    row = recipe.method.row if recipe.method else None
    if metric in OF_TARGET and not (is_of_classes and row and set(row.reads) & set(parts)):
        what = (
            f"{metric} judges one class per row by rows without labels that the method learns from"
        )
        fix = "--metric=auto, or --method=dann with --target_data"
        raise FlagError(what, flag="metric", fix=fix)


def _warn_of_norm(norm: str, phases: Sequence[Phase]) -> None:
    """Warns where --norm was set and phases do not follow it; `auto` leaves it to them."""
    tuned = [phase for phase in phases if phase.rules != (HEAD,)]
    others = {phase.norm for phase in tuned or phases if phase.norm not in ("", norm)}
    if norm == "auto" or not others:
        return
    why = "the head alone is trained" if not tuned else f"the method has norm={', '.join(others)}"
    warnings.warn(f"--norm={norm} is overruled: {why}", stacklevel=3)


def _warn_of_unread_rows(method: Call[MethodRow], parts: Splits | dict[str, Source]) -> None:
    """Warns where rows of --unlabelled_data are given to a method that learns from labelled rows alone."""
    rows = parts.get(UNLABELLED)
    if rows is None or (method.row and UNLABELLED in method.row.reads):
        return
    others = ", ".join(name for name, row in METHODS.items() if UNLABELLED in row.reads)
    warnings.warn(
        f"{method.name} learns from labelled rows alone, so that the {len(rows):,} rows of --unlabelled_data are not "
        f"used; methods that use them: {others}",
        stacklevel=4,
    )


def _unsolvable(core: Core, loss: str) -> FlagError | None:
    """Why solver=lbfgs cannot solve for this head, as the error to raise; None where it can."""
    fix = "solver=gradient in --method"
    if core.joint:
        own = (_unsolvable(core.of_task(task), loss) for task in core.heads)
        return next(filter(None, own), None)
    if core.head.target not in (label_kinds.CLASS, label_kinds.NUMBER):
        what = "solver=lbfgs solves for one class or one number per row, not for several"
        return FlagError(what, flag="method", fix=fix)
    layers = [layer for layer in core.groups[-1].layers if not isinstance(layer, TaskNumber)]
    if [type(layer) for layer in layers] != [keras.layers.Dense]:
        what = "solver=lbfgs takes a head of one dense layer, without hidden layers and dropout"
        return FlagError(what, flag="method", fix=f"{fix}, or --head=classify")
    if loss != "cross_entropy":
        what = f"{loss} is not a loss for solver=lbfgs, which solves for cross_entropy"
        return FlagError(what, flag="loss", fix=f"{fix}, or --loss=cross_entropy")
    return None


def _sizes(prepared: ImagePreprocessing | TextPreprocessing) -> dict[str, int]:
    """The flag of the size of inputs, with its value."""
    if isinstance(prepared, ImagePreprocessing):
        return {"image_size_px": prepared.size_px}
    return {"text_length": prepared.length}

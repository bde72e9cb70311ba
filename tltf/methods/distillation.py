"""Methods that learn from the outputs of another trained network on the same examples.

This network, the teacher, is frozen and in the graph, so `frozen_prefix` puts it below the cut:
without augmentation it runs once per example, whatever the number of epochs. One that reads texts with
another tokenizer, or to another length, answers all rows before the training, and its answers are kept, see `kept_answers`.
"""

import os

import keras
import tensorflow as tf
from keras import layers, ops

from tltf.console import lines
from tltf.data.several_preprocessings import unnumbered
from tltf.errors import FlagError, ModelError
from tltf.graphs import functional
from tltf.graphs.backbone import Group
from tltf.graphs.core import Core, replace_backbone
from tltf.graphs.freezing import Rule
from tltf.heads.classify import Classify
from tltf.heads.pooling import pool
from tltf.methods import kept_answers
from tltf.methods.channels import Channels
from tltf.methods.context import FitContext, LoadedModel
from tltf.methods.method import Phase
from tltf.methods.penalty import PenaltyMethod
from tltf.methods.rules import HEAD, require_rate
from tltf.methods.schedules import warm_up

TEACHER, HINT, OLD_HEAD = "teacher_", "hint", "old_head"
"""The prefix of a teacher's names in the graph, and the names of the groups that are trained for the
penalty only."""
APART, SHARED = "apart", "shared"
"""Whether `lwf` holds the outputs of the old head beside the new one, or of old classes in the one head."""


def distill(
    teacher: str = "",
    temperature: float = 2.0,
    weight: float = 0.7,
    feature_weight: float = 0.0,
    backbone_rate: float = 1.0,
) -> "Distillation":
    """A method that trains everything on the targets and on a teacher's softened probabilities.

    (1 - w) CE(y, p) + w T^2 KL(softmax(t / T) | softmax(s / T)): Hinton et al. 2015,
    arXiv:1503.02531, section 2; with `feature_weight` f also f / 2 |W u_s - u_t|^2 / d of the
    pooled features, W learned and dropped: Romero et al. 2014, arXiv:1412.6550, eq. 3.

    Args:
        teacher: the run folder of a model with the same classes. For texts it may have another
            tokenizer, length or other inputs; a text that an augmentation has changed then learns from its label alone.
        temperature: T, above 0.
        weight: w, from 0 to 1; at 1 labels are not used.
        feature_weight: f, at least 0.
        backbone_rate: factor on the backbone's learning rate, above 0.

    Raises:
        FlagError: no teacher, or a number out of its range; when the core is prepared, a teacher
            that does not fit.
    """
    if not teacher:
        raise FlagError(
            "distill takes teacher=RUN, a run folder of tltf",
            flag="method",
            fix="--method='distill(teacher=runs/large)'",
        )
    _require(temperature, weight, feature_weight)
    require_rate(backbone_rate)
    return Distillation(teacher, temperature, weight, feature_weight, float(backbone_rate))


class Distillation(PenaltyMethod):
    """The method that `distill` makes."""

    def __init__(
        self,
        teacher: str,
        temperature: float,
        weight: float,
        feature_weight: float,
        backbone_rate: float,
    ) -> None:
        rules = (HEAD, *([(f"{HINT}/.*", 1.0)] if feature_weight else []), (".*", backbone_rate))
        super().__init__(lambda core: [Phase("distill", rules, loss_weight=1.0 - weight)])
        self.teacher, self.temperature = teacher, temperature
        self.weight, self.feature_weight = weight, feature_weight
        self.is_kept = False

    def penalty_inputs(
        self, core: Core, context: FitContext
    ) -> tuple[list[keras.KerasTensor], tuple[Group, ...]]:
        """The logits of both networks, and their features where these are compared."""
        model = _load(context, self.teacher)
        _require_logits(core, "this run")
        _require_classes(model, core, context, self.teacher)
        own, theirs = core.backbone, model.core.backbone
        lengths = (context.text_length, model.text_length) if context.text_length else (0, 0)
        self.is_kept = kept_answers.reads_otherwise(own, theirs, *lengths)
        taught = (
            _kept(core, model, context, self.teacher)
            if self.is_kept
            else _on_inputs_of(core, model, self.teacher)
        )
        tensors = [core.model.output[core.head.name], taught["logits"]]
        tensors += [taught["is_known"]] if self.is_kept else []
        if not self.feature_weight:
            return tensors, ()
        features = pool(core.backbone.taps, core.backbone.modality, "auto")
        hint = layers.Dense(taught["features"].shape[-1], dtype="float32", name=HINT)
        return [*tensors, hint(features), taught["features"]], (Group(HINT, (hint,)),)

    def penalty(self, student: tf.Tensor, teacher: tf.Tensor, *others: tf.Tensor) -> tf.Tensor:
        """float[]: w T^2 KL of the logits, plus f / 2 times the mean squared difference of features.

        Where the teacher's answers are kept these are means over the rows that have one.
        """
        if self.is_kept:
            is_known, *features = others
            shares = is_known[:, 0] / ops.maximum(ops.sum(is_known), 1.0)
            rows = softened_rows(teacher, student, self.temperature)
            loss = self.weight * self.temperature**2 * ops.sum(rows * shares)
            if features:
                squares = ops.mean(ops.square(features[0] - features[1]), axis=-1)
                loss += 0.5 * self.feature_weight * ops.sum(squares * shares)
            return loss
        loss = self.weight * softened_divergence(teacher, student, self.temperature)
        if others:
            own, taught = others
            loss += 0.5 * self.feature_weight * ops.mean(ops.square(own - taught))
        return loss


def lwf(
    temperature: float = 2.0,
    weight: float = 1.0,
    backbone_rate: float = 1.0,
    warmup_share: float = 0.3,
    warmup_rate: float = 10.0,
    old_head: str = APART,
) -> "LearningWithoutForgetting | SharedHead":
    """A method that trains everything and holds the old head's outputs near those it had before.

    CE(y, p) + w T^2 KL(softmax(o0 / T) | softmax(o / T)), o the logits of the old head, which is
    trained too and then dropped, o0 the logits of the old network: Li & Hoiem 2016,
    arXiv:1606.09282, eq. 1 and 2. Before that only the new head is trained, as in the paper.
    Departs: this warm-up takes a share of the epochs, the paper's goes on to convergence; KL in
    place of cross-entropy, which differs by a constant; the factor T^2, so that w means the same at
    any T.

    With `old_head=shared` the run has the old classes too, and no head beside its own: o are the old
    classes' logits of the one head, as Rebuffi et al. 2017, arXiv:1611.07725, section 4 have it in their
    comparison (there with sigmoids). So a head may learn ever more classes, on a frozen backbone too.

    Args:
        temperature: T, above 0.
        weight: w, at least 0.
        backbone_rate: factor on the backbone's learning rate, above 0; with a shared head 0 freezes it.
        warmup_share: share of --train_epochs in which only the new head is trained, between 0 and 1.
        warmup_rate: factor on --learning_rate in this warm-up, above 0.
        old_head: apart, or shared: then there is no warm-up, and a --backbone that is not a run, the
            first of a sequence, is trained without anything to hold.

    Raises:
        FlagError: a number out of its range; when the core is prepared, a --backbone that is not a
            run of tltf, whose head could be kept, or one whose classes this run lacks.
    """
    _require(temperature, 0.0, weight)
    if old_head not in (APART, SHARED):
        what = f"old_head is {APART} or {SHARED} (received {old_head})"
        raise FlagError(what, flag="method", fix=f"--method='lwf(old_head={SHARED})'")
    if old_head == SHARED and backbone_rate == 0:
        return SharedHead(temperature, weight, (HEAD,))
    require_rate(backbone_rate)
    if old_head == SHARED:
        return SharedHead(temperature, weight, (HEAD, (".*", float(backbone_rate))))
    first = warm_up("warm-up", warmup_share, warmup_rate)
    return LearningWithoutForgetting(temperature, weight, float(backbone_rate), first)


class LearningWithoutForgetting(PenaltyMethod):
    """The method that `lwf` makes."""

    def __init__(
        self, temperature: float, weight: float, backbone_rate: float, first: Phase
    ) -> None:
        rules = (HEAD, (f"{OLD_HEAD}/.*", 1.0), (".*", backbone_rate))
        both = Phase("lwf", rules, 1.0 - first.epochs_share)
        super().__init__(lambda core: [first, both])
        self.temperature, self.weight = temperature, weight

    def penalty_inputs(
        self, core: Core, context: FitContext
    ) -> tuple[list[keras.KerasTensor], tuple[Group, ...]]:
        """The old head's logits on the trained features, and those of the old network."""
        run = core.backbone.name
        try:
            model = _load(context, run)
        except (FlagError, ModelError) as error:
            what = f"lwf takes --backbone=RUN, whose old head is kept ({run!r}: {error.what})"
            raise FlagError(what, flag="method", fix="--method=l2_sp") from error
        old = replace_backbone(_renamed(model.core, f"{OLD_HEAD}_"), core.backbone)
        before = _on_inputs_of(core, _load(context, run), run)["logits"]
        head = Group(OLD_HEAD, old.groups[-1].layers)
        return [old.model.output[old.head.name], before], (head,)

    def penalty(self, now: tf.Tensor, before: tf.Tensor) -> tf.Tensor:
        """float[]: w T^2 KL of the old head's logits."""
        return self.weight * softened_divergence(before, now, self.temperature)


class SharedHead(PenaltyMethod):
    """The method that `lwf` makes where the old classes are among those of the one head."""

    def __init__(self, temperature: float, weight: float, rules: tuple[Rule, ...]) -> None:
        norm = "frozen" if rules == (HEAD,) else ""
        super().__init__(lambda core: [Phase("lwf", rules, keep="last", norm=norm)])
        self.temperature, self.weight = temperature, weight
        self.places: list[int] = []

    def prepare(self, core: Core, context: FitContext) -> Core:
        """The core with the penalty; the core itself where no run went before."""
        if not os.path.isdir(os.path.expanduser(core.backbone.name)):
            lines.say("lwf", f"{core.backbone.name} is not a run, so there is nothing to hold")
            self.plain = core
            return core
        return super().prepare(core, context)

    def penalty_inputs(
        self, core: Core, context: FitContext
    ) -> tuple[list[keras.KerasTensor], tuple[Group, ...]]:
        """The head's logits, and those of the old network."""
        run = core.backbone.name
        model = _load(context, run)
        unknown = [name for name in model.class_names if name not in context.class_names]
        if unknown:
            what = f"{run} has the class {unknown[0]!r}, which this run has not"
            raise FlagError(what, flag="method", fix="--method=lwf, whose old head is apart")
        self.places = [context.class_names.index(name) for name in model.class_names]
        before = _on_inputs_of(core, model, run)["logits"]
        return [core.model.output[core.head.name], before], ()

    def penalty(self, now: tf.Tensor, before: tf.Tensor) -> tf.Tensor:
        """float[]: w T^2 KL of the old classes' logits."""
        own = ops.take(now, self.places, axis=-1)
        return self.weight * softened_divergence(before, own, self.temperature)


def softened_divergence(teacher: tf.Tensor, student: tf.Tensor, temperature: float) -> tf.Tensor:
    """float[]: T^2 KL(softmax(t / T) | softmax(s / T)), the mean over a batch of float[B, C] logits."""
    return temperature**2 * ops.mean(softened_rows(teacher, student, temperature))


def softened_rows(teacher: tf.Tensor, student: tf.Tensor, temperature: float) -> tf.Tensor:
    """float[B]: KL(softmax(t / T) | softmax(s / T)) of each row of float[B, C] logits."""
    teacher = ops.stop_gradient(ops.log_softmax(teacher / temperature, axis=-1))
    student = ops.log_softmax(student / temperature, axis=-1)
    return ops.sum(ops.exp(teacher) * (teacher - student), axis=-1)


def _load(context: FitContext, run: str) -> LoadedModel:
    """The model of a run folder."""
    return context.load_model(os.path.expanduser(run))


def _require_logits(core: Core, run: str) -> None:
    """Refuses a head whose outputs, after a softmax, are not the probabilities of its classes."""
    if type(core.head) is not Classify:
        raise FlagError(
            f"{run} has the head {core.head_spec}, which does not give one logit per class",
            flag="method",
            fix="--head=classify",
        )


def _renamed(core: Core, prefix: str) -> Core:
    """The core; the name of each operation gets a prefix, so that two cores fit into one graph."""
    for operation in functional.operations(list(core.model.outputs)):
        operation.name = prefix + operation.name
    return core


def _on_inputs_of(core: Core, model: LoadedModel, run: str) -> dict[str, keras.KerasTensor]:
    """`logits` and pooled `features` of a frozen model, computed from the core's inputs."""
    _require_logits(model.core, run)
    teacher, own = _renamed(model.core, TEACHER), core.backbone.inputs
    theirs = teacher.backbone.inputs
    # an ensemble may see a picture in several sizes, in inputs that are numbered
    named = {name: unnumbered(name) for name in theirs}
    if set(own) != set(named.values()):
        what = f"{run} takes {', '.join(theirs)}, this network {', '.join(own)}"
        raise FlagError(what, flag="method", fix="a teacher for the same inputs")
    given = [
        (theirs[name], _resize(own[first], theirs[name], run, name.removeprefix(first)))
        for name, first in named.items()
    ]
    for layer in teacher.model.layers:
        layer.trainable = False
    features = pool(teacher.backbone.taps, teacher.backbone.modality, "auto")
    flat = functional.replay([teacher.model.output[teacher.head.name], features], given)
    return dict(zip(("logits", "features"), flat, strict=True))


def _kept(
    core: Core, model: LoadedModel, context: FitContext, run: str
) -> dict[str, keras.KerasTensor]:
    """`logits`, `features` and `is_known` of a model that reads texts otherwise."""
    _require_logits(model.core, run)
    if context.text_answers is None:  # nothing is trained, as in a dry run
        taps = model.core.backbone.taps
        width = pool(taps, model.core.backbone.modality, "auto").shape[-1]
        answers = kept_answers.no_answers(model.core.num_classes, width)
    else:
        answers = context.text_answers(model)
    return kept_answers.recall(core.backbone, answers, f"{TEACHER}answers")


def _resize(
    tensor: keras.KerasTensor, wanted: keras.KerasTensor, run: str, ending: str
) -> keras.KerasTensor:
    """`tensor` in the channels and the image size that another network takes; texts stay as they are.

    The names of its layers have an ending of their own for each input of that network.
    """
    if len(tensor.shape) != 4 or tensor.shape[1:] == wanted.shape[1:]:
        return tensor
    if tensor.shape[-1] != wanted.shape[-1]:
        if {tensor.shape[-1], wanted.shape[-1]} != {1, 3}:
            what = f"{run} takes {wanted.shape[-1]} channels, this network {tensor.shape[-1]}"
            raise FlagError(what, flag="method", fix="a teacher for the same images")
        tensor = Channels(wanted.shape[-1], name=f"{TEACHER}channels{ending}")(tensor)
    if tensor.shape[1:] == wanted.shape[1:]:
        return tensor
    height, width = wanted.shape[1:3]
    name = f"{TEACHER}resizing{ending}"
    return layers.Resizing(height, width, dtype="float32", name=name)(tensor)


def _require_classes(model: LoadedModel, core: Core, context: FitContext, run: str) -> None:
    """Refuses a teacher of other classes, since logits can be compared only for the same classes."""
    own = tuple(context.class_names)
    theirs = tuple(model.class_names)
    if len(theirs) != core.num_classes or (own and own != theirs):
        what = f"{run} has the classes {', '.join(theirs[:5])}, the data {', '.join(own[:5])}"
        raise FlagError(what, flag="method", fix="a teacher that was trained on these classes")


def _require(temperature: float, share: float, weight: float) -> None:
    if not (temperature > 0 and 0 <= share <= 1 and weight >= 0):
        what = (
            "temperature must be above 0, weights must be at least 0, and that of distill at most 1"
        )
        raise FlagError(f"{what} (received {temperature}, {share}, {weight})", flag="method")

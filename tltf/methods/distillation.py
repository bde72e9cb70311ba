"""Methods that learn from what another trained network says of the same examples.

The teacher is frozen and in the graph, so `cutting` puts it below the cut: without augmentation
it runs once an example, whatever the number of epochs.
"""

import os
from typing import Any

from keras import layers, ops

from tltf.errors import FlagError, ModelError
from tltf.graphs import functional
from tltf.graphs.backbone import Group
from tltf.graphs.core import Core, on_backbone
from tltf.heads.classify import Classify
from tltf.heads.pooling import pool
from tltf.methods.context import FitContext
from tltf.methods.method import Phase
from tltf.methods.penalty import Penalised
from tltf.methods.rules import HEAD, require_rate
from tltf.methods.schedules import warm_up

TEACHER, HINT, OLD_HEAD = "teacher_", "hint", "old_head"


def distill(
    teacher: str = "",
    temperature: float = 2.0,
    weight: float = 0.7,
    feature_weight: float = 0.0,
    backbone_rate: float = 1.0,
) -> "Distilled":
    """Trains everything on the targets and on a teacher's softened probabilities.

    (1 - w) CE(y, p) + w T^2 KL(softmax(t / T) | softmax(s / T)): Hinton et al. 2015,
    arXiv:1503.02531, section 2; with `feature_weight` f also f / 2 |W u_s - u_t|^2 / d of the
    pooled features, W learned and dropped: Romero et al. 2014, arXiv:1412.6550, eq. 3.

    Args:
        teacher: the run folder of a model of the same classes and, for texts, tokenizer.
        temperature: T, above 0.
        weight: w, from 0 to 1; at 1 labels are not used.
        feature_weight: f, at least 0.
        backbone_rate: factor on the backbone's learning rate, above 0.

    Raises:
        FlagError: no teacher, a number out of its range, or a teacher that does not fit.
    """
    if not teacher:
        raise FlagError(
            "distill takes teacher=RUN, a run folder of tltf",
            flag="method",
            fix="--method='distill(teacher=runs/large)'",
        )
    _require(temperature, weight, feature_weight)
    require_rate(backbone_rate)
    return Distilled(teacher, temperature, weight, feature_weight, float(backbone_rate))


class Distilled(Penalised):
    """See `distill`."""

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

    def penalty_inputs(self, core: Any, context: Any) -> Any:
        """Logits of both, and features of both where they are compared."""
        trained = _load(context, self.teacher)
        _require_logits(core, "this run")
        _require_classes(trained, core, context, self.teacher)
        taught = _on_inputs_of(core, trained, self.teacher)
        tensors = [core.model.output[core.head.name], taught["logits"]]
        if not self.feature_weight:
            return tensors, ()
        features = pool(core.backbone.taps, core.backbone.modality, "auto")
        hint = layers.Dense(taught["features"].shape[-1], dtype="float32", name=HINT)
        return [*tensors, hint(features), taught["features"]], (Group(HINT, (hint,)),)

    def penalty(self, student: Any, teacher: Any, *features: Any) -> Any:
        """float[]."""
        loss = self.weight * softened_divergence(teacher, student, self.temperature)
        if features:
            own, given = features
            loss += 0.5 * self.feature_weight * ops.mean(ops.square(own - given))
        return loss


def lwf(
    temperature: float = 2.0,
    weight: float = 1.0,
    backbone_rate: float = 1.0,
    warmup_share: float = 0.3,
    warmup_rate: float = 10.0,
) -> "Remembering":
    """Trains the new head, then everything; the old head must say what the old network said.

    CE(y, p) + w T^2 KL(softmax(o0 / T) | softmax(o / T)), o the old head's logits, which is
    trained too and then dropped: Li & Hoiem 2016, arXiv:1606.09282, eq. 1 and 2; before that the
    new head alone warms up, as there. Departs: the warm-up has a share of the epochs, the paper's
    goes on to convergence; KL for cross-entropy, which differs by a constant; the factor T^2, so
    that w means the same at any T.

    Args:
        temperature: T, above 0.
        weight: w, at least 0.
        backbone_rate: factor on the backbone's learning rate, above 0.
        warmup_share: share of --train_epochs that the new head alone takes, between 0 and 1.
        warmup_rate: factor on --learning_rate meanwhile, above 0.

    Raises:
        FlagError: a number out of its range, or --backbone is not a run of tltf, whose head is kept.
    """
    _require(temperature, 0.0, weight)
    require_rate(backbone_rate)
    first = warm_up("warm-up", warmup_share, warmup_rate)
    return Remembering(temperature, weight, float(backbone_rate), first)


class Remembering(Penalised):
    """See `lwf`."""

    def __init__(
        self, temperature: float, weight: float, backbone_rate: float, first: Phase
    ) -> None:
        rules = (HEAD, (f"{OLD_HEAD}/.*", 1.0), (".*", backbone_rate))
        both = Phase("lwf", rules, 1.0 - first.epochs_share)
        super().__init__(lambda core: [first, both])
        self.temperature, self.weight = temperature, weight

    def penalty_inputs(self, core: Any, context: Any) -> Any:
        """The old head's logits on the features of now, and those of the old network."""
        run = core.backbone.name
        try:
            trained = _load(context, run)
        except (FlagError, ModelError) as error:
            what = f"lwf takes --backbone=RUN, whose old head is kept ({run!r}: {error.what})"
            raise FlagError(what, flag="method", fix="--method=l2_sp") from error
        old = on_backbone(_renamed(trained.core, f"{OLD_HEAD}_"), core.backbone)
        before = _on_inputs_of(core, _load(context, run), run)["logits"]
        head = Group(OLD_HEAD, old.groups[-1].layers)
        return [old.model.output[old.head.name], before], (head,)

    def penalty(self, now: Any, before: Any) -> Any:
        """float[]."""
        return self.weight * softened_divergence(before, now, self.temperature)


def softened_divergence(teacher: Any, student: Any, temperature: float) -> Any:
    """T^2 KL(softmax(t / T) | softmax(s / T)), the mean over a batch of logits float[B, C]."""
    teacher = ops.stop_gradient(ops.log_softmax(teacher / temperature, axis=-1))
    student = ops.log_softmax(student / temperature, axis=-1)
    rows = ops.sum(ops.exp(teacher) * (teacher - student), axis=-1)
    return temperature**2 * ops.mean(rows)


def _load(context: FitContext, run: str) -> Any:
    """The Trained of a run."""
    return context.load_model(os.path.expanduser(run))


def _require_logits(core: Core, run: str) -> None:
    """The softmax of another head's outputs is not a probability of its classes."""
    if type(core.head) is not Classify:
        raise FlagError(
            f"{run} has the head {core.head_spec}, which gives no logits a class",
            flag="method",
            fix="--head=classify",
        )


def _renamed(core: Core, prefix: str) -> Core:
    """The core, every operation's name behind a prefix, so that two fit into one graph."""
    for operation in functional.operations(list(core.model.outputs)):
        operation.name = prefix + operation.name
    return core


def _on_inputs_of(core: Core, trained: Any, run: str) -> dict[str, Any]:
    """`logits` and pooled `features` of a frozen Trained on the core's inputs."""
    _require_logits(trained.core, run)
    teacher, own = _renamed(trained.core, TEACHER), core.backbone.inputs
    theirs = teacher.backbone.inputs
    if set(own) != set(theirs):
        what = f"{run} takes {', '.join(theirs)}, this network {', '.join(own)}"
        raise FlagError(what, flag="method", fix="a teacher for the same inputs")
    given = [(theirs[name], _fitted(own[name], theirs[name], run)) for name in own]
    if core.backbone.tokenizer:
        _require_tokens(core, teacher, run)
    for layer in teacher.model.layers:
        layer.trainable = False
    features = pool(teacher.backbone.taps, teacher.backbone.modality, "auto")
    flat = functional.replay([teacher.model.output[teacher.head.name], features], given)
    return dict(zip(("logits", "features"), flat, strict=True))


def _fitted(tensor: Any, wanted: Any, run: str) -> Any:
    """`tensor` in the size that another network takes; texts as they are."""
    if len(tensor.shape) != 4 or tensor.shape[1:] == wanted.shape[1:]:
        return tensor
    if tensor.shape[-1] != wanted.shape[-1]:
        what = f"{run} takes {wanted.shape[-1]} channels, this network {tensor.shape[-1]}"
        raise FlagError(what, flag="method", fix="a teacher for the same images")
    height, width = wanted.shape[1:3]
    return layers.Resizing(height, width, dtype="float32", name=f"{TEACHER}resizing")(tensor)


def _require_tokens(core: Any, teacher: Any, run: Any) -> None:
    vocabularies = [x.backbone.tokenizer.get_vocabulary() for x in (core, teacher)]
    if list(vocabularies[0]) != list(vocabularies[1]):
        raise FlagError(
            f"{run} has another vocabulary than {core.backbone.name}",
            flag="method",
            fix="a teacher of the same family",
        )


def _require_classes(trained: Any, core: Core, context: FitContext, run: str) -> None:
    """Logits can be compared only where they mean the same classes."""
    own = tuple(context.class_names)
    theirs = tuple(trained.class_names)
    if len(theirs) != core.num_classes or (own and own != theirs):
        what = f"{run} has the classes {', '.join(theirs[:5])}, the data {', '.join(own[:5])}"
        raise FlagError(what, flag="method", fix="a teacher that was trained on these classes")


def _require(temperature: float, share: float, weight: float) -> None:
    if not (temperature > 0 and 0 <= share <= 1 and weight >= 0):
        what = "temperature is above 0, weights are at least 0, that of distill at most 1"
        raise FlagError(f"{what} (received {temperature}, {share}, {weight})", flag="method")

"""Builds a core from options, or from the blueprint of a core that was saved."""

import dataclasses
import pathlib
import tempfile
from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np

from tltf.backbones import builder
from tltf.config import call_strings, task_heads
from tltf.config.call_strings import Call
from tltf.config.catalogs import HEADS, BackboneRow, HeadRow
from tltf.config.option_groups import ModelOptions
from tltf.config.task_heads import BALANCED, FIXED, GRADNORM, TaskCalls, Weighing
from tltf.data import label_kinds
from tltf.data.preprocessing import preprocessing_of
from tltf.data.source import Source
from tltf.errors import FlagError
from tltf.graphs import functional, precision
from tltf.graphs.backbone import Backbone
from tltf.graphs.core import Core, CoreHead, attach_head, change_call, core_of_heads
from tltf.heads import joint
from tltf.heads.constant_loss import constant_loss
from tltf.models import ensembles


def build(
    options: ModelOptions,
    num_classes: int | Mapping[str, tuple[str, ...]],
    modality: str = "",
    texts: Sequence[str] | None = None,
    *,
    backbone_call: Call[BackboneRow] | None = None,
    head_call: Call[HeadRow] | None = None,
) -> Core:
    """The core that the options name.

    Args:
        options: the run's.
        num_classes: the number of classes or labels, 0 for a number; for several heads, the names of
            the classes of each task, () for a number.
        modality: the data's, `image` or `text`; empty for whatever the backbone takes.
        texts: the texts from which a text backbone without a vocabulary learns one.
        backbone_call: the call of the backbone, if it is resolved already; None for the options' own.
        head_call: the call of the head, if it is resolved already; None for the options' own.

    Raises:
        FlagError: a name is unknown, or the data and the backbone differ in modality.
        ModelError, StorageError: weights do not fit or cannot be loaded.
    """
    head = task_heads.pick_head(head_call or options.head)
    backbone = builder.build(
        backbone_call or options.backbone,
        weights=options.backbone_weights,
        image_size_px=options.image_size_px or 0,
        text_length=options.text_length or 0,
        texts=texts,
    )
    if modality and backbone.modality != modality:
        what = f"{backbone.name} takes {backbone.modality}s, but the data has {modality}s"
        raise FlagError(what, flag="backbone", fix="see --list=backbones")
    if isinstance(num_classes, int):
        return attach_head(backbone, head, num_classes)
    return attach_heads(backbone, cast(TaskCalls, head), num_classes)


def attach_heads(
    backbone: Backbone,
    calls: TaskCalls,
    class_names: Mapping[str, Sequence[str]],
    num_classes: Mapping[str, int] | None = None,
) -> Core:
    """A core of a backbone and several heads, whose outputs have the names of the tasks.

    Args:
        backbone: of the core.
        calls: the calls of the heads.
        class_names: task -> the names of its classes or labels; () for a number.
        num_classes: task -> their number; None for that of the names.
    """
    counts = num_classes or {task: len(names) for task, names in class_names.items()}
    head, outputs, layers = joint.attach_joint(
        calls.build(), backbone.taps, backbone.modality, counts
    )
    heads = {
        task: CoreHead(own, calls.tasks[task], counts[task], tuple(class_names[task]))
        for task, own in head.heads.items()
    }
    return core_of_heads(backbone, outputs, layers, heads, CoreHead(head, calls, 0))


def with_heads(core: Core, heads: Mapping[str, CoreHead]) -> Core:
    """A core of several heads with other head objects for the same layers.

    Args:
        core: of several heads.
        heads: task -> what stands in place of its head, e.g. with thresholds that were chosen.
    """
    calls, old = cast(TaskCalls, core.only.call), core.only.head
    calls = calls.with_tasks({task: own.call for task, own in heads.items()})
    new = dataclasses.replace(old, heads={task: own.head for task, own in heads.items()})
    kept = {
        task: dataclasses.replace(own, class_names=core.heads[task].class_names)
        for task, own in heads.items()
    }
    return dataclasses.replace(core, heads=kept, joint=CoreHead(new, calls, 0))


def rebuild(blueprint: dict[str, Any], assets: pathlib.Path) -> Core:
    """The core of a `Core.blueprint`, with random weights.

    Args:
        blueprint: a dict as `Core.blueprint` gives it.
        assets: the folder of the tokenizer's files.
    """
    if ensembles.MEMBERS in blueprint["backbone"]:
        return _rebuild_ensemble(blueprint, assets)
    backbone = builder.rebuild(blueprint["backbone"], assets)
    head = task_heads.pick_head(blueprint["head"])
    if isinstance(head, TaskCalls):
        return attach_heads(backbone, head, blueprint["class_names"], blueprint["num_classes"])
    return attach_head(backbone, head, blueprint["num_classes"])


def _rebuild_ensemble(blueprint: dict[str, Any], assets: pathlib.Path) -> Core:
    """The core of an ensemble, each member of which is rebuilt by itself."""
    own, members = blueprint["backbone"], []
    for part in own[ensembles.MEMBERS]:
        core = rebuild(part["core"], assets / part["assets"])
        described = {
            "modality": core.backbone.modality,
            "preprocessing": part["preprocessing"],
        }
        prepared = preprocessing_of(described, core.backbone)
        members.append(ensembles.Member(part["name"], core, prepared, part["shared"]))
    head = call_strings.pick(HEADS, blueprint["head"], "head")
    return ensembles.join(members, own[ensembles.RULE], head, blueprint["num_classes"])[0]


def float32_copy(core: Core) -> Core:
    """A copy of the core that computes in float32; it is on one device if no strategy's scope is open.

    The same layers are frozen.
    """
    with tempfile.TemporaryDirectory() as assets, precision.policy("float32"):
        builder.save_assets(core.backbone, pathlib.Path(assets))
        fresh = rebuild(core.blueprint, pathlib.Path(assets))
    arrays = functional.weights_of(core.model)
    for name, weight in functional.named_weights(fresh.model.layers).items():
        weight.assign(arrays[name])
    is_trained = {layer.name: layer.trainable for layer in core.model.layers}
    for layer in fresh.model.layers:
        layer.trainable = is_trained[layer.name]
    return fresh


def _fit_weighing(
    weighing: Weighing, calls: Mapping[str, Call[HeadRow]], source: Source
) -> Weighing:
    """The Weighing of several heads for a training split.

    `balanced` becomes fixed weights, and `gradnorm` begins with the same ones where none are given.
    """
    if weighing.name not in (BALANCED, GRADNORM):
        return weighing
    losses = {
        task: constant_loss(call.build(), np.asarray(source.of_task(task).labels))
        for task, call in calls.items()
    }
    weights = {task: float(f"{1 / loss:.3g}") for task, loss in losses.items()}
    name = FIXED if weighing.name == BALANCED else GRADNORM
    return Weighing(name, weights | dict(weighing.weights), weighing.alpha)


def fit_head(call: Call[HeadRow], source: Source) -> Call[HeadRow]:
    """The call of a head, or of several, with the arguments that it takes from a training split.

    Where a row has several numbers and the head predicts one, the head for several takes its place.

    Raises:
        FlagError: the head for several does not take an argument of the call.
    """
    if isinstance(call, TaskCalls):
        own = {task: fit_head(call.tasks[task], source.of_task(task)) for task in call.tasks}
        return call.with_tasks(own, _fit_weighing(call.weighing, own, source))
    head = call.build()
    kind = label_kinds.kind_of(source.labels) if source.labels is not None else None
    if kind and kind.single_kind == head.target:
        call = call_strings.pick(HEADS, call.text.replace(call.name, kind.head, 1), "head")
        head = call.build()
    return change_call(call, head, head.fit_to(source))

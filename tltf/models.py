"""The core: one flat functional model of backbone and head, which is what is served."""

import dataclasses
from typing import Any

import keras

from tltf import backbones, graphs, specs
from tltf.backbones import Group
from tltf.catalogs import HEADS
from tltf.errors import FlagError


@dataclasses.dataclass(frozen=True)
class Core:
    """A backbone with its head.

    Args:
        model: {input name: tensor} -> {head name: float32[B, K] logits}; flat.
        backbone: inputs, taps, tokenizer and blueprint.
        groups: the layers that have variables, in depth order; the last group is `head`.
        head: loss, metrics and decoding.
        head_spec: the call string that made the head.
        num_classes: number of classes or labels; 0 for a number.
    """

    model: keras.Model
    backbone: Any
    groups: tuple
    head: Any
    head_spec: str
    num_classes: int

    def named_weights(self):
        """Name -> keras.Variable, see `graphs.named_weights`."""
        return graphs.named_weights([layer for group in self.groups for layer in group.layers])

    @property
    def blueprint(self):
        """JSON-able data from which `rebuild` makes the same graph with random weights."""
        return {
            "backbone": self.backbone.blueprint,
            "head": self.head_spec,
            "num_classes": self.num_classes,
        }


def build(options, num_classes, modality="", texts=None):
    """The core that the options name.

    Args:
        options: ModelOptions.
        num_classes: number of classes or labels; 0 for a number.
        modality: of the data, `image` or `text`; empty: whatever the backbone takes.
        texts: list of str from which a text backbone without a vocabulary learns one.

    Raises:
        FlagError: an unknown name, or data and backbone of different modality.
        ModelError, StorageError: weights that do not fit or cannot be had.
    """
    head = specs.pick(HEADS, options.head, "head")
    backbone = backbones.build(
        options.backbone,
        weights=options.backbone_weights,
        image_size_px=options.image_size_px or 0,
        text_length=options.text_length or 0,
        texts=texts,
    )
    if modality and backbone.modality != modality:
        what = f"{backbone.name} takes {backbone.modality}s, the data has {modality}s"
        raise FlagError(what, flag="backbone", fix="see --list=backbones")
    return join(backbone, head, num_classes)


def rebuild(blueprint, assets):
    """The core of a `Core.blueprint`, with random weights.

    Args:
        blueprint: dict, as `Core.blueprint` gives it.
        assets: folder of the tokenizer's files.
    """
    backbone = backbones.rebuild(blueprint["backbone"], assets)
    return join(backbone, specs.pick(HEADS, blueprint["head"], "head"), blueprint["num_classes"])


def fitted_head(text, source):
    """The call string of a head with what it takes from a training split, a Source."""
    head = specs.pick(HEADS, text, "head").build()
    return _changed(text, head, head.fitted(source))


def with_head(core, head):
    """The core with another head object for the same layers."""
    return dataclasses.replace(core, head=head, head_spec=_changed(core.head_spec, core.head, head))


def _changed(text, old, new):
    """The call string of `new`, which differs in some fields from `old`, the head of `text`."""
    if new is old:
        return text
    call, (_, given) = specs.pick(HEADS, text, "head"), specs.parse(text)
    changed = {field.name: getattr(new, field.name) for field in dataclasses.fields(new)
               if getattr(new, field.name) != getattr(old, field.name)}  # fmt: skip
    return specs.render(call.name, {name: call.kwargs[name] for name in given} | changed)


def on(core, backbone):
    """The core's head on a changed backbone, e.g. one with a prompt.

    Args:
        core: Core.
        backbone: Backbone of the same inputs, with taps of the same names and shapes.
    """
    old, new = core.backbone.taps, backbone.taps
    model, head = core.model, core.groups[-1]
    if any(old[name] is not new[name] for name in old):
        inputs = [(tensor, tensor) for tensor in backbone.inputs.values()]
        given = [*inputs, *((old[name], new[name]) for name in old)]
        (logits,) = graphs.replay([core.model.output[core.head.name]], given)
        model = keras.Model(backbone.inputs, {core.head.name: logits}, name="core")
    groups = (*_reached(model, backbone.groups), head)
    return dataclasses.replace(core, model=model, backbone=backbone, groups=groups)


def _reached(model, groups):
    """The groups without the layers that are not in the model's graph."""
    reachable = {id(layer) for layer in model.layers}
    kept = [
        Group(group.name, tuple(layer for layer in group.layers if id(layer) in reachable))
        for group in groups
    ]
    return tuple(group for group in kept if group.layers)


def join(backbone, head_call, num_classes):
    """A core of a backbone and a head's `specs.Call`."""
    head = head_call.build()
    logits, layers = head.attach(backbone.taps, backbone.modality, num_classes)
    model = keras.Model(backbone.inputs, {head.name: logits}, name="core")
    groups = (*_reached(model, backbone.groups), Group("head", tuple(layers)))
    return Core(model, backbone, groups, head, str(head_call), num_classes)

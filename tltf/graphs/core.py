"""The core: one flat functional model of backbone and head, which is what is served."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import keras

from tltf.config.call_strings import Call
from tltf.config.catalogs import HeadRow
from tltf.graphs import functional
from tltf.graphs.backbone import Backbone, Group


@dataclasses.dataclass(frozen=True)
class CoreHead:
    """A head as it stands on a core.

    Args:
        head: loss, metrics and decoding.
        call: what made it.
        num_classes: number of classes or labels; 0 for a number.
        class_names: the names of these, where the core has several heads; the model that holds a core
            of one head has them itself.
    """

    head: Any
    call: Call[HeadRow]
    num_classes: int
    class_names: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Core:
    """A backbone with its heads.

    Args:
        model: {input name: tensor} -> {head name: float32[B, K] logits}; flat.
        backbone: inputs, taps, tokenizer and blueprint.
        groups: the layers that have variables, in depth order; the last group is `head`.
        heads: name of an output -> CoreHead; of several heads the outputs have the names of the
            tasks.
        joint: several heads as the one head that is trained; None where there is one.
    """

    model: keras.Model
    backbone: Backbone
    groups: tuple[Group, ...]
    heads: dict[str, CoreHead]
    joint: CoreHead | None = None

    @property
    def only(self) -> CoreHead:
        """The head of a core that has one; of several, all of them as the one head that is trained."""
        if self.joint:
            return self.joint
        (head,) = self.heads.values()
        return head

    @property
    def head(self) -> Any:
        """Loss, metrics and decoding of the only head."""
        return self.only.head

    @property
    def head_spec(self) -> str:
        """The call string that made the only head, with all its arguments."""
        return str(self.only.call)

    @property
    def outputs(self) -> tuple[str, ...]:
        """The names of the outputs, one per head, in the order in which a joint head has them."""
        return tuple(self.heads)

    @property
    def width(self) -> int:
        """The number of logits of all heads together."""
        return sum(self.model.output[name].shape[-1] for name in self.outputs)

    def of_task(self, task: str) -> "Core":
        """A core with one of several heads alone, on the same layers."""
        own = self.heads[task]
        model = keras.Model(
            self.backbone.inputs, {own.head.name: self.model.output[task]}, name="core"
        )
        return Core(model, self.backbone, _reached(model, self.groups), {own.head.name: own})

    @property
    def num_classes(self) -> int:
        """Number of classes or labels of the only head; 0 for a number."""
        return self.only.num_classes

    def named_weights(self) -> dict[str, keras.Variable]:
        """Name -> keras.Variable, see `functional.named_weights`."""
        return functional.named_weights([layer for group in self.groups for layer in group.layers])

    @property
    def blueprint(self) -> dict[str, Any]:
        """JSON-able data from which `rebuild` makes the same graph with random weights."""
        own: dict[str, Any] = {
            "backbone": self.backbone.blueprint,
            "head": self.head_spec,
            "num_classes": self.num_classes,
        }
        if self.joint:
            own["class_names"] = {task: list(part.class_names) for task, part in self.heads.items()}
            own["num_classes"] = {task: part.num_classes for task, part in self.heads.items()}
        return own


def replace_head(core: Core, head: Any) -> Core:
    """The core with another head object for the same layers."""
    call = change_call(core.only.call, core.head, head)
    return dataclasses.replace(core, heads={head.name: CoreHead(head, call, core.num_classes)})


def change_call(call: Call[HeadRow], old: Any, new: Any) -> Call[HeadRow]:
    """The call of `new`, which differs in some fields from `old`, the head that `call` makes."""
    if new is old:
        return call
    names = [field.name for field in dataclasses.fields(new)]
    values = {name: getattr(new, name) for name in names}
    return call.change(
        **{name: value for name, value in values.items() if value != getattr(old, name)}
    )


def replace_backbone(core: Core, backbone: Backbone) -> Core:
    """The core's head on a changed backbone, e.g. one with a prompt.

    Where the new taps have other names or shapes, the head is made anew, with random weights.

    Args:
        core: Core.
        backbone: Backbone of the same inputs.
    """
    old, new = core.backbone.taps, backbone.taps
    if {name: tap.shape for name, tap in old.items()} != {n: tap.shape for n, tap in new.items()}:
        return attach_head(backbone, core.only.call, core.num_classes)
    model, head = core.model, core.groups[-1]
    if any(old[name] is not new[name] for name in old):
        inputs = [(tensor, tensor) for tensor in backbone.inputs.values()]
        given = [*inputs, *((old[name], new[name]) for name in old)]
        (logits,) = functional.replay([core.model.output[core.head.name]], given)
        model = keras.Model(backbone.inputs, {core.head.name: logits}, name="core")
    groups = (*_reached(model, backbone.groups), head)
    return dataclasses.replace(core, model=model, backbone=backbone, groups=groups)


def _reached(model: keras.Model, groups: tuple[Group, ...]) -> tuple[Group, ...]:
    """The groups without the layers that are not in the model's graph."""
    reachable = {id(layer) for layer in model.layers}
    kept = [
        Group(group.name, tuple(layer for layer in group.layers if id(layer) in reachable))
        for group in groups
    ]
    return tuple(group for group in kept if group.layers)


def attach_head(backbone: Backbone, head_call: Call[HeadRow], num_classes: int) -> Core:
    """A core of a backbone and a head's `call_strings.Call`."""
    head = head_call.build()
    logits, layers = head.attach(backbone.taps, backbone.modality, num_classes)
    heads = {head.name: CoreHead(head, head_call, num_classes)}
    return core_of_heads(backbone, {head.name: logits}, layers, heads)


def core_of_heads(
    backbone: Backbone,
    outputs: dict[str, keras.KerasTensor],
    layers: Sequence[keras.Layer],
    heads: dict[str, CoreHead],
    joint: CoreHead | None = None,
) -> Core:
    """A core of a backbone and heads whose layers are there already.

    Args:
        backbone: of the core.
        outputs: name of an output -> its logits.
        layers: those of all heads.
        heads: see `Core`.
        joint: see `Core`.
    """
    model = keras.Model(backbone.inputs, outputs, name="core")
    groups = (*_reached(model, backbone.groups), Group("head", tuple(layers)))
    return Core(model, backbone, groups, heads, joint)

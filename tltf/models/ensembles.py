"""An ensemble as one core: the graphs of its members, and a layer that makes one answer of theirs.

Members whose preprocessing agrees take the same inputs, and what they compute alike, such as a frozen
backbone with the same weights, is computed once. The logits of the core are those of the joint answer, so
that whatever takes a core of one head takes an ensemble.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from tltf.config import call_strings
from tltf.config.call_strings import Call
from tltf.config.catalogs import HEADS, HeadRow
from tltf.data import label_kinds, several_preprocessings
from tltf.data.several_preprocessings import Preprocessing, SeveralTexts, SeveralTokenizers
from tltf.data.texts.preprocessing import TextPreprocessing
from tltf.errors import FlagError
from tltf.graphs import functional, joined_graph
from tltf.graphs.backbone import Backbone, Group
from tltf.graphs.core import Core, CoreHead, core_of_heads
from tltf.graphs.joined_graph import Identity, JoinedGraph
from tltf.graphs.layers.combinations import StackedLabels, WeightedMean
from tltf.heads.head import Head
from tltf.heads.regress import Regress
from tltf.runs import model_folder

WEIGHTED, STACKED = "weighted", "stacked"
"""How answers are combined: by the weighted mean of scores, or by a logistic regression on their logarithms."""
COMBINATION = "combination"
"""The name of the layer that combines them."""
MEMBERS, RULE = model_folder.MEMBERS, "rule"
"""Keys in the blueprint of an ensemble's backbone."""
LEAST, LEAST_SHARE = 1e-37, 1e-7
"""The smallest mean probability whose logarithm is taken, and the smallest that a regression sees."""


@dataclasses.dataclass(frozen=True)
class Member:
    """A model in an ensemble.

    Args:
        name: by which reports name it.
        core: of one head; it cannot be used any more after it has joined.
        preprocessing: makes its inputs.
        shared: name of a layer -> the layer of an earlier member that stands for it, as an ensemble
            that is read again has it; None compares the weights.
    """

    name: str
    core: Core
    preprocessing: Preprocessing
    shared: dict[str, str] | None = None


def head_call_of(heads: Sequence[Call[HeadRow]]) -> Call[HeadRow]:
    """The call of the head of an ensemble of members with these heads.

    Classes are combined whatever head gave their probabilities, and become those of a head `classify`.

    Raises:
        FlagError: heads of different kinds, or whose answers cannot be combined.
    """
    kinds, built = {_kind(head) for head in heads}, heads[0].build()
    if len(kinds) > 1:
        what = f"the members predict different things ({', '.join(sorted(kinds))})"
        raise FlagError(what, flag="runs", fix="runs of one task")
    if isinstance(built, Regress):
        levels = {head.build().quantiles for head in heads}
        if len(levels) > 1:
            what = "the members predict different quantiles, which have no mean"
            raise FlagError(what, flag="runs", fix="runs with the same quantiles in --head")
        given = {"quantiles": built.quantiles, "center": built.center, "scale": built.scale}
        return call_strings.pick(HEADS, call_strings.render("regress", given), "head")
    name = {label_kinds.CLASS: "classify", label_kinds.LABELS: "multi_label"}.get(built.target)
    if name is None or built.has_order:
        what = f"the answers of the head {heads[0].name} cannot be combined"
        fix = "runs with the head classify, neighbors, multi_label or regress"
        raise FlagError(what, flag="runs", fix=fix)
    return call_strings.pick(HEADS, name, "head")


def _kind(call: Call[HeadRow]) -> str:
    return call.row.kind if call.row else str(call.build().target)


@dataclasses.dataclass(frozen=True)
class JoinedMembers:
    """The graphs of several members as one graph.

    Args:
        members: in their order.
        inputs: name -> KerasTensor.
        preprocessing: makes these of raw inputs.
        answers: float32[B, K] of each member, what its head states.
        taps: of the first member, see `Backbone.taps`.
        blueprint: of each member, JSON data.
    """

    members: Sequence[Member]
    inputs: dict[str, keras.KerasTensor]
    preprocessing: Preprocessing
    answers: list[keras.KerasTensor]
    taps: dict[str, keras.KerasTensor]
    blueprint: list[dict[str, Any]]

    @property
    def takes_any_length(self) -> bool:
        """Whether the inputs are texts of any length, so that padding can be cut off."""
        is_text = isinstance(self.preprocessing, TextPreprocessing)
        return is_text and all(tensor.shape[1] is None for tensor in self.inputs.values())

    @property
    def model(self) -> keras.Model:
        """The model from the inputs to `{name of a member: its answers}`."""
        names = [member.name for member in self.members]
        return keras.Model(self.inputs, dict(zip(names, self.answers, strict=True)))


def join_members(members: Sequence[Member]) -> JoinedMembers:
    """The JoinedMembers of at least one member; what several compute alike stands once in their graph."""
    parts, places = _distinct_preprocessings(members)
    inputs = _make_inputs(members, parts, places)
    is_several = len(parts) > 1 and isinstance(parts[0], TextPreprocessing)
    graph, answers, blueprint = JoinedGraph(), list[keras.KerasTensor](), list[dict[str, Any]]()
    taps = dict[str, keras.KerasTensor]()
    for number, (member, place) in enumerate(zip(members, places, strict=True), 1):
        core, prefix = member.core, f"member_{number}_"
        assets = several_preprocessings.assets_folder(place) if is_several else ""
        described = _describe(member, assets)
        given = [
            (tensor, inputs[several_preprocessings.numbered(name, place)])
            for name, tensor in core.backbone.inputs.items()
        ]
        more = {} if taps else core.backbone.taps
        outputs = [core.model.output[core.head.name], *more.values()]
        tensors, shared = graph.add(prefix, outputs, given, _identity(member.shared, prefix))
        answers.append(core.head.scores(tensors[0]))
        taps = taps or dict(zip(more, tensors[1:], strict=True))
        blueprint.append(described | {"shared": shared})
    preprocessing = several_preprocessings.join(parts)
    return JoinedMembers(members, inputs, preprocessing, answers, taps, blueprint)


def join(
    members: Sequence[Member], rule: str, head_call: Call[HeadRow], num_classes: int
) -> tuple[Core, Preprocessing]:
    """`(core, preprocessing)` of an ensemble whose combination gives the plain mean, see `set_weights`.

    Args:
        members: at least one; the first is the one that features are taken of.
        rule: WEIGHTED or STACKED.
        head_call: of the ensemble, see `head_call_of`.
        num_classes: number of classes or labels; 0 for a number.
    """
    joined, first = join_members(members), members[0].core.backbone
    head: Head = head_call.build()
    logits, layers = _combine(joined.answers, rule, head, num_classes)
    functional.name_for_good([logits], COMBINATION)
    points = {f"member_{n}": [tensor] for n, tensor in enumerate(joined.answers, 1)}
    grouped = functional.layers_by_point(points)
    text_length = getattr(joined.preprocessing, "length", 0)
    backbone = Backbone(
        name="ensemble",
        modality=first.modality,
        inputs=joined.inputs,
        taps=joined.taps,
        groups=tuple(Group(name, own) for name, own in grouped.items()),
        tokenizer=_tokenizer(joined.preprocessing),
        image_size_px=first.image_size_px,
        channels=first.channels,
        text_length=text_length,
        pretrained=True,
        blueprint={
            "text": "ensemble",
            "pretrained": True,
            "image_size_px": first.image_size_px,
            "text_length": text_length,
            "memory": {},
            RULE: rule,
            MEMBERS: joined.blueprint,
        },
        members=tuple(member.name for member in members),
    )
    heads = {head.name: CoreHead(head, head_call, num_classes)}
    return core_of_heads(backbone, {head.name: logits}, layers, heads), joined.preprocessing


def set_weights(core: Core, *arrays: np.ndarray) -> None:
    """Sets the weights of the combination of an ensemble.

    Args:
        core: an ensemble.
        arrays: float[M] shares of a weighted mean; of stacked classes float[M * C, C] and float[C], of
            stacked labels float[M, C] and float[C].
    """
    (layer,) = core.groups[-1].layers
    layer.set_weights([np.asarray(array, np.float32) for array in arrays])


def inputs_of_stacking(scores: Sequence[np.ndarray] | np.ndarray, are_labels: bool) -> np.ndarray:
    """What a logistic regression on the answers of M members takes, as `join` computes it.

    Args:
        scores: float[N, C] of each member.
        are_labels: whether they are probabilities of labels, and not of classes.

    Returns:
        float64[N, M * C] logarithms of the classes' probabilities, member by member; float64[N, M, C]
        logits of labels.
    """
    clipped = np.clip(np.asarray(scores, np.float64), LEAST_SHARE, 1 - LEAST_SHARE)
    if are_labels:
        return np.moveaxis(np.log(clipped) - np.log1p(-clipped), 0, 1)
    return np.concatenate(list(np.log(clipped)), axis=1)


def logits_of_mean(head: Head, mean: np.ndarray) -> np.ndarray:
    """float64[N, L]: the logits of a head whose scores are a mean of scores float[N, K]."""
    mean = np.asarray(mean, np.float64)
    if isinstance(head, Regress):
        return (mean - (head.center or 0.0)) / head.unit
    if head.target == label_kinds.LABELS:
        clipped = np.clip(mean, LEAST_SHARE, 1 - LEAST_SHARE)
        return np.log(clipped) - np.log1p(-clipped)
    return np.log(np.maximum(mean, LEAST))


def _combine(
    answers: Sequence[keras.KerasTensor], rule: str, head: Head, num_classes: int
) -> tuple[keras.KerasTensor, list[keras.Layer]]:
    """`(logits, layers)` of the joint answer to the scores of each member."""
    are_labels = head.target == label_kinds.LABELS
    layer: keras.Layer
    if rule == STACKED:
        clipped = [ops.clip(scores, LEAST_SHARE, 1 - LEAST_SHARE) for scores in answers]
        if are_labels:
            layer = StackedLabels(name=COMBINATION, dtype="float32")
            return layer([ops.log(p) - ops.log1p(-p) for p in clipped]), [layer]
        layer = keras.layers.Dense(num_classes, dtype="float32", name=COMBINATION)
        return layer(ops.concatenate([ops.log(p) for p in clipped], axis=-1)), [layer]
    layer = WeightedMean(name=COMBINATION, dtype="float32")
    mean = layer(list(answers))
    if isinstance(head, Regress):
        return (mean - (head.center or 0.0)) / head.unit, [layer]
    if are_labels:
        clipped = ops.clip(mean, LEAST_SHARE, 1 - LEAST_SHARE)
        return ops.log(clipped) - ops.log1p(-clipped), [layer]
    return ops.log(ops.maximum(mean, LEAST)), [layer]


def _identity(shared: dict[str, str] | None, prefix: str) -> Identity:
    """What tells the weights of a member from those of others, see `Member.shared`."""
    if shared is None:
        return joined_graph.weights_identity

    def identity(name: str, operation: keras.Operation) -> str:
        return shared.get(name, prefix + name) if getattr(operation, "weights", ()) else ""

    return identity


def _distinct_preprocessings(
    members: Sequence[Member],
) -> tuple[list[Preprocessing], list[int]]:
    """`(different preprocessings, place of each member's among them)`."""
    keys, parts, places = list[object](), list[Preprocessing](), list[int]()
    for member in members:
        own = member.preprocessing
        key = _key(own)
        if key not in keys:
            keys.append(key)
            parts.append(own)
        place = keys.index(key)
        kept = parts[place]
        if isinstance(kept, TextPreprocessing) and isinstance(own, TextPreprocessing):
            names = tuple(dict.fromkeys([*kept.inputs, *own.inputs]))
            parts[place] = dataclasses.replace(kept, inputs=names)
        places.append(place)
    return parts, places


def _key(preprocessing: Preprocessing) -> object:
    """What is equal for two that make the same inputs; of texts, some members may take fewer of them."""
    if isinstance(preprocessing, TextPreprocessing):
        return preprocessing.length, preprocessing.fields, preprocessing.tokenizer_digest()
    return preprocessing


def _make_inputs(
    members: Sequence[Member], parts: Sequence[Preprocessing], places: Sequence[int]
) -> dict[str, keras.KerasTensor]:
    """Input name -> a new KerasTensor.

    Texts have any length where all members take that and are tokenized alike; otherwise that to which
    each preprocessing pads, since one length of a batch would not fit them all.
    """
    is_free = len(parts) == 1 and all(m.core.backbone.takes_any_length for m in members)
    inputs = dict[str, keras.KerasTensor]()
    for member, place in zip(members, places, strict=True):
        part = parts[place]
        for name, tensor in member.core.backbone.inputs.items():
            shape = tensor.shape[1:]
            if isinstance(part, TextPreprocessing):
                shape = (None,) if is_free else (part.length,)
            full = several_preprocessings.numbered(name, place)
            if full not in inputs:
                inputs[full] = keras.Input(shape, dtype=tensor.dtype, name=full)
    return inputs


def _tokenizer(preprocessing: Preprocessing) -> Any:
    if isinstance(preprocessing, SeveralTexts):
        return SeveralTokenizers([part.tokenizer for part in preprocessing.parts])
    return getattr(preprocessing, "tokenizer", None)


def _describe(member: Member, assets: str) -> dict[str, Any]:
    """The data that a member is rebuilt from, but for the layers that it shares."""
    return {
        "name": member.name,
        "core": member.core.blueprint,
        "preprocessing": member.preprocessing.to_config(),
        "assets": assets,
    }

"""Changes to a backbone for good: recorded in its blueprint, made again when it is rebuilt."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import keras

from tltf.backbones import cropping, prompt
from tltf.errors import ModelError
from tltf.graphs.backbone import Backbone, Group
from tltf.graphs.layers import adapter, in_place, prefix

RECORD = "inserted"
"""Key of the records in a blueprint."""
OF_THE_GRAPH = ("prompt", cropping.RECORD_KIND)
"""Kinds of changes to the graph, not to layers."""
KINDS = ("adapters", "prefix", *OF_THE_GRAPH)
MOST = 65536
"""Most vectors or units that a record may ask for."""


def insert(backbone: Backbone, kind: str, size: int, names: Sequence[str] = ()) -> Backbone:
    """A changed Backbone; the layers of the old one are changed too where they get parts.

    Args:
        backbone: the old one.
        kind: one of KINDS.
        size: number of units of a bottleneck, of vectors, or of groups that are removed; at least 1.
        names: names of the kernels that get adapters or a prefix, as `in_place.kernels` or
            `in_place.attentions` gives them.

    Raises:
        FlagError: see `prompt.add_prompt` and `cropping.crop`.
    """
    if kind == "prompt":
        changed = prompt.add_prompt(backbone, size)
    elif kind == cropping.RECORD_KIND:
        changed = cropping.crop(backbone, size)
    else:
        part = adapter if kind == "adapters" else prefix
        places = dict(_places(kind, backbone.groups))
        for name in names:
            part.add(places[name], size)
        changed = backbone
    record = {"kind": kind, "size": size, "names": list(names)}
    blueprint = backbone.blueprint
    blueprint = {**blueprint, RECORD: [*blueprint.get(RECORD, []), record]}
    return dataclasses.replace(changed, blueprint=blueprint)


def rebuild_parts(backbone: Backbone, records: Sequence[dict[str, Any]]) -> Backbone:
    """A Backbone with the parts that a blueprint records.

    Raises:
        ModelError: tltf has not written a record, or it does not fit the backbone.
    """
    for record in records:
        _check(backbone, record)
        backbone = insert(backbone, **record)
    return backbone


def copy_without_parts(layer: keras.Layer) -> keras.Layer:
    """A new layer of the same configuration, without the parts of this one."""
    kind: Any = type(layer).__mro__[1] if _has_part(layer) else type(layer)
    return kind.from_config(layer.get_config())


def put_into_copies(backbone: Backbone, copies: dict[str, keras.Layer]) -> None:
    """Gives copies of a backbone's layers the same parts, with new weights.

    Args:
        backbone: the backbone whose layers were copied.
        copies: name of a layer -> built layer of the same configuration.
    """
    groups = tuple(
        dataclasses.replace(group, layers=tuple(copies[layer.name] for layer in group.layers))
        for group in backbone.groups
    )
    records = [r for r in backbone.blueprint.get(RECORD, []) if r["kind"] not in OF_THE_GRAPH]
    rebuild_parts(dataclasses.replace(backbone, groups=groups, blueprint={}), records)


def take_out(backbone: Backbone) -> None:
    """Removes the parts that were inserted last from the layers."""
    record = backbone.blueprint[RECORD][-1]
    part = adapter if record["kind"] == "adapters" else prefix
    places = dict(_places(record["kind"], backbone.groups))
    for name in record["names"]:
        part.remove(places[name])


def _places(kind: str, groups: tuple[Group, ...]) -> list[tuple[str, keras.Layer]]:
    """`(name, layer)` of all layers that can have a part of this kind."""
    if kind == "prefix":
        return in_place.attentions(groups)
    return in_place.kernels(groups, adapter.takes_adapter)


def _has_part(layer: keras.Layer) -> bool:
    return adapter.has_adapter(layer) or prefix.has_prefix(layer)


def _check(backbone: Backbone, record: Any) -> None:
    """Refuses a record that `insert` does not write or that does not fit the backbone."""
    is_known = isinstance(record, dict) and set(record) == {"kind", "size", "names"}
    if not is_known or record["kind"] not in KINDS:
        raise ModelError(f"the backbone has an unknown part {record!r:.80}")
    size, names = record["size"], record["names"]
    if type(size) is not int or not 1 <= size <= MOST or not isinstance(names, list):
        raise ModelError(f"the backbone has a part of size {size!r:.80}")
    places = _places(record["kind"], backbone.groups) if names else []
    free = {name for name, layer in places if not _has_part(layer)}
    missing = [name for name in names if name not in free]
    if missing or len(set(names)) < len(names):
        raise ModelError(f"the backbone has no place for a part at {(missing or names)[0]!r:.80}")

"""Trained parts that stay in a backbone: recorded in its blueprint, put in again on a rebuild."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from tltf.backbones import prompt
from tltf.errors import ModelError
from tltf.graphs.backbone import Backbone, Group
from tltf.graphs.layers import adapter, in_place, prefix

RECORD = "inserted"
MOST = 65536
"""Vectors or units that a record may ask for."""


def insert(backbone: Backbone, kind: str, size: int, names: Sequence[str] = ()) -> Any:
    """A Backbone with more parts; the layers of the old one are changed too.

    Args:
        backbone: Backbone.
        kind: `adapters`, `prefix` or `prompt`.
        size: units of a bottleneck, or number of vectors; at least 1.
        names: of kernels, as `in_place.kernels` or `in_place.attentions` gives them, that get
            adapters or a prefix.

    Raises:
        FlagError: see `prompt.add_prompt`.
    """
    if kind == "prompt":
        changed = prompt.add_prompt(backbone, size)
    else:
        part = adapter if kind == "adapters" else prefix
        found = dict(_places(kind, backbone.groups))
        for name in names:
            part.add(found[name], size)
        changed = backbone
    record = {"kind": kind, "size": size, "names": list(names)}
    blueprint = backbone.blueprint
    blueprint = {**blueprint, RECORD: [*blueprint.get(RECORD, []), record]}
    return dataclasses.replace(changed, blueprint=blueprint)


def rebuild_parts(backbone: Any, records: Any) -> Any:
    """A Backbone with the parts of a blueprint's record.

    Raises:
        ModelError: a record that no backbone of tltf has written.
    """
    for record in records:
        _check(backbone, record)
        backbone = insert(backbone, **record)
    return backbone


def plain(layer: Any) -> Any:
    """A new layer of the same configuration, without the parts of this one."""
    kind: Any = type(layer).__mro__[1] if _has_part(layer) else type(layer)
    return kind.from_config(layer.get_config())


def put_into_copies(backbone: Backbone, copies: dict[str, Any]) -> None:
    """Gives copies of a backbone's layers the parts that those keep; their weights are new.

    Args:
        backbone: Backbone.
        copies: name of a layer -> built layer of the same configuration.
    """
    groups = tuple(
        dataclasses.replace(group, layers=tuple(copies[layer.name] for layer in group.layers))
        for group in backbone.groups
    )
    records = [r for r in backbone.blueprint.get(RECORD, []) if r["kind"] != "prompt"]
    rebuild_parts(dataclasses.replace(backbone, groups=groups, blueprint={}), records)


def take_out(backbone: Backbone) -> None:
    """Takes what was inserted last out of the layers again."""
    record = backbone.blueprint[RECORD][-1]
    part = adapter if record["kind"] == "adapters" else prefix
    found = dict(_places(record["kind"], backbone.groups))
    for name in record["names"]:
        part.remove(found[name])


def _places(kind: str, groups: tuple[Group, ...]) -> list[tuple[str, Any]]:
    """`(name, layer)` of all layers that can have such a part."""
    if kind == "prefix":
        return in_place.attentions(groups)
    return in_place.kernels(groups, adapter.takes_adapter)


def _has_part(layer: Any) -> bool:
    return adapter.has_adapter(layer) or prefix.has_prefix(layer)


def _check(backbone: Any, record: Any) -> None:
    """Refuses what is not of the form that `insert` writes, or does not fit the backbone."""
    is_known = isinstance(record, dict) and set(record) == {"kind", "size", "names"}
    if not is_known or record["kind"] not in ("adapters", "prefix", "prompt"):
        raise ModelError(f"the backbone has an unknown part {record!r:.80}")
    size, names = record["size"], record["names"]
    if type(size) is not int or not 1 <= size <= MOST or not isinstance(names, list):
        raise ModelError(f"the backbone has a part of size {size!r:.80}")
    places = _places(record["kind"], backbone.groups) if names else []
    free = {name for name, layer in places if not _has_part(layer)}
    missing = [name for name in names if name not in free]
    if missing or len(set(names)) < len(names):
        raise ModelError(f"the backbone has no place for a part at {(missing or names)[0]!r:.80}")

"""Adapter files: the weights that a training changed, without those of their base.

An adapter file is one safetensors file. It holds every variable that was trained, under its name in
`functional.named_weights`: the updates or biases, the head, and batch-norm statistics that moved. Its
metadata holds the flags, the classes, and the SHA-256 of all weights that stayed as they were, so that
it loads only onto the same base, whatever name that has.
"""

import contextlib
import dataclasses
import hashlib
import json
import pathlib
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import keras
import numpy as np
from safetensors.numpy import save

from tltf.backbones import builder
from tltf.config import call_strings
from tltf.config.catalogs import BACKBONES, HEADS, METHODS
from tltf.config.catalogs.row import Row
from tltf.data.preprocessing import preprocessing_of
from tltf.errors import FlagError, ModelError, choices_text
from tltf.files import atomic_files, untrusted
from tltf.graphs import build_limits, functional
from tltf.graphs.backbone import Group
from tltf.graphs.core import Core, attach_head
from tltf.methods.context import FitContext
from tltf.methods.method import Method, TrainingOutcome
from tltf.models.transfer_model import TransferModel
from tltf.runs import layout

FILE = layout.ADAPTER
FORMAT = 1
MOST_TRAINED = 0.25
"""A run that trained at most this share of the weights leaves an adapter file."""
MAX_HEADER_BYTES = 2**20
"""Size of the largest header that is read."""
_TEXTS = ("backbone", "backbone_weights", "head", "method", "modality", "base_sha256")


@dataclasses.dataclass(frozen=True)
class Adapter:
    """A trained change of a base.

    Args:
        arrays: name -> array of each variable that was trained.
        about: JSON-able dict: `backbone`, `backbone_weights`, `head`, `method`, `modality`,
            `class_names`, `preprocessing`, `base_sha256`, and `flags` for people to read.
    """

    arrays: dict[str, np.ndarray]
    about: dict[str, Any]


def extract(
    core: Core, moved: dict[str, keras.Variable]
) -> tuple[dict[str, np.ndarray], str] | None:
    """`(arrays, base_sha256)` of a trained core; None if the training changed too much of it.

    Args:
        core: a core on which the method's `finish` has not run yet.
        moved: the variables that the training changed, by name.
    """
    variables = core.named_weights()
    sizes = {name: int(np.prod(variable.shape)) for name, variable in variables.items()}
    trained = sum(sizes[name] for name in moved)
    if not core.backbone.pretrained or trained > MOST_TRAINED * sum(sizes.values()):
        return None
    arrays = {name: variable.numpy() for name, variable in moved.items()}
    return arrays, _digest(variables, moved)


def write(path: pathlib.Path, adapter: Adapter) -> None:
    """Writes an adapter file, whole or not at all."""
    about = json.dumps({"format": FORMAT, **adapter.about})
    arrays = {name: np.ascontiguousarray(array) for name, array in adapter.arrays.items()}
    with atomic_files.replace_file(path, "wb") as file:
        file.write(save(arrays, {"tltf": about}))


def read(path: pathlib.Path | str) -> Adapter:
    """The Adapter in a file, from which nothing is run.

    Raises:
        ModelError: the file does not exist, is damaged, or is not an adapter of tltf.
    """
    with untrusted.open_safetensors(path, MAX_HEADER_BYTES) as file:
        about = untrusted.parse_json((file.metadata() or {}).get("tltf", "null"), path)
        _check(about, path)
        names = list(file.keys())
        return Adapter({name: file.get_tensor(name) for name in names}, about)


@dataclasses.dataclass(frozen=True)
class _InUse:
    """The adapter that is in use, and how to take it off the base again."""

    name: str
    method: Method
    core: Core
    before: dict[str, np.ndarray]


class Base:
    """One pretrained backbone with any number of adapters, of which one is in use.

    The backbone's weights are loaded once; `use` exchanges the variables that an adapter holds.

    Args:
        adapter: the path of an adapter file, which names the backbone.
        backbone: a backbone in place of the one that the file names, such as a folder.

    Raises:
        ModelError: the file is refused.
    """

    def __init__(self, adapter: pathlib.Path | str, backbone: str = "") -> None:
        about = read(adapter).about
        name = backbone or about["backbone"]
        is_preset = name.startswith("hub:") and "/" not in name
        if not backbone and call_strings.name_of(name) not in BACKBONES and not is_preset:
            raise ModelError(
                f"its base is {name!r}, which is not a name of --list=backbones",
                place=adapter,
                fix="backbone=FOLDER names the base here",
            )
        sizes = about["preprocessing"]
        with untrusted.refuse_failures("its base cannot be built", adapter):
            self.backbone = builder.build(
                name,
                weights=about["backbone_weights"],
                image_size_px=sizes.get("size_px", 0),
                text_length=sizes.get("length", 0),
            )
        self._adapters: dict[str, tuple[Adapter, Core, Method]] = {}
        self._used: _InUse | None = None

    @property
    def in_use(self) -> str:
        """The name of the adapter in use; empty for none."""
        return self._used.name if self._used else ""

    def add(self, name: str, path: pathlib.Path | str) -> None:
        """Reads an adapter file and checks that it fits this base, which stays as it is.

        Args:
            name: the adapter's name for `use`.
            path: the file.

        Raises:
            ModelError: the adapter was trained on another base, or is damaged.
        """
        adapter, before = read(path), self.in_use
        sizes = [array.nbytes for array in adapter.arrays.values()]
        self._release()
        try:
            with (
                untrusted.refuse_failures("it cannot be put onto its base", path),
                _refuse_misfits(path),
                build_limits.limit_to_file(sum(sizes), len(sizes), path),
            ):
                joined, method, core = self._prepare(adapter.about)
                try:
                    _require_fit(adapter, core.named_weights(), path)
                    _transfer_model(core, adapter.about)
                finally:
                    method.release(core)
            self._adapters[name] = adapter, joined, method
        finally:
            if before:
                self.use(before)

    def use(self, name: str) -> TransferModel:
        """The TransferModel of an adapter; what `use` gave before computes with this adapter from now on.

        Raises:
            FlagError: the name was not added.
        """
        if name not in self._adapters:
            near = choices_text(name, self._adapters)
            raise FlagError(
                f"there is no adapter {name!r} (choices: {near})", fix="add(name, path) first"
            )
        self._release()
        adapter, joined, method = self._adapters[name]
        core = method.prepare(joined, FitContext())
        variables = core.named_weights()
        own = self._weights().keys() & adapter.arrays.keys()
        before = {key: variables[key].numpy() for key in own}
        for key, array in adapter.arrays.items():
            variables[key].assign(array)
        self._used = _InUse(name, method, core, before)
        return _transfer_model(core, adapter.about)

    def _release(self) -> None:
        """Makes the backbone what it was when it was loaded; heads and parts keep their weights."""
        if self._used is None:
            return
        variables = self._used.core.named_weights()
        for key, array in self._used.before.items():
            variables[key].assign(array)
        self._used.method.release(self._used.core)
        self._used = None

    def merge(self) -> TransferModel:
        """The TransferModel of the adapter in use, merged into the base, which takes no other any more."""
        if self._used is None:
            raise FlagError("no adapter is in use", fix="use(name) first")
        core = self._used.method.finish(self._used.core, TrainingOutcome({}, {}, None))
        adapter, _, _ = self._adapters[self._used.name]
        return _transfer_model(core, adapter.about)

    def _weights(self) -> dict[str, keras.Variable]:
        """The backbone's variables as they are now, by name."""
        return functional.named_weights([x for group in self.backbone.groups for x in group.layers])

    def _prepare(self, about: dict[str, Any]) -> tuple[Core, Method, Core]:
        """`(core, method, core that the method prepared)`; a failure leaves the backbone as it is."""
        head = call_strings.pick(HEADS, about["head"], "head")
        core = attach_head(self.backbone, head, len(about["class_names"]))
        method = call_strings.pick(METHODS, about["method"], "method").build()
        with _undo_on_failure(self.backbone.groups):
            return core, method, method.prepare(core, FitContext())


@contextlib.contextmanager
def _refuse_misfits(path: pathlib.Path | str) -> Iterator[None]:
    """A block whose errors of flags and models say that the file does not fit its base."""
    try:
        yield
    except (FlagError, ModelError) as error:
        if isinstance(error, ModelError) and error.place:
            raise
        raise ModelError(
            f"does not fit its base: {error.what}",
            place=path,
            fix="give the base that it was trained on",
        ) from error


@contextlib.contextmanager
def _undo_on_failure(groups: tuple[Group, ...]) -> Iterator[None]:
    """A block that undoes its changes of the groups' layers (see `graphs.layers.in_place`) if it fails."""
    every = [x for group in groups for layer in group.layers for x in layer._flatten_layers()]
    before = [(layer, type(layer), {id(v) for v in layer._trainable_variables}) for layer in every]
    try:
        yield
    except BaseException:
        for layer, kind, own in before:
            added = [v for v in layer._trainable_variables if id(v) not in own]
            layer._tracker.lock()
            layer.__class__ = kind
            for variable in added:
                layer._untrack_variable(variable)
                layer.__dict__.pop(variable.name, None)
        raise


def load(path: pathlib.Path | str, backbone: str = "") -> TransferModel:
    """The TransferModel of an adapter file on a fresh base, merged into it.

    Args:
        path: the file.
        backbone: a backbone in place of the one that the file names, such as a folder.

    Raises:
        ModelError: the file is damaged, or was trained on another base.
    """
    base = Base(path, backbone)
    base.add("it", path)
    base.use("it")
    return base.merge()


def _transfer_model(core: Core, about: dict[str, Any]) -> TransferModel:
    preprocessing = preprocessing_of(about, core.backbone)
    return TransferModel(core, preprocessing, tuple(about["class_names"]))


def _digest(variables: dict[str, keras.Variable], changed: Collection[str]) -> str:
    """Hexadecimal SHA-256 of the names and values of all variables that are not in `changed`."""
    digest = hashlib.sha256()
    for name in sorted(variables.keys() - set(changed)):
        array = np.ascontiguousarray(variables[name].numpy())
        digest.update(f"{name} {array.dtype} {array.shape}".encode())
        digest.update(array.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def _require_fit(
    adapter: Adapter, variables: dict[str, keras.Variable], path: pathlib.Path | str
) -> None:
    for name, array in adapter.arrays.items():
        there = variables.get(name)
        if there is None or there.shape != array.shape or there.dtype != array.dtype.name:
            own = f"{tuple(there.shape)} {there.dtype}" if there is not None else "nothing"
            what = f"{name} is {array.shape} {array.dtype}, but the base has {own} there"
            raise ModelError(what, place=path)
    if _digest(variables, adapter.arrays) != adapter.about["base_sha256"]:
        raise ModelError(
            f"was trained on other weights than this {adapter.about['backbone']} has",
            place=path,
            fix="give the base that it was trained on",
        )


def _check(about: object, path: pathlib.Path | str) -> None:
    if not isinstance(about, dict) or about.get("format") != FORMAT:
        raise ModelError("is not an adapter of this version of tltf", place=path)
    kinds = {**dict.fromkeys(_TEXTS, str), "class_names": list, "preprocessing": dict}
    for key, kind in kinds.items():
        if type(about.get(key)) is not kind:
            raise ModelError(f"has no {key!r} of type {kind.__name__}", place=path)
    catalogs: dict[str, Mapping[str, Row]] = {"head": HEADS, "method": METHODS}
    for key, catalog in catalogs.items():
        if call_strings.name_of(about[key]) not in catalog:
            raise ModelError(f"the {key} {about[key]!r} is not part of tltf", place=path)

"""Adapter files: what a training changed, without the base that it stands on.

One safetensors file. It holds every variable that was trained, by `functional.named_weights`: the
updates or biases, the head, and batch-norm statistics that moved; and as metadata the flags, the
classes, and the SHA-256 of all weights that stayed as they were. So it loads onto the same base
only, whatever that is called.
"""

import contextlib
import dataclasses
import hashlib
import json
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

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
from tltf.methods.additive import Additive
from tltf.methods.context import FitContext
from tltf.methods.lora import Lora
from tltf.methods.method import Method, TrainingOutcome
from tltf.models.trained import Trained
from tltf.runs import layout

FILE = layout.ADAPTER
FORMAT = 1
MOST_TRAINED = 0.25
"""A run that trained at most this share of the weights leaves an adapter file."""
MAX_HEADER_BYTES = 2**20
_TEXTS = ("backbone", "backbone_weights", "head", "method", "modality", "base_sha256")


@dataclasses.dataclass(frozen=True)
class Adapter:
    """A trained change of a base.

    Args:
        arrays: name -> array of what was trained.
        about: JSON-able dict: `backbone`, `backbone_weights`, `head`, `method`, `modality`,
            `class_names`, `preprocessing`, `base_sha256`, and `flags` for people.
    """

    arrays: dict
    about: dict


def of_training(core: Core, moved: dict[str, Any]) -> tuple[dict[str, np.ndarray], str] | None:
    """`(arrays, base_sha256)` of a core that was trained and not finished; None if too much moved.

    Args:
        core: Core.
        moved: name -> keras.Variable that training changed.
    """
    variables = core.named_weights()
    sizes = {name: int(np.prod(variable.shape)) for name, variable in variables.items()}
    trained = sum(sizes[name] for name in moved)
    if not core.backbone.pretrained or trained > MOST_TRAINED * sum(sizes.values()):
        return None
    arrays = {name: variable.numpy() for name, variable in moved.items()}
    return arrays, _digest(variables, moved)


def write(path: pathlib.Path, adapter: Any) -> None:
    """Writes the file whole or not at all."""
    about = json.dumps({"format": FORMAT, **adapter.about})
    arrays = {name: np.ascontiguousarray(array) for name, array in adapter.arrays.items()}
    with atomic_files.replace_file(path, "wb") as file:
        file.write(save(arrays, {"tltf": about}))


def read(path: Any) -> Any:
    """The `Adapter` of a file; nothing in it is run.

    Raises:
        ModelError: no such file, a damaged one, or one that is not an adapter of tltf.
    """
    with untrusted.open_safetensors(path, MAX_HEADER_BYTES) as file:
        about: Any = untrusted.parse_json((file.metadata() or {}).get("tltf", "null"), path)
        _check(about, path)
        names = list(file.keys())
        return Adapter({name: file.get_tensor(name) for name in names}, about)


class Base:
    """One pretrained backbone with any number of adapters, of which one is in use.

    The backbone's weights are loaded once; `use` exchanges what an adapter holds.

    Args:
        adapter: path of an adapter file, which names the backbone.
        backbone: in place of what the file names, e.g. a folder.

    Raises:
        ModelError: a file that is refused.
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
        self._known: dict = {}
        self._kept: Any = None
        self.in_use = ""

    def add(self, name: str, path: str) -> None:
        """Reads an adapter file and checks that it fits this base, which stays as it is.

        Args:
            name: for `use`.
            path: of the file.

        Raises:
            ModelError: it was trained on another base, or is damaged.
        """
        adapter, before = read(path), self.in_use
        sizes = [array.nbytes for array in adapter.arrays.values()]
        self._release()
        try:
            with (
                untrusted.refuse_failures("it cannot be put onto its base", path),
                _of_file(path),
                build_limits.limit_to_file(sum(sizes), len(sizes), path),
            ):
                joined, method, core = self._prepared(adapter.about)
                try:
                    _require_fit(adapter, core.named_weights(), path)
                    _trained(core, adapter.about)
                finally:
                    method.release(core)
            self._known[name] = adapter, joined, method
        finally:
            if before:
                self.use(before)

    def use(self, name: str) -> Trained:
        """The `Trained` of an adapter; those that were given before compute something else now.

        Raises:
            FlagError: a name that was not added.
        """
        if name not in self._known:
            near = choices_text(name, self._known)
            raise FlagError(f"no adapter {name!r} (choices: {near})", fix="add(name, path) first")
        self._release()
        adapter, joined, method = self._known[name]
        core = method.prepare(joined, FitContext())
        variables = core.named_weights()
        own = self._weights().keys() & adapter.arrays.keys()
        before = {key: variables[key].numpy() for key in own}
        for key, array in adapter.arrays.items():
            variables[key].assign(array)
        self.in_use, self._kept = name, (method, core, before)
        return _trained(core, adapter.about)

    def _release(self) -> None:
        """The backbone as it was loaded; heads and parts keep what they have."""
        if not self.in_use:
            return
        method, core, before = self._kept
        variables = core.named_weights()
        for key, array in before.items():
            variables[key].assign(array)
        method.release(core)
        self.in_use, self._kept = "", None

    def _weights(self) -> dict[str, Any]:
        """Name -> keras.Variable of the backbone as it is now."""
        return functional.named_weights([x for group in self.backbone.groups for x in group.layers])

    def _prepared(self, about: dict[str, Any]) -> tuple[Core, Additive | Lora | Method, Core]:
        """`(core, method, what the method prepared)`; where that fails the backbone stays as it is."""
        head = call_strings.pick(HEADS, about["head"], "head")
        core = attach_head(self.backbone, head, len(about["class_names"]))
        method = call_strings.pick(METHODS, about["method"], "method").build()
        with _undoing(self.backbone.groups):
            return core, method, method.prepare(core, FitContext())


@contextlib.contextmanager
def _of_file(path: str) -> Iterator[Any]:
    """A block in which what does not fit is the file's fault and is said of it."""
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
def _undoing(groups: tuple[Group, ...]) -> Iterator[Any]:
    """A block whose changes of the groups' layers, see `graphs.layers.in_place`, are undone if it fails."""
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


def load(path: Any, backbone: str = "") -> Trained:
    """The `Trained` of an adapter file on a fresh base, merged into it.

    Args:
        path: of the file.
        backbone: in place of what the file names, e.g. a folder.

    Raises:
        ModelError: the file is damaged, or was trained on another base.
    """
    base = Base(path, backbone)
    base.add("it", path)
    trained = base.use("it")
    method, core, _ = base._kept
    trained.core = method.finish(core, TrainingOutcome({}, {}, None))
    return trained


def _trained(core: Core, about: dict[str, Any]) -> Trained:
    preprocessing = preprocessing_of(about, core.backbone)
    return Trained(core, preprocessing, tuple(about["class_names"]))


def _digest(variables: dict[str, Any], changed: dict[str, Any]) -> str:
    """Hexadecimal SHA-256 of the names and values of all variables that are not in `changed`."""
    digest = hashlib.sha256()
    for name in sorted(variables.keys() - changed.keys()):
        array = np.ascontiguousarray(variables[name].numpy())
        digest.update(f"{name} {array.dtype} {array.shape}".encode())
        digest.update(array.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def _require_fit(adapter: Adapter, variables: dict[str, Any], path: str) -> None:
    for name, array in adapter.arrays.items():
        there = variables.get(name)
        if there is None or there.shape != array.shape or there.dtype != array.dtype.name:
            found = f"{tuple(there.shape)} {there.dtype}" if there is not None else "nothing"
            what = f"{name} is {array.shape} {array.dtype}, the base has {found} there"
            raise ModelError(what, place=path)
    if _digest(variables, adapter.arrays) != adapter.about["base_sha256"]:
        raise ModelError(
            f"was trained on other weights than this {adapter.about['backbone']} has",
            place=path,
            fix="give the base that it was trained on",
        )


def _check(about: Sequence[int] | dict[str, Any] | None, path: pathlib.Path | str) -> None:
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

"""Reads weights files of three formats and compares each with the network before a value is read.

The formats are safetensors (with the names of `functional.named_weights`), Keras 3 `.weights.h5`,
and the older `.h5` with the weights of each layer. Whole models, pickles, and HDF5 files whose
links or storage lead elsewhere are refused. Except for an old head, file and network must have the
same weights.
"""

import math
import os
import pathlib
import re
import tempfile
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import h5py
import keras
import numpy as np
import safetensors.numpy
from safetensors import safe_open

from tltf.errors import FlagError, ModelError, StorageError
from tltf.files import assets, atomic_files, untrusted
from tltf.graphs import functional

FLAG = "backbone_weights"
"""The flag that names a weights file."""
_REAL = ("float16", "float32", "float64", "f16", "f32", "f64")
"""Data types of weights, as numpy and as safetensors name them."""
_MAX_OBJECTS = 100_000
"""Most groups and datasets in an HDF5 file."""
_MAX_CHUNK_BYTES = 64 * 2**20
"""Largest chunk that a small dataset of an HDF5 file may be stored in."""
_OLD_HEADS = re.compile(r"(layers/)?(predictions|probs|fc\d*|logits|dense(_\d+)?|head|top_dense)\b")
"""Names of layers of a head, which the network need not have."""


class _Array(Protocol):
    """What may become a numpy array: one itself, a dataset of HDF5, a tensor of safetensors."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    @property
    def dtype(self) -> Any: ...


def load(model: keras.Model, path: pathlib.Path | str, name: str) -> None:
    """Sets every weight of `model` from a file.

    Args:
        model: a built model.
        path: a `.safetensors`, `.weights.h5` or `.h5` file.
        name: name of the network, for errors.

    Raises:
        FlagError: there is no such file.
        ModelError: the format is refused, or the weights are of another network; the first three
            differences are named.
    """
    path = pathlib.Path(os.path.expanduser(path))
    if not path.is_file():
        raise FlagError(f"there is no weights file {path}", flag=FLAG, fix=f"--{FLAG}=none")
    if path.suffix == ".safetensors":
        with untrusted.open_safetensors(path) as file:
            arrays = {key: _Stored(file, key) for key in file.keys()}  # noqa: SIM118 (not a dict)
            load_named(functional.named_weights(model.layers), arrays, path, name)
    elif path.suffix == ".h5":
        _load_h5(model, path, name)
    else:
        raise ModelError(
            f"a {path.suffix or 'nameless'} file is not read as weights",
            flag=FLAG,
            place=path,
            fix="save them with model.save_weights('name.weights.h5')",
        )


def load_named(
    variables: dict[str, keras.Variable],
    arrays: Mapping[str, _Array],
    place: pathlib.Path,
    name: str,
) -> None:
    """Sets `variables` from `arrays` of the same names and shapes.

    Args:
        variables: name -> variable.
        arrays: name -> array, or what becomes one.
        place: the file, for errors.
        name: name of the network, for errors.

    Raises:
        ModelError: names or shapes differ, or an array does not hold real numbers.
    """
    _compare(
        {key: tuple(variable.shape) for key, variable in variables.items()},
        {key: tuple(array.shape) for key, array in arrays.items()},
        place,
        name,
    )
    _require_numbers(arrays, variables, place, name)
    for key, variable in variables.items():
        variable.assign(np.asarray(arrays[key]))


def _require_numbers(
    arrays: Mapping[str, _Array],
    variables: dict[str, keras.Variable],
    place: pathlib.Path,
    name: str,
) -> None:
    """Refuses arrays of anything but real numbers, whose width may differ from the variable's."""
    for key in variables:
        dtype = arrays[key].dtype
        if str(dtype).lower() not in _REAL:
            what = f"holds weights of another network than {name}: {key} holds {dtype}, not real numbers"
            raise ModelError(what, flag=FLAG, place=place)


class _Stored:
    """A tensor of an open safetensors file, read when it becomes an array."""

    def __init__(self, file: safe_open, key: str) -> None:
        self._file, self._key = file, key
        self.shape: tuple[int, ...] = tuple(file.get_slice(key).get_shape())
        self.dtype = file.get_slice(key).get_dtype()

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        return self._file.get_tensor(self._key)


def convert_once(
    asset_id: str, convert: Callable[[pathlib.Path], dict[str, np.ndarray]], name: str = ""
) -> pathlib.Path:
    """The safetensors file with what is made of an asset's weights, made once and kept in the cache.

    Args:
        asset_id: a key of `assets.ASSETS`.
        convert: makes arrays by name from the asset's folder.
        name: name of the file without ending; empty for `asset_id`.
    """
    folder = assets.cache_folder() / "converted"
    target = folder / f"{name or asset_id}.safetensors"
    if target.is_file():
        return target
    source = assets.fetch(asset_id)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with assets.process_lock(assets.cache_folder(), f"{name or asset_id}.converted"):
            if not target.is_file():  # another process may have been faster
                with atomic_files.replace_path(target) as part:
                    safetensors.numpy.save_file(convert(source), part)
    except OSError as error:
        raise StorageError(f"{asset_id}: {error}", place=folder) from error
    return target


def open_h5(path: pathlib.Path) -> h5py.File:
    """An HDF5 file of which every dataset is known to be stored in the file itself.

    Raises:
        ModelError: it is not an HDF5 file, or it has links, virtual or external storage.
    """
    untrusted.require_file(path)
    try:
        opened = h5py.File(path, "r")
    except OSError as error:
        raise ModelError(f"is not a readable HDF5 file ({error})", flag=FLAG, place=path) from error
    try:
        bad = _first_foreign(opened, {h5py.h5o.get_info(opened.id).addr})
    except (OSError, KeyError, RuntimeError, ValueError, RecursionError) as error:
        opened.close()
        raise ModelError(f"is not a readable HDF5 file ({error})", flag=FLAG, place=path) from error
    if bad:
        opened.close()
        raise ModelError(bad, flag=FLAG, place=path)
    return opened


def _first_foreign(group: h5py.Group, seen: set[int]) -> str:
    """What is wrong with the first link or dataset that is not plainly stored in the file, or "".

    Args:
        group: the group to search.
        seen: addresses of the objects so far. A second name of an object may make a circle, or a
            tree of few objects with more branches than can be counted.
    """
    for key in group:
        name = f"{group.name.rstrip('/')}/{key}"
        if not isinstance(group.get(key, getlink=True), h5py.HardLink):
            return f"{name} leads out of the file or is virtual"
        item = group[key]
        place = h5py.h5o.get_info(item.id).addr
        if place in seen:
            return f"{name} is a second name of another object in the file"
        seen.add(place)
        if len(seen) > _MAX_OBJECTS:
            return f"holds more than {_MAX_OBJECTS} objects"
        bad = _first_foreign(item, seen) if isinstance(item, h5py.Group) else _fault(item)
        if bad:
            return bad
    return ""


def _fault(item: h5py.Dataset | h5py.Datatype) -> str:
    """What is wrong with a dataset, or ""."""
    if not isinstance(item, h5py.Dataset):
        return f"{item.name} is not a dataset"
    if item.is_virtual or item.external:
        return f"{item.name} leads out of the file or is virtual"
    if item.dtype.kind not in "fiub":
        return f"{item.name} holds {item.dtype}, not numbers"
    chunk_bytes = math.prod(item.chunks or (0,)) * item.dtype.itemsize
    if chunk_bytes > max(item.nbytes, _MAX_CHUNK_BYTES):
        return f"{item.name} has {item.nbytes} bytes, stored in a chunk of {chunk_bytes} bytes"
    return ""


def count_h5(path: pathlib.Path) -> int:
    """The number of datasets in an HDF5 file."""
    with open_h5(path) as opened:
        return len(datasets(opened))


def datasets(group: h5py.Group, prefix: str = "") -> dict[str, h5py.Dataset]:
    """Path -> dataset of all datasets below a group."""
    result = {}
    for key, item in group.items():
        path = f"{prefix}{key}"
        result.update(datasets(item, f"{path}/") if isinstance(item, h5py.Group) else {path: item})
    return result


def _load_h5(model: keras.Model, path: pathlib.Path, name: str) -> None:
    """Sets the weights of a model from either format of HDF5."""
    with open_h5(path) as opened:
        if "model_config" in opened.attrs:
            raise ModelError(
                "a whole model in HDF5 is not opened",
                flag=FLAG,
                place=path,
                fix="save its weights with model.save_weights('name.weights.h5')",
            )
        with untrusted.refuse_failures("holds no readable weights", path):
            if "layer_names" in opened.attrs:
                variables, arrays = _by_layer(model, opened)
                load_named(variables, arrays, path, name)
                return
            shapes = {key: item.shape for key, item in datasets(opened).items()}
    _compare(_keras_paths(model), shapes, path, name)
    with untrusted.refuse_failures("holds no readable weights", path):
        model.load_weights(path)


def _by_layer(
    model: keras.Model, opened: h5py.File
) -> tuple[dict[str, keras.Variable], dict[str, h5py.Dataset]]:
    """Variables and datasets of the older format by `<layer>/<n>`, the layers paired in order."""
    own = [layer for layer in model.layers if layer.weights]
    variables, arrays, index = {}, {}, 0
    for layer_name in map(_text, opened.attrs["layer_names"]):
        group = opened[layer_name]
        names = [_text(item) for item in group.attrs["weight_names"]]
        if not all(isinstance(group.get(item), h5py.Dataset) for item in names):
            raise ValueError(f"a weight of {layer_name} is not a dataset")
        if not names or (_OLD_HEADS.match(layer_name) and index >= len(own)):
            continue
        key = own[index].name if index < len(own) else layer_name
        arrays.update({f"{key}/{n}": group[item] for n, item in enumerate(names)})
        index += 1
    for layer in own:
        ordered = layer.trainable_weights + layer.non_trainable_weights
        variables.update({f"{layer.name}/{n}": weight for n, weight in enumerate(ordered)})
    return variables, arrays


def _text(value: bytes | str) -> str:
    return value.decode("utf-8") if isinstance(value, bytes) else str(value)


def _keras_paths(model: keras.Model) -> dict[str, tuple[int, ...]]:
    """Dataset path -> shape as this version of Keras writes a model, read from a file it writes."""
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "own.weights.h5"
        model.save_weights(path)
        with h5py.File(path, "r") as opened:
            return {key: item.shape for key, item in datasets(opened).items()}


def _compare(
    expected: dict[str, tuple[int, ...]],
    stored: dict[str, tuple[int, ...]],
    place: pathlib.Path,
    name: str,
) -> None:
    """Raises ModelError with the first three differences between the shapes of network and file."""
    other = [
        f"{key}: {tuple(stored[key])} in the file, {shape} in the network"
        for key, shape in expected.items()
        if key in stored and tuple(stored[key]) != tuple(shape)
    ]
    missing = [
        f"{key}: missing in the file, {shape} in the network"
        for key, shape in expected.items()
        if key not in stored
    ]
    extra = [
        f"{key}: {tuple(shape)} in the file, not in the network"
        for key, shape in stored.items()
        if key not in expected and not _OLD_HEADS.match(key)
    ]
    faults = other + missing + extra
    if faults:
        more = f" and {len(faults) - 3} more" if len(faults) > 3 else ""
        raise ModelError(
            f"holds weights of another network than {name}: {'; '.join(faults[:3])}{more}",
            flag=FLAG,
            place=place,
        )

"""Weights files: three formats, each compared with the network before a value is read.

Read are safetensors (names of `functional.named_weights`), Keras 3 `.weights.h5` and the older
`.h5` of weights by layer. Refused are whole models, pickles and HDF5 files whose links or
storage lead elsewhere. Outside of an old head nothing may be missing and nothing left over.
"""

import math
import os
import pathlib
import re
import tempfile
from collections.abc import Callable
from typing import Any

import h5py
import numpy as np
import safetensors.numpy

from tltf.errors import FlagError, ModelError, StorageError
from tltf.files import assets, atomic_files, untrusted
from tltf.graphs import functional

FLAG = "backbone_weights"
_REAL = ("float16", "float32", "float64", "f16", "f32", "f64")
_MAX_OBJECTS = 100_000
_MAX_CHUNK_BYTES = 64 * 2**20
_OLD_HEADS = re.compile(r"(layers/)?(predictions|probs|fc\d*|logits|dense(_\d+)?|head|top_dense)\b")


def load(model: Any, path: pathlib.Path | str, name: str) -> None:
    """Sets every weight of `model` from a file.

    Args:
        model: a built keras.Model.
        path: `.safetensors`, `.weights.h5` or `.h5`.
        name: of the network, for errors.

    Raises:
        FlagError: there is no such file.
        ModelError: a format that is refused, or weights of another network; the first three
            differences are named.
    """
    path = pathlib.Path(os.path.expanduser(path))
    if not path.is_file():
        raise FlagError(f"no weights file {path}", flag=FLAG, fix=f"--{FLAG}=none")
    if path.suffix == ".safetensors":
        with untrusted.open_safetensors(path) as file:
            arrays = {key: _Stored(file, key) for key in file.keys()}  # noqa: SIM118 (no dict)
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
    variables: dict[str, Any], arrays: dict[str, Any], place: pathlib.Path, name: str
) -> None:
    """Sets `variables` from `arrays` of the same names and shapes.

    Args:
        variables: name -> keras.Variable.
        arrays: name -> array or h5py.Dataset.
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
    arrays: dict[str, Any], variables: dict[str, Any], place: pathlib.Path, name: str
) -> None:
    """Real numbers may come in any width, since the variable's is taken; nothing else may."""
    for key in variables:
        dtype = arrays[key].dtype
        if str(dtype).lower() not in _REAL:
            what = f"weights of another network than {name}: {key} holds {dtype}, no real numbers"
            raise ModelError(what, flag=FLAG, place=place)


class _Stored:
    """A tensor of an open safetensors file, read when it becomes an array."""

    def __init__(self, file: Any, key: str) -> None:
        self._file, self._key = file, key
        self.shape = tuple(file.get_slice(key).get_shape())
        self.dtype = file.get_slice(key).get_dtype()

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        return self._file.get_tensor(self._key)


def convert_once(asset_id: str, convert: Callable[..., Any]) -> Any:
    """Path of an asset's weights as safetensors, converted once and kept in the cache.

    Args:
        asset_id: a key of `assets.ASSETS`.
        convert: folder -> dict of arrays.
    """
    folder = assets.cache_folder() / "converted"
    target = folder / f"{asset_id}.safetensors"
    if target.is_file():
        return target
    source = assets.fetch(asset_id)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with assets.process_lock(assets.cache_folder(), f"{asset_id}.converted"):
            if not target.is_file():  # another process may have been quicker
                part = target.with_suffix(".part")
                safetensors.numpy.save_file(convert(source), part)
                atomic_files.fsync_file(part)
                os.replace(part, target)
    except OSError as error:
        raise StorageError(f"{asset_id}: {error}", place=folder) from error
    return target


def open_h5(path: pathlib.Path) -> Any:
    """An h5py.File whose every dataset lies in the file itself.

    Raises:
        ModelError: no HDF5 file, or links, virtual or external storage inside.
    """
    untrusted.require_file(path)
    try:
        opened = h5py.File(path, "r")
    except OSError as error:
        raise ModelError(f"no readable HDF5 file ({error})", flag=FLAG, place=path) from error
    try:
        bad = _first_foreign(opened, {h5py.h5o.get_info(opened.id).addr})
    except (OSError, KeyError, RuntimeError, ValueError, RecursionError) as error:
        opened.close()
        raise ModelError(f"no readable HDF5 file ({error})", flag=FLAG, place=path) from error
    if bad:
        opened.close()
        raise ModelError(bad, flag=FLAG, place=path)
    return opened


def _first_foreign(group: Any, seen: set[int]) -> str:
    """What is wrong with the first link or dataset that is not plainly stored here, or nothing.

    Args:
        group: h5py.Group.
        seen: places of objects met before; a second name may make a circle, or a tree of few
            objects and more branches than can be counted.
    """
    for key in group:
        name = f"{group.name.rstrip('/')}/{key}"
        if not isinstance(group.get(key, getlink=True), h5py.HardLink):
            return f"{name} leads out of the file or is virtual"
        item = group[key]
        place = h5py.h5o.get_info(item.id).addr
        if place in seen:
            return f"{name} is a second name of something else in the file"
        seen.add(place)
        if len(seen) > _MAX_OBJECTS:
            return f"it holds more than {_MAX_OBJECTS} objects"
        bad = _first_foreign(item, seen) if isinstance(item, h5py.Group) else _fault(item)
        if bad:
            return bad
    return ""


def _fault(item: Any) -> str:
    """What is wrong with a dataset, or nothing."""
    if not isinstance(item, h5py.Dataset):
        return f"{item.name} is not a dataset"
    if item.is_virtual or item.external:
        return f"{item.name} leads out of the file or is virtual"
    if item.dtype.kind not in "fiub":
        return f"{item.name} holds {item.dtype}, no numbers"
    chunk_bytes = math.prod(item.chunks or (0,)) * item.dtype.itemsize
    if chunk_bytes > max(item.nbytes, _MAX_CHUNK_BYTES):
        return f"{item.name} is one part of {chunk_bytes} bytes, of which it shows {item.nbytes}"
    return ""


def count_h5(path: pathlib.Path) -> int:
    """The number of datasets in an HDF5 file."""
    with open_h5(path) as opened:
        return len(datasets(opened))


def datasets(group: Any, prefix: str = "") -> dict[str, Any]:
    """Path -> h5py.Dataset of everything below a group."""
    found = {}
    for key, item in group.items():
        path = f"{prefix}{key}"
        found.update(datasets(item, f"{path}/") if isinstance(item, h5py.Group) else {path: item})
    return found


def _load_h5(model: Any, path: pathlib.Path, name: str) -> None:
    with open_h5(path) as opened:
        if "model_config" in opened.attrs:
            raise ModelError(
                "a whole model in HDF5 is not opened",
                flag=FLAG,
                place=path,
                fix="save its weights with model.save_weights('name.weights.h5')",
            )
        with untrusted.refuse_failures("no readable weights", path):
            if "layer_names" in opened.attrs:
                variables, arrays = _by_layer(model, opened)
                load_named(variables, arrays, path, name)
                return
            found = {key: item.shape for key, item in datasets(opened).items()}
    _compare(_keras_paths(model), found, path, name)
    with untrusted.refuse_failures("no readable weights", path):
        model.load_weights(path)


def _by_layer(model: Any, opened: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Weights and datasets of the older format by `<layer>/<n>`, the layers paired in order."""
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


def _text(value: Any) -> str:
    return value.decode("utf-8") if isinstance(value, bytes) else str(value)


def _keras_paths(model: Any) -> dict[str, tuple[int, ...]]:
    """Dataset path -> shape as this Keras version writes them: found by writing them."""
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "own.weights.h5"
        model.save_weights(path)
        with h5py.File(path, "r") as opened:
            return {key: item.shape for key, item in datasets(opened).items()}


def _compare(
    wanted: dict[str, tuple[int, ...]],
    found: dict[str, tuple[int, ...]],
    place: pathlib.Path,
    name: str,
) -> None:
    """Raises ModelError with the first three differences of two dicts of shapes."""
    other = [
        f"{key}: {tuple(found[key])} in the file, {shape} in the network"
        for key, shape in wanted.items()
        if key in found and tuple(found[key]) != tuple(shape)
    ]
    missing = [
        f"{key}: missing in the file, {shape} in the network"
        for key, shape in wanted.items()
        if key not in found
    ]
    extra = [
        f"{key}: {tuple(shape)} in the file, not in the network"
        for key, shape in found.items()
        if key not in wanted and not _OLD_HEADS.match(key)
    ]
    faults = other + missing + extra
    if faults:
        more = f" and {len(faults) - 3} more" if len(faults) > 3 else ""
        raise ModelError(
            f"weights of another network than {name}: {'; '.join(faults[:3])}{more}",
            flag=FLAG,
            place=place,
        )

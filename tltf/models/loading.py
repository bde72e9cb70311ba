"""Rebuilds the core of a model folder from tltf's own code, then fills it with its weights.

The module `model_folder` checks the folder's files; here the shape of every weight is compared with
that of the variable that it fills, before the weight is read.
"""

import pathlib
from typing import TYPE_CHECKING, Any

from tltf.config import several_heads
from tltf.console import command
from tltf.errors import FlagError, ModelError, nearest
from tltf.files import untrusted
from tltf.runs import folder, model_folder
from tltf.runs.model_folder import StoredModel

if TYPE_CHECKING:
    import keras

    from tltf.graphs.core import Core
    from tltf.models.transfer_model import TransferModel

NUM_SHOWN = 3
"""Weights that do not fit which an error names."""
_DTYPES = {
    "F64": "float64",
    "F32": "float32",
    "F16": "float16",
    "I64": "int64",
    "I32": "int32",
    "I8": "int8",
    "U8": "uint8",
    "BOOL": "bool",
}


def load(run: pathlib.Path | str, trust_code: bool = False) -> "TransferModel":
    """The trained model of a run folder, or of an adapter file (see `adapters.load`).

    Args:
        run: a run folder, its `model` folder, or the path of an adapter file.
        trust_code: whether parts named `package.module:name` in the model's files are built too,
            which runs that code.

    Returns:
        A TransferModel with `options` where the run has a run.flags, and without splits. Its layers
        compute in float32, also where the run trained in another precision.

    Raises:
        ModelError: there is no model, or it is damaged or does not fit tltf's code.
    """
    if pathlib.Path(run).suffix == ".safetensors":
        from tltf.models import adapters

        return adapters.load(run)
    stored = model_folder.open_folder(run)
    command.load_tensorflow()
    from tltf.data.preprocessing import (
        preprocessing_of,  # with TensorFlow, before which a refusal comes
    )
    from tltf.models.transfer_model import TransferModel

    manifest, place = stored.manifest, stored.folder.parent / model_folder.MANIFEST
    model_folder.require_known_parts(manifest["core"], place, trust_code)
    try:
        with untrusted.refuse_failures("this core cannot be rebuilt", place):
            core = _rebuild(stored)
            preprocessing = preprocessing_of(manifest, core.backbone)
    except FlagError as error:  # no flag is at fault for a file
        raise ModelError(f"this core cannot be rebuilt: {error.what}", place=place) from error
    _require_names(core, manifest["class_names"], place)
    fill(core.model, stored.weights)
    has_flags = (pathlib.Path(run) / folder.FLAGS).exists()
    options = folder.read_options(run) if has_flags else None
    return TransferModel(core, preprocessing, tuple(manifest["class_names"]), options)


def load_one_head(run: pathlib.Path | str, thing: str, flag: str = "run") -> "TransferModel":
    """The trained model of a run for something that takes one head; see `load`.

    Args:
        run: a run folder.
        thing: what takes one head, for the error.
        flag: the flag that the error names.

    Raises:
        FlagError: the run has several heads.
        ModelError: as `load` says.
    """
    model = load(run)
    if model.core.joint:
        raise several_heads.refuse(thing, flag)
    return model


def _require_names(core: "Core", class_names: list[str], place: pathlib.Path) -> None:
    """Raises ModelError where a head has another number of classes than of names for them."""
    counts = [(core.num_classes, len(class_names))]
    if core.joint:
        counts = [(own.num_classes, len(own.class_names)) for own in core.heads.values()]
    for count, names in counts:
        if count != names:
            what = f"the core has {count} classes and {names} names for them"
            raise ModelError(what, place=place)


def _rebuild(stored: StoredModel) -> "Core":
    """The core of a model folder with random weights, of which there are no more than its file has.

    Each member of an ensemble may have as many, since what members share is built for each of them.
    """
    from tltf.graphs import build_limits, precision
    from tltf.models import core_builder

    num_built = max(1, len(model_folder.members_of(stored.manifest["core"])))
    num_variables = num_built * untrusted.count_safetensors(stored.weights)
    num_bytes = num_built * stored.weights.stat().st_size
    with (
        build_limits.limit_to_file(num_bytes, num_variables, stored.weights),
        precision.policy("float32"),
    ):
        return core_builder.rebuild(stored.manifest["core"], stored.assets)


def fill(model: "keras.Model", path: pathlib.Path) -> None:
    """Sets all weights of a Keras model from a safetensors file.

    Raises:
        ModelError: names, shapes or dtypes differ (the error names the first three), or the file is
            damaged; the model is then unchanged.
    """
    from tltf.graphs import functional

    with untrusted.open_safetensors(path) as file:
        variables = functional.named_weights(model.layers)
        stored = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118
        _compare(variables, stored, path)
        for name, variable in variables.items():
            variable.assign(file.get_tensor(name))


def _compare(
    variables: "dict[str, keras.Variable]", stored: dict[str, Any], path: pathlib.Path
) -> None:
    faults = []
    for name, variable in variables.items():
        if name not in stored:
            near = nearest(name, stored.keys() - variables.keys(), limit=1)
            faults.append(f"{name} is missing" + (f" (nearest: {near[0]})" if near else ""))
        elif tuple(stored[name].get_shape()) != tuple(variable.shape):
            shape = tuple(stored[name].get_shape())
            faults.append(f"{name} is {shape}, the model has {tuple(variable.shape)}")
        elif _DTYPES.get(stored[name].get_dtype()) != variable.dtype:
            dtype = stored[name].get_dtype()
            faults.append(f"{name} is {dtype}, the model has {variable.dtype}")
    faults += [f"{name} is not in the model" for name in stored if name not in variables]
    if faults:
        more = f"; and {len(faults) - NUM_SHOWN} more" if len(faults) > NUM_SHOWN else ""
        what = "the weights are of another architecture: " + "; ".join(faults[:NUM_SHOWN]) + more
        raise ModelError(what, place=path)

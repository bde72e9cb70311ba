"""The only reader of model files: rebuilds the core from tltf's own code, then fills it.

A model folder may come from anywhere. So nothing in it is run: core.json is plain data, its
names must be in tltf's catalogs, every file must have the SHA-256 that core.json gives, and
the shape of every weight is compared with the variable it fills before it is read.
"""

import dataclasses
import hashlib
import json
import pathlib
import re

from safetensors import SafetensorError, safe_open

from tltf import runs
from tltf.catalogs import BACKBONES, HEADS
from tltf.errors import FlagError, ModelError, TltfError, nearest

FORMAT = 1
MANIFEST, WEIGHTS, ASSETS = "core.json", "core.safetensors", "assets"
MAX_MANIFEST_BYTES = 64 * 2**20
NUM_SHOWN = 3
"""Mismatched weights named in an error."""
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
_OUTSIDE = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*$")
KEYS = {
    "format": int,
    "core": dict,
    "modality": str,
    "preprocessing": dict,
    "class_names": list,
    "folder": str,
    "files": dict,
}


@dataclasses.dataclass(frozen=True)
class Stored:
    """A model folder whose files have been checked.

    Args:
        manifest: the content of core.json.
        folder: the folder of the weights and assets.
    """

    manifest: dict
    folder: pathlib.Path

    @property
    def weights(self):
        """The path of the weights file."""
        return self.folder / WEIGHTS

    @property
    def assets(self):
        """The folder of the tokenizer's files."""
        return self.folder / ASSETS


def load(run, trust_code=False):
    """The Trained of a run folder, or of an adapter file (see `adapters.load`).

    Args:
        run: a run folder, its `model` folder, or the path of an adapter file.
        trust_code: also builds parts named `package.module:name` in the model's files, which
            runs that code.

    Returns:
        Trained with `options` where the run has a run.flags, and without splits; its layers
        compute in float32, also where the run trained in another precision.

    Raises:
        ModelError: no model there, or one that is damaged or does not fit tltf's code.
    """
    if pathlib.Path(run).suffix == ".safetensors":
        from tltf import adapters

        return adapters.load(run)
    stored = open_folder(run)
    from tltf import models, runtime
    from tltf.trained import Trained

    manifest, place = stored.manifest, stored.folder.parent / MANIFEST
    _check_blueprint(manifest["core"], place, trust_code)
    try:
        with runtime.precision("float32"):
            core = models.rebuild(manifest["core"], stored.assets)
        preprocessing = preprocessing_of(manifest, core.backbone)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        what = error.what if isinstance(error, TltfError) else f"{type(error).__name__}: {error}"
        raise ModelError(f"this core cannot be rebuilt: {what}", place=place) from error
    if core.num_classes != len(manifest["class_names"]):
        names = len(manifest["class_names"])
        raise ModelError(f"{core.num_classes} classes with {names} names", place=place)
    fill(core.model, stored.weights)
    has_flags = (pathlib.Path(run) / runs.FLAGS).is_file()
    options = runs.read_options(run) if has_flags else None
    return Trained(core, preprocessing, tuple(manifest["class_names"]), options)


def read_core(folder):
    """`(core blueprint, weight name -> array)` of a run folder or its `model` folder.

    Raises:
        ModelError: no model there, or a damaged one.
    """
    stored = open_folder(folder)
    try:
        with safe_open(stored.weights, framework="numpy") as file:
            return stored.manifest["core"], {
                name: file.get_tensor(name)
                for name in file.keys()  # noqa: SIM118 (no dict)
            }
    except (SafetensorError, TypeError) as error:
        raise ModelError(f"no readable weights: {error}", place=stored.weights) from error


def open_folder(folder):
    """The `Stored` of a run folder or its `model` folder, every file's hash checked."""
    if not str(folder):
        raise FlagError("must be given", flag="run", fix="--run=RUN, the --output of tltf.train")
    folder = pathlib.Path(folder)
    model = folder / "model" if (folder / "model" / MANIFEST).is_file() else folder
    manifest = _manifest(model / MANIFEST, folder)
    inner = model / manifest["folder"]
    found = set(files_in(inner))
    for name, expected in manifest["files"].items():
        if name not in found:
            raise ModelError("the file is missing", place=inner / name)
        if sha256(inner / name) != expected:
            what = "the file is not the one that was saved (its SHA-256 differs from core.json)"
            raise ModelError(what, place=inner / name, fix="copy the run folder again, or retrain")
    extra = sorted(found - set(manifest["files"]))
    if extra or WEIGHTS not in found:
        what = f"unknown file {extra[0]!r}" if extra else f"no {WEIGHTS}"
        raise ModelError(f"{what} in the model folder", place=inner)
    return Stored(manifest, inner)


def files_in(folder):
    """Sorted paths of all files in `folder`, relative to it, with forward slashes."""
    folder = pathlib.Path(folder)
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


def sha256(path):
    """The file's SHA-256 in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fill(model, path):
    """Sets all weights of a Keras model from a safetensors file.

    Raises:
        ModelError: names, shapes or dtypes differ (the first three are named), or the file is
            damaged; the model is untouched.
    """
    try:
        from tltf import graphs

        with safe_open(path, framework="numpy") as file:
            variables = graphs.named_weights(model.layers)
            stored = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118
            _compare(variables, stored, path)
            for name, variable in variables.items():
                variable.assign(file.get_tensor(name))
    except (SafetensorError, OSError) as error:
        raise ModelError(f"no readable weights: {error}", place=path) from error


def _compare(variables, stored, path):
    faults = []
    for name, variable in variables.items():
        if name not in stored:
            near = nearest(name, stored.keys() - variables.keys(), limit=1)
            faults.append(f"{name} is missing" + (f" (nearest: {near[0]})" if near else ""))
        elif tuple(stored[name].get_shape()) != tuple(variable.shape):
            given = tuple(stored[name].get_shape())
            faults.append(f"{name} is {given}, the model has {tuple(variable.shape)}")
        elif _DTYPES.get(stored[name].get_dtype()) != variable.dtype:
            given = stored[name].get_dtype()
            faults.append(f"{name} is {given}, the model has {variable.dtype}")
    faults += [f"{name} is not in the model" for name in stored if name not in variables]
    if faults:
        more = f"; and {len(faults) - NUM_SHOWN} more" if len(faults) > NUM_SHOWN else ""
        what = "the weights are of another architecture: " + "; ".join(faults[:NUM_SHOWN]) + more
        raise ModelError(what, place=path)


def _manifest(path, folder):
    """core.json, its shape checked."""
    try:
        if path.stat().st_size > MAX_MANIFEST_BYTES:
            raise ModelError("is too large", place=path)
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        what = f"no model in {folder}" if folder.exists() else f"no folder {folder}"
        fix = "--run takes the --output of a finished tltf.train"
        raise ModelError(what, flag="run", fix=fix) from error
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise ModelError(f"is no readable JSON: {error}", place=path) from error
    _check_manifest(manifest, path)
    return manifest


def _check_manifest(manifest, path):
    for key, kind in KEYS.items():
        if not isinstance(manifest, dict) or type(manifest.get(key)) is not kind:
            raise ModelError(f"has no {key!r} of type {kind.__name__}", place=path)
    if manifest["format"] != FORMAT:
        what = f"has the format {manifest['format']}, this tltf reads {FORMAT}"
        raise ModelError(what, place=path, fix="use the version of tltf that saved it")
    if not re.fullmatch(r"v\d{1,9}", manifest["folder"]):
        raise ModelError(f"names the folder {manifest['folder']!r}", place=path)
    if not all(isinstance(name, str) for name in manifest["class_names"]):
        raise ModelError("has a class name that is no text", place=path)


def _check_blueprint(blueprint, place, trust_code):
    """Refuses code from outside of tltf: named in a stranger's file, it must not run unasked.

    A backbone without its memory is refused too: it would be fetched, or read from a folder.
    """
    backbone = blueprint.get("backbone")
    backbone = backbone if isinstance(backbone, dict) else {}
    if not isinstance(backbone.get("memory"), dict):
        raise ModelError("has no backbone with its memory", place=place)
    named: dict = {
        "head": (blueprint.get("head"), HEADS),
        "backbone": (backbone.get("text"), BACKBONES),
    }
    for part, (text, catalog) in named.items():
        if not isinstance(text, str):
            raise ModelError(f"has no {part}", place=place)
        name = text.partition("(")[0].strip()
        is_outside = _OUTSIDE.match(name) and not name.startswith("hub:")
        if name not in catalog and is_outside and not trust_code:
            what = f"the {part} {name!r} is no part of tltf, and its code would be run"
            fix = "tltf.load(RUN, trust_code=True) if you trust it"
            raise ModelError(what, place=place, fix=fix)


def preprocessing_of(manifest, backbone):
    """The preprocessing that `modality` and `preprocessing` of a manifest describe."""
    from tltf.data.images import ImagePreprocessing
    from tltf.data.text import TextPreprocessing

    if manifest["modality"] == "image":
        return ImagePreprocessing.from_config(manifest["preprocessing"])
    return TextPreprocessing.from_config(manifest["preprocessing"], backbone.tokenizer)

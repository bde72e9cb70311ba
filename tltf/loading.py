"""The only reader of model files: rebuilds the core from tltf's own code, then fills it.

A model folder may come from anywhere. So nothing in it is run: core.json is plain data, its
names must be in tltf's catalogs, every file must have the SHA-256 that core.json gives, and
the shape of every weight is compared with the variable it fills before it is read.
"""

import dataclasses
import hashlib
import pathlib
import re

from tltf import foreign_files, runs
from tltf.catalogs import BACKBONES, HEADS
from tltf.errors import FlagError, ModelError, nearest

FORMAT = 1
MANIFEST, WEIGHTS, ASSETS = "core.json", "core.safetensors", "assets"
MAX_IMAGE_SIZE_PX, MAX_TEXT_LENGTH = 16_384, 2**20
"""What a stranger's model may have us make of an input: 3 GB of pixels."""
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
    from tltf.trained import Trained

    manifest, place = stored.manifest, stored.folder.parent / MANIFEST
    _check_blueprint(manifest["core"], place, trust_code)
    try:
        with foreign_files.refusing("this core cannot be rebuilt", place):
            core = _rebuilt(stored)
            preprocessing = preprocessing_of(manifest, core.backbone)
    except FlagError as error:  # there is no flag behind what a file says
        raise ModelError(f"this core cannot be rebuilt: {error.what}", place=place) from error
    if core.num_classes != len(manifest["class_names"]):
        names = len(manifest["class_names"])
        raise ModelError(f"{core.num_classes} classes with {names} names", place=place)
    fill(core.model, stored.weights)
    has_flags = (pathlib.Path(run) / runs.FLAGS).exists()
    options = runs.read_options(run) if has_flags else None
    return Trained(core, preprocessing, tuple(manifest["class_names"]), options)


def _rebuilt(stored):
    """The core of a `Stored` with random weights, no more of them than its file can fill."""
    from tltf import allowances, models, runtime

    num_variables = foreign_files.count_safetensors(stored.weights)
    num_bytes = stored.weights.stat().st_size
    with (
        allowances.granted(num_bytes, num_variables, stored.weights),
        runtime.precision("float32"),
    ):
        return models.rebuild(stored.manifest["core"], stored.assets)


def read_core(folder):
    """`(core blueprint, weight name -> array)` of a run folder or its `model` folder.

    Raises:
        ModelError: no model there, or a damaged one.
    """
    stored = open_folder(folder)
    _check_backbone(stored.manifest["core"], stored.folder.parent / MANIFEST, trust_code=False)
    with foreign_files.opened_safetensors(stored.weights) as file:
        return stored.manifest["core"], {
            name: file.get_tensor(name)
            for name in file.keys()  # noqa: SIM118 (no dict)
        }


def open_folder(folder):
    """The `Stored` of a run folder or its `model` folder, every file's hash checked."""
    if not str(folder):
        raise FlagError("must be given", flag="run", fix="--run=RUN, the --output of tltf.train")
    folder = pathlib.Path(folder)
    model = folder / "model" if (folder / "model" / MANIFEST).is_file() else folder
    manifest = _manifest(model / MANIFEST, folder)
    inner = model / manifest["folder"]
    _require_inside(inner)
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


def _require_inside(folder):
    """Refuses links out of a model folder: they would have other files read."""
    root = folder.parent.resolve()
    for path in [folder, *folder.rglob("*")]:
        if path.is_symlink() and not path.resolve().is_relative_to(root):
            raise ModelError("is a link out of the model folder", place=path)


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
    from tltf import graphs

    with foreign_files.opened_safetensors(path) as file:
        variables = graphs.named_weights(model.layers)
        stored = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118
        _compare(variables, stored, path)
        for name, variable in variables.items():
            variable.assign(file.get_tensor(name))


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
        manifest = foreign_files.read_json(path)
    except (FileNotFoundError, NotADirectoryError) as error:
        what = f"no model in {folder}" if folder.exists() else f"no folder {folder}"
        fix = "--run takes the --output of a finished tltf.train"
        raise ModelError(what, flag="run", fix=fix) from error
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
    """Refuses code from outside of tltf: named in a stranger's file, it must not run unasked."""
    _name_of("head", blueprint.get("head"), HEADS, place, trust_code)
    _check_backbone(blueprint, place, trust_code)


def _check_backbone(blueprint, place, trust_code):
    """Refuses a backbone that would be fetched, read from a folder, or outgrow the memory."""
    backbone = blueprint.get("backbone")
    if not isinstance(backbone, dict) or not isinstance(backbone.get("memory"), dict):
        raise ModelError("has no backbone with its memory", place=place)
    name = _name_of("backbone", backbone.get("text"), BACKBONES, place, trust_code)
    is_class = "class" in backbone["memory"] or _OUTSIDE.match(name)
    if name not in BACKBONES and not is_class:
        raise ModelError(f"its backbone {name!r} is no part of tltf", place=place)
    for key, most in {"image_size_px": MAX_IMAGE_SIZE_PX, "text_length": MAX_TEXT_LENGTH}.items():
        size = backbone.get(key)
        if type(size) is not int or not 0 <= size <= most:
            raise ModelError(f"has {key} {size!r:.80}, at most {most} are read", place=place)


def _name_of(part, text, catalog, place, trust_code):
    """The name in a part's call string; one of code from outside only where it is trusted."""
    if not isinstance(text, str):
        raise ModelError(f"has no {part}", place=place)
    name = text.partition("(")[0].strip()
    is_outside = _OUTSIDE.match(name) and not name.startswith("hub:")
    if name not in catalog and is_outside and not trust_code:
        what = f"the {part} {name!r} is no part of tltf, and its code would be run"
        fix = "tltf.load(RUN, trust_code=True) if you trust it"
        raise ModelError(what, place=place, fix=fix)
    return name


def preprocessing_of(manifest, backbone):
    """The preprocessing that `modality` and `preprocessing` of a manifest describe.

    Raises:
        ModelError: it makes something else than the backbone takes.
    """
    from tltf.data.images import ImagePreprocessing
    from tltf.data.text import TextPreprocessing

    config = manifest["preprocessing"]
    if manifest["modality"] == "image":
        made = ImagePreprocessing.from_config(config)
        fits = (made.size_px, made.channels) == (backbone.image_size_px, backbone.channels)
    else:
        made = TextPreprocessing.from_config(config, backbone.tokenizer)
        fits = set(made.inputs) == set(backbone.inputs)
        fits = fits and type(made.length) is int and 1 <= made.length <= backbone.text_length
    if not fits or manifest["modality"] != backbone.modality:
        raise ModelError(f"the preprocessing {str(config)[:200]} does not fit the backbone")
    return made

"""The files of a model folder, checked before any of them is used; free of TensorFlow.

A model folder may come from anywhere. So nothing in it is executed: core.json is plain data, its
names must be in tltf's catalogs, and every file must have the SHA-256 that core.json has for it.
"""

import dataclasses
import pathlib
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from tltf.config import call_strings, task_heads
from tltf.config.catalogs import BACKBONES, HEADS
from tltf.config.catalogs.row import Row
from tltf.errors import FlagError, ModelError
from tltf.files import untrusted
from tltf.files.hashes import sha256_of_file
from tltf.runs import layout

FORMAT = 1
"""Version of the format of core.json."""
MANIFEST, WEIGHTS, ASSETS = layout.CORE, layout.WEIGHTS, layout.ASSETS
MEMBERS, MOST_MEMBERS = "members", 64
"""Key of the members in the blueprint of an ensemble's backbone, and how many there may be."""
MAX_IMAGE_SIZE_PX, MAX_TEXT_LENGTH = 16_384, 2**20
"""Largest input that the model of a stranger may ask for; an image then takes 3 GB."""
KEYS = {
    "format": int,
    "core": dict,
    "modality": str,
    "preprocessing": dict,
    "class_names": list,
    "folder": str,
    "files": dict,
}
"""Keys of core.json with the types of their values."""


@dataclasses.dataclass(frozen=True)
class StoredModel:
    """A model folder whose files have been checked.

    Args:
        manifest: the content of core.json.
        folder: the folder with the weights and the assets.
    """

    manifest: dict[str, Any]
    folder: pathlib.Path

    @property
    def weights(self) -> pathlib.Path:
        """The path of the weights file."""
        return self.folder / WEIGHTS

    @property
    def assets(self) -> pathlib.Path:
        """The folder with the tokenizer's files."""
        return self.folder / ASSETS


def read_core(folder: pathlib.Path | str) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """`(core blueprint, weight name -> array)` of a run folder or its `model` folder.

    Raises:
        ModelError: there is no model, or it is damaged.
    """
    stored = open_folder(folder)
    if members := members_of(stored.manifest["core"]):
        names = ", ".join(str(part.get("name")) for part in members)
        what = f"is an ensemble, which has no weights that another network could take ({names})"
        raise ModelError(what, place=folder, fix="one of its members")
    _require_known_backbone(
        stored.manifest["core"], stored.folder.parent / MANIFEST, trust_code=False
    )
    with untrusted.open_safetensors(stored.weights) as file:
        return stored.manifest["core"], {
            name: file.get_tensor(name)
            for name in file.keys()  # noqa: SIM118 (no dict)
        }


def open_folder(folder: pathlib.Path | str) -> StoredModel:
    """The model in a run folder or its `model` folder, after every file's hash has been compared."""
    if not str(folder):
        raise FlagError("must be given", flag="run", fix="--run=RUN, the --output of tltf.train")
    folder = pathlib.Path(folder)
    model = folder / layout.MODEL if (folder / layout.MODEL / MANIFEST).is_file() else folder
    manifest = _manifest(model / MANIFEST, folder)
    inner = model / manifest["folder"]
    _require_inside(inner)
    names = set(files_in(inner))
    for name, expected in manifest["files"].items():
        if name not in names:
            raise ModelError("the file is missing", place=inner / name)
        if sha256_of_file(inner / name) != expected:
            what = "the file is not the one that was saved (its SHA-256 differs from core.json)"
            raise ModelError(what, place=inner / name, fix="copy the run folder again, or retrain")
    extra = sorted(names - set(manifest["files"]))
    if extra or WEIGHTS not in names:
        what = f"unknown file {extra[0]!r}" if extra else f"no {WEIGHTS}"
        raise ModelError(f"{what} in the model folder", place=inner)
    return StoredModel(manifest, inner)


def _require_inside(folder: pathlib.Path) -> None:
    """Refuses links out of a model folder, through which other files would be read."""
    root = folder.parent.resolve()
    for path in [folder, *folder.rglob("*")]:
        if path.is_symlink() and not path.resolve().is_relative_to(root):
            raise ModelError("is a link out of the model folder", place=path)


def files_in(folder: pathlib.Path) -> list[str]:
    """Sorted paths of all files in `folder`, relative to it, with forward slashes."""
    folder = pathlib.Path(folder)
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


def _manifest(path: pathlib.Path, folder: pathlib.Path) -> dict[str, Any]:
    """The content of core.json, after its keys and types have been checked."""
    try:
        manifest = untrusted.read_json(path)
    except (FileNotFoundError, NotADirectoryError) as error:
        what = f"no model in {folder}" if folder.exists() else f"no folder {folder}"
        fix = "--run takes the --output of a finished tltf.train"
        folds = layout.folds_of(folder)
        if folds:
            what = f"{folder} is a cross-validation: it holds {len(folds)} models"
            fix = (
                f"--run={folds[0]} is the model of one fold; tltf.train --flagfile={folder / layout.FLAGS}"
                " --split='holdout(test=0)' --output=NEW trains one model on all rows"
            )
        steps = layout.steps_of(folder)
        if steps:
            what = f"{folder} is a sequence: it holds the models of {len(steps)} steps"
            fix = f"--run={steps[-1]} is the model after the last one"
        raise ModelError(what, flag="run", fix=fix) from error
    _check_manifest(manifest, path)
    return manifest


def _check_manifest(manifest: Any, path: pathlib.Path) -> None:
    for key, kind in KEYS.items():
        if not isinstance(manifest, dict) or type(manifest.get(key)) is not kind:
            raise ModelError(f"has no {key!r} of type {kind.__name__}", place=path)
    if manifest["format"] != FORMAT:
        what = f"has format {manifest['format']}, but this tltf reads format {FORMAT}"
        raise ModelError(what, place=path, fix="use the version of tltf that saved it")
    if not re.fullmatch(r"v\d{1,9}", manifest["folder"]):
        raise ModelError(f"names the folder {manifest['folder']!r}, not v1, v2, ...", place=path)
    if not all(isinstance(name, str) for name in manifest["class_names"]):
        raise ModelError("has a class name that is not a text", place=path)


def members_of(blueprint: dict[str, Any]) -> list[dict[str, Any]]:
    """The members of the ensemble that a core is; [] for a network alone."""
    backbone = blueprint.get("backbone")
    members = backbone.get(MEMBERS) if isinstance(backbone, dict) else None
    return members if isinstance(members, list) else []


def require_known_parts(blueprint: dict[str, Any], place: pathlib.Path, trust_code: bool) -> None:
    """Refuses a core that names code from outside tltf, unless the user trusts that code."""
    head = blueprint.get("head")
    try:
        texts = task_heads.texts_of(head) if isinstance(head, str) else [head]
    except FlagError as error:
        raise ModelError(f"its heads cannot be read: {error.what}", place=place) from error
    for text in texts:
        _name_of("head", text, HEADS, place, trust_code)
    members = members_of(blueprint)
    if not members:
        _require_known_backbone(blueprint, place, trust_code)
        return
    if len(members) > MOST_MEMBERS:
        raise ModelError(f"has {len(members)} members, more than {MOST_MEMBERS}", place=place)
    for part in members:
        _require_known_member(part, place, trust_code)


def _require_known_member(part: Any, place: pathlib.Path, trust_code: bool) -> None:
    """Refuses a member that is not a network of its own, or whose files would lie elsewhere."""
    core, assets = (part.get(key) if isinstance(part, dict) else None for key in ("core", "assets"))
    if not isinstance(core, dict) or not isinstance(part.get("shared"), dict) or members_of(core):
        raise ModelError("has a member that is not a network", place=place)
    if not isinstance(assets, str) or not re.fullmatch(r"\d{0,3}", assets):
        raise ModelError(f"has a member with the files {assets!r:.80}", place=place)
    require_known_parts(core, place, trust_code)


def _require_known_backbone(
    blueprint: dict[str, Any], place: pathlib.Path, trust_code: bool
) -> None:
    """Refuses a backbone that would be fetched, be read from a folder, or outgrow the memory."""
    backbone = blueprint.get("backbone")
    if not isinstance(backbone, dict) or not isinstance(backbone.get("memory"), dict):
        raise ModelError("has no backbone with its memory", place=place)
    name = _name_of("backbone", backbone.get("text"), BACKBONES, place, trust_code)
    is_class = "class" in backbone["memory"] or call_strings.is_outside(name)
    if name not in BACKBONES and not is_class:
        raise ModelError(f"its backbone {name!r} is not part of tltf", place=place)
    for key, most in {"image_size_px": MAX_IMAGE_SIZE_PX, "text_length": MAX_TEXT_LENGTH}.items():
        size = backbone.get(key)
        if type(size) is not int or not 0 <= size <= most:
            raise ModelError(f"has {key} {size!r:.80}, but tltf reads at most {most}", place=place)


def _name_of(
    part: str,
    text: object,
    catalog: Mapping[str, Row],
    place: pathlib.Path,
    trust_code: bool,
) -> str:
    """The name in a part's call string; code from outside tltf is refused unless it is trusted."""
    if not isinstance(text, str):
        raise ModelError(f"has no {part}", place=place)
    name = call_strings.name_of(text)
    is_outside = call_strings.is_outside(name) and not name.startswith("hub:")
    if name not in catalog and is_outside and not trust_code:
        what = f"the {part} {name!r} is not part of tltf, and its code would be run"
        fix = "tltf.load(RUN, trust_code=True) if you trust it"
        raise ModelError(what, place=place, fix=fix)
    return name

"""Writes a trained core: its weights, its tokenizer's files and the blueprint to rebuild it.

RUN/model/core.json is the only file with a fixed name. It names one folder beside it, which has
core.safetensors (every weight under its name in `functional.named_weights`, batch-norm statistics
included) and assets/ (the tokenizer's files), and it holds the SHA-256 of each file. core.json is
replaced last, in one step, so that a reader sees the old core or the new one, each whole.
"""

import importlib.metadata
import json
import os
import pathlib
import re
import shutil
from typing import Any

import keras
import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import save_file

from tltf.backbones import builder
from tltf.files import atomic_files, atomic_folders
from tltf.files.hashes import sha256_of_file
from tltf.graphs import functional
from tltf.models import adapters
from tltf.models.adapters import Adapter
from tltf.models.transfer_model import TransferModel
from tltf.runs import layout
from tltf.runs.model_folder import ASSETS, FORMAT, MANIFEST, WEIGHTS, files_in


def save(trained: TransferModel, run: pathlib.Path, adapter: Adapter | None = None) -> pathlib.Path:
    """Writes RUN/model, and RUN/adapter.safetensors for an adapter; returns RUN/model.

    Args:
        trained: the model.
        run: the run folder.
        adapter: the adapter of a run that trained a small part of the weights, or None.

    Raises:
        StorageError: the folder cannot be written; a core that it had already is kept.
    """
    model = pathlib.Path(run) / layout.MODEL
    arrays = functional.weights_of(trained.core.model)
    model.mkdir(parents=True, exist_ok=True)
    target = _free_name(model)
    with atomic_folders.new_folder(target) as part:
        (part / ASSETS).mkdir()
        builder.save_assets(trained.core.backbone, part / ASSETS)
        _write_weights(arrays, part / WEIGHTS)
        (part / WEIGHTS).chmod(part.stat().st_mode & 0o666)  # safetensors leaves 0600
        hashes = {name: sha256_of_file(part / name) for name in files_in(part)}
    with atomic_files.replace_file(model / MANIFEST) as file:
        json.dump(describe(trained) | {"folder": target.name, "files": hashes}, file, indent=1)
    _remove_others(model, target)
    if adapter:
        adapters.write(model.parent / adapters.FILE, adapter)
    return model


def describe(trained: TransferModel) -> dict[str, Any]:
    """A JSON-able dict of everything but weights and files that a TransferModel is rebuilt from."""
    return {
        "format": FORMAT,
        "core": trained.core.blueprint,
        "modality": trained.core.backbone.modality,
        "preprocessing": trained.preprocessing.to_config(),
        "class_names": list(trained.class_names),
        "versions": {
            "keras": keras.__version__,
            "tensorflow": importlib.metadata.version("tensorflow"),
        },
    }


def _write_weights(arrays: dict[str, np.ndarray], path: pathlib.Path) -> None:
    """Writes a safetensors file; its errors of the disk become OSError, which `new_folder` handles."""
    try:
        save_file(arrays, path)
    except SafetensorError as error:
        if found := re.search(r"\(os error (\d+)\)", str(error)):
            raise OSError(int(found[1]), os.strerror(int(found[1])), str(path)) from error
        raise


def _free_name(model: pathlib.Path) -> pathlib.Path:
    numbers = [int(path.name[1:]) for path in model.glob("v*") if path.name[1:].isdecimal()]
    return model / f"v{max(numbers, default=0) + 1}"


def _remove_others(model: pathlib.Path, kept: pathlib.Path) -> None:
    for path in model.glob("v*"):
        if path.name[1:].isdecimal() and path != kept:
            shutil.rmtree(path, ignore_errors=True)

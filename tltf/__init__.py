"""Transfer learning with TensorFlow, from a backbone, data and a method to a served model.

The names below are imported when they are first used, so `import tltf` stays free of
TensorFlow. None of them is the name of a module, whose meaning would depend on what was imported first.
"""

import importlib
from collections.abc import Callable
from typing import Any

_NAMES = {
    "FitResult": "tltf.experiments.from_python:FitResult",
    "Options": "tltf.config.options:Options",
    "fit": "tltf.experiments.from_python:fit",
    "load": "tltf.models.loading:load",
    "make_options": "tltf.config.options:make",
    "run": "tltf.experiments.kfold:run",
}

__all__ = ["FitResult", "Options", "fit", "load", "make_options", "run"]


def __getattr__(name: str) -> Callable[..., Any]:
    if name not in _NAMES:
        raise AttributeError(f"module 'tltf' has no attribute {name!r}")
    module, attribute = _NAMES[name].split(":")
    return getattr(importlib.import_module(module), attribute)


def __dir__() -> list[str]:
    return sorted(__all__)

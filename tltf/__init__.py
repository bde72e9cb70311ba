"""Transfer learning with TensorFlow, from a backbone, data and a method to a served model.

The names below are imported when they are first used, so `import tltf` stays free of
TensorFlow. None of them is the name of a module, whose meaning would depend on what was imported first,
except for `compare` and `explain`: the modules of these commands can be called.
"""

import importlib
import importlib.metadata
from typing import Any

_NAMES = {
    "FitResult": "tltf.experiments.from_python:FitResult",
    "Options": "tltf.config.options:Options",
    "fit": "tltf.experiments.from_python:fit",
    "judge": "tltf.experiments.from_python:judge",
    "load": "tltf.models.loading:load",
    "make_options": "tltf.config.options:make",
    "run": "tltf.experiments.rounds:run",
}

_CALLABLE_MODULES = ("compare", "explain")
__all__ = ["FitResult", "Options", "fit", "judge", "load", "make_options", "run"]
_WITH_TENSORFLOW = {"FitResult", "fit", "judge", "load", "run"}
"""Names with which TensorFlow is imported, whose notes on its start are hidden then, as commands hide
them; an environment that sets TF_CPP_MIN_LOG_LEVEL decides for itself."""


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return importlib.metadata.version(__name__)
    if name in _CALLABLE_MODULES:
        return importlib.import_module(f"tltf.{name}")
    if name not in _NAMES:
        raise AttributeError(f"module 'tltf' has no attribute {name!r}")
    if name in _WITH_TENSORFLOW:
        command = importlib.import_module("tltf.console.command")
        command.quiet_tensorflow(debug=False)
        if name != "load":  # it refuses a folder before TensorFlow is there
            command.load_tensorflow()
    module, attribute = _NAMES[name].split(":")
    return getattr(importlib.import_module(module), attribute)


def __dir__() -> list[str]:
    return sorted(__all__)

"""Modules that are imported when they are first used, since a run should not wait for its report."""

import contextlib
import importlib
import sys
from collections.abc import Iterator
from typing import Any


class Module:
    """A stand-in for a module, with the module's attributes.

    Args:
        name: the module's dotted name.
    """

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        return getattr(importlib.import_module(self._name), attribute)


@contextlib.contextmanager
def hide_packages(*names: str) -> Iterator[None]:
    """A block in which packages seem not to be installed, so that others do not import them in vain.

    Packages that are loaded already stay.

    Args:
        names: the names of the packages.
    """
    modules: dict[str, Any] = sys.modules  # None stands for a module that cannot be imported
    absent = [name for name in names if name not in modules]
    modules.update(dict.fromkeys(absent))
    try:
        yield
    finally:
        for name in absent:
            modules.pop(name, None)

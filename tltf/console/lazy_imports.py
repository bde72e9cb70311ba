"""Modules that are imported when they are first used: a run should not wait for its report."""

import contextlib
import importlib
import sys
from collections.abc import Iterator
from typing import Any


class Module:
    """Stands for a module; its attributes are the module's.

    Args:
        name: dotted.
    """

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        return getattr(importlib.import_module(self._name), attribute)


@contextlib.contextmanager
def hide_packages(*names: Any) -> Iterator[Any]:
    """As if packages were not installed, for those that other packages import to no use.

    Packages that are loaded already stay.

    Args:
        names: of packages.
    """
    absent = [name for name in names if name not in sys.modules]
    sys.modules.update(dict.fromkeys(absent))
    try:
        yield
    finally:
        for name in absent:
            sys.modules.pop(name, None)

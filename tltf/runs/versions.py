"""Versions of the packages that a run depends on."""

import importlib.metadata


def installed_versions(packages: tuple[str, ...]) -> dict[str, str]:
    """Package name -> its version, or `not installed`."""
    return {name: _version(name) for name in packages}


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"

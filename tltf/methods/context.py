"""What a method may know of the fit that it prepares, beside the core."""

import dataclasses
from collections.abc import Callable
from typing import Any

from tltf.errors import FlagError


def _without_models(run: str) -> Any:
    """The loader of a context that has none.

    Raises:
        FlagError: always.
    """
    raise FlagError(
        f"{run} is not loaded here: no other model can be read while an adapter is put "
        "onto its base",
        flag="method",
    )


@dataclasses.dataclass(frozen=True)
class FitContext:
    """See the module.

    Args:
        class_names: names of the classes in the data; () where no data is known.
        fingerprint: identifies the training rows; empty for a dry run and for an adapter that is
            put onto its base.
        load_model: path of a run folder -> its Trained.
    """

    class_names: tuple[str, ...] = ()
    fingerprint: str = ""
    load_model: Callable[[str], Any] = _without_models

"""What a method may know of the fit that it prepares, beside the core."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Protocol, TypeAlias

import numpy as np

from tltf.errors import FlagError
from tltf.graphs.core import Core
from tltf.methods.kept_answers import TextAnswers
from tltf.runs.carried import Carried

TextInputs: TypeAlias = Callable[[Sequence[str]], dict[str, np.ndarray]]
"""Texts of one field -> the network's inputs of them by name, each [B, L]."""


class LoadedModel(Protocol):
    """What a method reads of a model that was trained before."""

    core: Core
    class_names: tuple[str, ...]

    @property
    def text_length(self) -> int:
        """Tokens that its texts are cut to; 0 for images."""


def _refuse_to_load(run: str) -> LoadedModel:
    """The loader of a context that has none.

    Raises:
        FlagError: always.
    """
    raise FlagError(
        f"{run} is not loaded: no other model can be read while an adapter is added to its base",
        flag="method",
    )


@dataclasses.dataclass(frozen=True)
class FitContext:
    """What a method may know of the fit that it prepares.

    Args:
        class_names: names of the classes in the data; () where no data is known.
        fingerprint: identifies the training rows; empty in a dry run and for an adapter that is
            added to its base.
        load_model: returns the model of a run folder.
        text_inputs: makes the inputs of texts that are no rows; None for images, for several texts
            in a row, and where no preprocessing is known.
        carried: what this method has left in the run that --backbone names; None for nothing.
        text_answers: gives the answers of a loaded model to the training and validation rows, for
            teachers that read texts otherwise; None for images and where no rows are known.
        text_length: tokens that texts are cut to; 0 for images, and where no preprocessing is known.
    """

    class_names: tuple[str, ...] = ()
    fingerprint: str = ""
    load_model: Callable[[str], LoadedModel] = _refuse_to_load
    text_inputs: TextInputs | None = None
    carried: Carried | None = None
    text_answers: Callable[[LoadedModel], TextAnswers] | None = None
    text_length: int = 0

"""The result of a training: the model, and the record of how it was trained."""

import dataclasses
from typing import Any

import numpy as np

from tltf.config.options import Options
from tltf.data.texts.preprocessing import TokenCounts
from tltf.graphs.freezing import Plan
from tltf.models.adapters import Adapter
from tltf.models.transfer_model import TransferModel


@dataclasses.dataclass(frozen=True)
class TrainingResult:
    """A trained model with the record of its training.

    Args:
        model: TransferModel with its options, recipe and splits.
        given: the Options of the run before `auto` was replaced.
        times_s: seconds by stage; later stages of a run add theirs.
        history: a dict for each epoch, or for each penalty that a solver has tried.
        plans: Plan of each phase; () after --dry_run.
        seconds_before: seconds of training before an interruption.
        adapter: Adapter of a run that trained a small part of the weights, or None.
        frozen_features: role -> float32[N, d] before training, where a baseline needs them.
        probe: float32[M, C], what the head that was solved for first states of the test split, where
            it is a baseline.
        tokens: TokenCounts of the training texts; None for images.
    """

    model: TransferModel
    given: Options
    times_s: dict[str, float]
    history: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    plans: tuple[Plan, ...] = ()
    seconds_before: float = 0.0
    adapter: Adapter | None = None
    frozen_features: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)
    probe: np.ndarray | None = None
    tokens: TokenCounts | None = None

"""Stops a fit whose numbers are no longer finite, and names the rows of the step where they broke.

Nothing is saved after that: this callback comes before those that judge and save.
"""

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np

from tltf.config import defaults
from tltf.config.train_options import TrainOptions
from tltf.errors import NumericError
from tltf.graphs.backbone import Backbone
from tltf.graphs.core import Core
from tltf.heads.solving import weighted_examples
from tltf.training.feed import Batch, Feed, PhaseRows
from tltf.training.fit_state import Place
from tltf.training.optimizers import finite
from tltf.training.option_value import value_of

SHOWN_ROWS = 3
FAR = 1e6
"""Training does not recover from a loss above this and above this many times that of zero logits."""


@dataclasses.dataclass(frozen=True)
class Breakage:
    """What is no longer finite, and in which step.

    Args:
        what: a sentence without its end.
        epoch: number of the epoch in the phase; 1 is the first.
        step: number of the step in the epoch; 1 is the first.
        is_exact: whether it broke in that very step; otherwise in that step or before.
        fix: a flag that helps; empty for a smaller learning rate.
    """

    what: str
    epoch: int
    step: int
    is_exact: bool = True
    fix: str = ""


class StopAtNonFinite(keras.callbacks.Callback):
    """Raises an error in a step whose loss or gradient is not finite, or whose loss is far too large.

    It raises one too where MOST_SKIPPED steps in a row were skipped. Steps that run together are
    checked together, and the first broken one is named. Weights are checked themselves before they
    are saved or judged, because a finite gradient may still be too large. Adds `skipped_steps` to the
    logs of an epoch where a LossScale skips steps.

    Args:
        start: Place from which the phase goes on.
        explain: Breakage -> NumericError.
        ignorance: () -> the loss of a model whose logits are all 0; called for large losses only.
        variables: name -> keras.Variable, all that are trained.
        history: a dict for each epoch of the fit so far.
    """

    def __init__(
        self,
        start: Place,
        explain: Callable[[Breakage], NumericError],
        ignorance: Callable[[], float],
        variables: Mapping[str, keras.Variable],
        history: Sequence[dict[str, Any]],
    ) -> None:
        super().__init__()
        self.start, self.explain, self.ignorance = start, explain, ignorance
        self.variables, self.history = variables, history
        self._epoch = self._before = self._done = self._num_steps = 0

    @property
    def _scaling(self) -> finite.LossScale | None:
        optimizer = self.model.optimizer
        return optimizer if isinstance(optimizer, finite.LossScale) else None

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Notes how much of the epoch was done before."""
        self._epoch, self._done = epoch, 0
        self._before = self.start.steps if epoch == self.start.epochs else 0

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        """Checks the steps since the last call."""
        self._num_steps += batch + 1 - self._done
        self._done = batch + 1
        mean = float((logs or {}).get("loss", 0.0))
        found = self.model.optimizer.broken.read(self._num_steps)
        if found:
            num_fine, what = found
            is_seen = what == finite.LOSS and not math.isfinite(mean)
            step = self._done - (self._num_steps - num_fine) + 1
            self._stop(f"the {what} is {mean if is_seen else 'not finite'}", step)
        if mean > FAR and mean > FAR * self.ignorance():
            self._stop(f"the loss has grown to {mean:.3g}", self._done, is_exact=False)
        scaling = self._scaling
        if scaling and int(scaling.num_skipped_in_a_row.numpy()) >= finite.MOST_SKIPPED:
            what = f"float16 gradients were not finite in {finite.MOST_SKIPPED} steps in a row"
            self._stop(what, self._done, is_exact=False, fix="--precision=mixed_bfloat16")

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Checks the weights, and counts the skipped steps of the epoch."""
        self.require_finite_weights()
        if self._scaling and logs is not None:
            before = sum(row["skipped_steps"] for row in self.history[len(self.history) - epoch :])
            logs["skipped_steps"] = int(self._scaling.num_skipped.numpy()) - int(before)

    def require_finite_weights(self) -> None:
        """Raises NumericError where a weight is not finite now."""
        for name, variable in self.variables.items():
            if not np.isfinite(variable.numpy()).all():
                self._stop(f"the weights {name} are not finite", self._done, is_exact=False)

    def _stop(self, what: str, step: int, is_exact: bool = True, fix: str = "") -> None:
        raise self.explain(Breakage(what, self._epoch + 1, self._before + step, is_exact, fix))


@dataclasses.dataclass(frozen=True)
class Explanation:
    """Makes the error of a Breakage in a phase: what broke, where, and what the user can do.

    Args:
        phase: name of the phase.
        rows: PhaseRows of the phase.
        train: TrainOptions.
        backbone: Backbone of the core.
        is_kept: whether a run folder holds a checkpoint to go on from.
    """

    phase: str
    rows: PhaseRows
    train: TrainOptions
    backbone: Backbone
    is_kept: bool

    def __call__(self, broken: Breakage) -> NumericError:
        """The NumericError of a Breakage."""
        batch = self.rows.batch(broken.epoch, broken.step)
        backbone = self.backbone
        usual = defaults.usual_rate(self.train.method, backbone.modality, backbone.pretrained)
        rate = smaller_rate(value_of(self.train.learning_rate), usual)
        return error(broken, self.phase, batch, rate, self.is_kept)


def loss_of_zeros(core: Core, feed: Feed) -> float:
    """The mean training loss of a core whose logits are all 0; 1 where the feed has no labels."""
    if feed.in_order is None:
        return 1.0
    _, labels = feed.in_order()
    logits = np.zeros((len(labels), core.width))
    return float(core.head.losses(logits, labels).mean())


def require_finite_features(
    rows: PhaseRows,
    phase: str,
    features: np.ndarray,
    *,
    role: str = "train",
    passes: int = 1,
    is_kept: bool = False,
) -> None:
    """Raises an error where features for a solver, which takes no steps, are not finite.

    Args:
        rows: PhaseRows of the phase that has read `features`.
        phase: name of the phase.
        features: float[N, d], of all passes over the training split, or of a split in its order.
        role: role of the split.
        passes: number of passes over the training split that the features come from.
        is_kept: whether there is a run folder.

    Raises:
        NumericError: features are not finite; the error names their rows.
    """
    blocks = [not_finite([features[part]]) for part in weighted_examples.blocks(len(features))]
    places = np.flatnonzero(np.concatenate(blocks)) if blocks else np.empty(0, int)
    if not len(places):
        return
    size = len(features) // passes
    ids = [rows.id_at(role, *divmod(int(place), size)) for place in places[:SHOWN_ROWS]]
    more = f" and {len(places) - SHOWN_ROWS} more" if len(places) > SHOWN_ROWS else ""
    what = f"features of the {role} split are not finite ({phase}): of {list_ids(ids)}{more}"
    fix = "correct or leave out these rows, or --precision=float32 if they are right"
    raise NumericError(what, flag="data", fix=fix + (", with --resume=never" if is_kept else ""))


def not_finite(batch: Sequence[Any]) -> np.ndarray:
    """bool[B]: whether a row has a number that is not finite in one of several arrays [B, ...].

    Args:
        batch: arrays or tensors, or dicts of them.
    """
    arrays = map(np.asarray, keras.tree.flatten(batch))
    found = [~np.isfinite(array).reshape(len(array), -1).all(axis=1) for array in arrays]
    return np.logical_or.reduce(found)


def smaller_rate(used: float, usual: float) -> float:
    """The rate to try next: the usual one where a larger one was used, otherwise a tenth of it.

    Args:
        used: the rate that was used.
        usual: the rate that `auto` chooses for the method.
    """
    return usual if used > usual else used / 10


def error(
    broken: Breakage, phase: str, batch: Batch | None, rate: float, is_kept: bool
) -> NumericError:
    """The NumericError of a Breakage.

    Args:
        broken: Breakage.
        phase: name of the phase.
        batch: Batch of the step; None where rows have no names.
        rate: a learning rate that helps.
        is_kept: whether a run folder holds a checkpoint to go on from.
    """
    where = "at" if broken.is_exact else "by"
    what = f"{broken.what} {where} step {broken.step} of epoch {broken.epoch} ({phase})"
    anew = ", with --resume=never" if is_kept else ""
    if batch and batch.broken:
        what += f"; its batch has numbers that are not finite in {list_ids(batch.broken)}"
        return NumericError(what, flag="data", fix=f"correct or leave out these rows{anew}")
    fix = broken.fix or f"--learning_rate={rate:.3g} or --global_clipnorm=1"
    if batch and broken.is_exact:
        what += f"; its batch was {list_ids(batch.ids)}"
        anew += "; or look at these rows"
    return NumericError(what, flag="" if broken.fix else "learning_rate", fix=fix + anew)


def list_ids(ids: Sequence[str]) -> str:
    """The first SHOWN_ROWS ids as a text, each once, and how many more there are."""
    ids = tuple(dict.fromkeys(ids))
    more = len(ids) - SHOWN_ROWS
    return ", ".join(ids[:SHOWN_ROWS]) + (f" and {more} more" if more > 0 else "")

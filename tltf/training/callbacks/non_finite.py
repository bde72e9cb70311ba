"""Stops a fit whose numbers are no longer finite, and names the rows that were read then.

Nothing is saved after that: this callback stands before those that judge and save.
"""

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np

from tltf.config import defaults
from tltf.config.options import TrainOptions
from tltf.errors import NumericError
from tltf.graphs.backbone import Backbone
from tltf.graphs.core import Core
from tltf.training.feed import Batch, Feed, PhaseRows
from tltf.training.fit_state import Place
from tltf.training.optimizers import finite
from tltf.training.resolved import resolved
from tltf.training.solver import weighted_examples

SHOWN_ROWS = 3
FAR = 1e6
"""A loss so many times that of knowing nothing, or so large, comes back from nowhere."""


@dataclasses.dataclass(frozen=True)
class Broken:
    """What is no longer finite, and where.

    Args:
        what: a sentence without its end.
        epoch: of the phase; 1 is the first.
        step: of the epoch; 1 is the first.
        is_exact: whether it broke in that very step, else by then.
        fix: a flag that helps; empty for a smaller learning rate.
    """

    what: str
    epoch: int
    step: int
    is_exact: bool = True
    fix: str = ""


class StopAtNonFinite(keras.callbacks.Callback):
    """Raises within the step whose loss or gradient is not finite, whose loss is far beyond all sense,
    or which is one too many that is skipped.

    Steps that run together are looked at together; the first broken one of them is named. Before
    weights are saved or judged they are looked at themselves, as a finite gradient may be too large
    a step. Adds `skipped_steps` to an epoch's logs where a LossScale skips.

    Args:
        begun: Place from which the phase goes on.
        explain: Broken -> NumericError.
        ignorance: () -> the loss of a model that answers 0 to everything; called for large losses.
        variables: name -> keras.Variable, what is trained.
        history: of the fit, a dict per epoch.
    """

    def __init__(
        self,
        begun: Place,
        explain: Callable[[Broken], NumericError],
        ignorance: Callable[[], float],
        variables: Mapping[str, keras.Variable],
        history: Sequence[dict[str, Any]],
    ) -> None:
        super().__init__()
        self.begun, self.explain, self.ignorance = begun, explain, ignorance
        self.variables, self.history = variables, history
        self._epoch = self._before = self._done = self._num_steps = 0

    @property
    def _scaling(self) -> finite.LossScale | None:
        optimizer = self.model.optimizer
        return optimizer if isinstance(optimizer, finite.LossScale) else None

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Notes how much of the epoch was done before."""
        self._epoch, self._done = epoch, 0
        self._before = self.begun.steps if epoch == self.begun.epochs else 0

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        """Looks at the steps since the last call."""
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
        """Looks at the weights, and counts the epoch's skipped steps."""
        self.require_finite_weights()
        if self._scaling and logs is not None:
            before = sum(row["skipped_steps"] for row in self.history[len(self.history) - epoch :])
            logs["skipped_steps"] = int(self._scaling.num_skipped.numpy()) - int(before)

    def require_finite_weights(self) -> None:
        """Raises if a weight is not finite now."""
        for name, variable in self.variables.items():
            if not np.isfinite(variable.numpy()).all():
                self._stop(f"the weights {name} are not finite", self._done, is_exact=False)

    def _stop(self, what: str, step: int, is_exact: bool = True, fix: str = "") -> None:
        raise self.explain(Broken(what, self._epoch + 1, self._before + step, is_exact, fix))


@dataclasses.dataclass(frozen=True)
class Explanation:
    """Makes the error of a Broken in a phase: what broke, where, and what to do.

    Args:
        phase: name of the phase.
        rows: PhaseRows.
        train: TrainOptions.
        backbone: Backbone of the core.
        is_kept: whether a run folder holds a checkpoint to go on from.
    """

    phase: str
    rows: PhaseRows
    train: TrainOptions
    backbone: Backbone
    is_kept: bool

    def __call__(self, broken: Broken) -> NumericError:
        """The NumericError of a Broken."""
        batch = self.rows.batch(broken.epoch, broken.step)
        backbone = self.backbone
        usual = defaults.usual_rate(self.train.method, backbone.modality, backbone.pretrained)
        rate = smaller_rate(resolved(self.train.learning_rate), usual)
        return error(broken, self.phase, batch, rate, self.is_kept)


def loss_of_zeros(core: Core, feed: Feed) -> float:
    """The mean training loss of a core whose logits are all 0; 1 where the labels are not known."""
    if feed.in_order is None:
        return 1.0
    _, labels = feed.in_order()
    logits = np.zeros((len(labels), core.model.output[core.head.name].shape[-1]))
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
    """Raises where features for a solver, which takes no steps, are not finite; names their rows.

    Args:
        rows: PhaseRows of the phase that has read `features`.
        phase: name of the phase.
        features: float[N, d], of all passes over the training split, or of a split in its order.
        role: of the split.
        passes: number of passes over the training split that they come from.
        is_kept: whether there is a run folder.

    Raises:
        NumericError: see above.
    """
    blocks = [not_finite([features[part]]) for part in weighted_examples.parts(len(features))]
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
    """bool[B]: the rows that have a number which is not finite in one of several arrays [B, ...].

    Args:
        batch: arrays or tensors, or dicts of them.
    """
    arrays = map(np.asarray, keras.tree.flatten(batch))
    found = [~np.isfinite(array).reshape(len(array), -1).all(axis=1) for array in arrays]
    return np.logical_or.reduce(found)


def smaller_rate(used: float, usual: float) -> float:
    """The rate to try: that of the recipe, where a larger one was used; else a tenth."""
    return usual if used > usual else used / 10


def error(
    broken: Broken, phase: str, batch: Batch | None, rate: float, is_kept: bool
) -> NumericError:
    """The NumericError of a Broken.

    Args:
        broken: Broken.
        phase: its name.
        batch: Batch; None where the data does not say.
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
    """The first ids as a text, and how many more there are; each once."""
    ids = tuple(dict.fromkeys(ids))
    more = len(ids) - SHOWN_ROWS
    return ", ".join(ids[:SHOWN_ROWS]) + (f" and {more} more" if more > 0 else "")

"""The learning-rate range test: a short training with a rising rate, thrown away afterwards."""

import csv
import dataclasses
import functools
import math
import pathlib
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np

from tltf.config import checks
from tltf.config.command_options import FindOptions
from tltf.config.options import TrainOptions, replace
from tltf.config.recipe import Recipe
from tltf.console import lazy_imports
from tltf.data import loader
from tltf.errors import FlagError, NumericError
from tltf.files import atomic_files
from tltf.methods.context import FitContext
from tltf.methods.method import Phase
from tltf.models import loading
from tltf.training import assembly, datasets
from tltf.training.callbacks import non_finite
from tltf.training.callbacks.log_epochs import NoLog
from tltf.training.course import Course, Rate
from tltf.training.distribution import strategies
from tltf.training.feed import PhaseRows
from tltf.training.fit import Fit
from tltf.training.optimizers import optimizer
from tltf.training.option_value import value_of
from tltf.training.phase_callbacks import PhaseCallbacks

drawn = lazy_imports.Module("matplotlib.figure")

LOWEST, HIGHEST = 1e-7, 1.0
SMOOTHING = 0.9
"""Of the running mean of the losses, without its bias to the first."""
DIVERGED = 4.0
"""The test ends where the loss is so many times the smallest."""
FIX = "--precision=float32, or other --backbone_weights"
"""Of a loss that is not finite before a step was taken, on rows that are."""
FAMILY_FACTOR = 5.0
"""The found rate is at most so many times larger or smaller than the default."""


@dataclasses.dataclass(frozen=True)
class Found:
    """A range test.

    Args:
        rates: float[n], of the steps.
        losses: float[n], of the batches.
        smooth: float[n], their running mean.
        valley: the rate that the curve proposes.
        default: the rate that --learning_rate=auto takes.
        rate: `valley` within FAMILY_FACTOR of `default`.
    """

    rates: np.ndarray
    losses: np.ndarray
    smooth: np.ndarray
    valley: float
    default: float
    rate: float


def find(options: FindOptions, num_steps: int = 100, recipe: Recipe | None = None) -> Found:
    """The `Found` of a learning rate for a run's data, backbone and method.

    Smith 2015, arXiv:1506.01186, section 3.3, with the proposal of fastai's `valley`: half way
    into the longest fall of the loss. Departs: rates rise by a factor, not by a difference;
    losses are smoothed by .9, fastai's by .98. Phases without steps come first; the first one with steps
    is tested, and the rate is that of --learning_rate, whatever factor the phase has.

    Args:
        options: Options; --learning_rate is not looked at.
        num_steps: steps from LOWEST to HIGHEST, at least 20.
        recipe: what the call strings of the options name; None: they are resolved here.

    Raises:
        FlagError: too few steps, or a method that takes none.
        NumericError: a batch with numbers that are not finite, or a first loss that is not.
    """
    if num_steps < 20:
        raise FlagError(f"takes at least 20 (received {num_steps})", flag="num_steps")
    options = replace(options, learning_rate=None, warmup_fraction=0.0, schedule="constant")
    strategy = strategies.start(options.runtime)
    recipe = recipe or checks.resolve(options, needs_output=False)
    parts = loader.training_parts(options, recipe)
    trained, method = assembly.assemble(options, recipe, parts, strategy)
    feed = dataclasses.replace(datasets.build(trained, strategy), validation=None, watched=None)
    train = trained.options.train
    course = RangeTestCourse(train, feed.num_train, num_steps)
    fit = Fit(trained.core, method, feed, trained.options, strategy, NoLog(), course=course)
    fit.prepare(FitContext(feed.class_names, feed.fingerprint, loading.load))
    fit.train()
    if course.curve is None or not course.curve.losses:
        raise FlagError(f"{train.method} takes no steps", flag="method", fix="solver=gradient")
    return propose_rate(course.curve, train.learning_rate)


def propose_rate(curve: "Curve", default: float) -> Found:
    """The `Found` of a Curve."""
    losses, rates = np.array(curve.losses), np.array(curve.rates[: len(curve.losses)])
    smooth = smooth_losses(losses)
    found = float(rates[valley(smooth)])
    rate = float(np.clip(found, default / FAMILY_FACTOR, default * FAMILY_FACTOR))
    return Found(rates, losses, smooth, found, default, rate)


def smooth_losses(losses: Sequence[float] | np.ndarray) -> np.ndarray:
    """float[n]: s_t = b s_(t-1) + (1 - b) l_t, divided by 1 - b^t."""
    mean, found = 0.0, []
    for number, loss in enumerate(losses, 1):
        mean = SMOOTHING * mean + (1 - SMOOTHING) * loss
        found.append(mean / (1 - SMOOTHING**number))
    return np.array(found)


def valley(losses: np.ndarray) -> int:
    """The place half way into the longest strictly falling subsequence of float[n].

    fastai's comment says two thirds; its sum, a third and half a third of the length, is this.
    """
    lengths = np.ones(len(losses), int)
    for place in range(1, len(losses)):
        above = lengths[:place][losses[:place] > losses[place]]
        lengths[place] = 1 + above.max(initial=0)
    end = int(lengths.argmax())
    start = end - int(lengths[end])
    third = (end - start) / 3
    return max(start + int(third) + int(third / 2), 0)


class Curve(keras.callbacks.Callback):
    """Notes the loss of every batch; ends the test when it has seen enough.

    Args:
        rates: float[n], of the steps to come.
        explain: non_finite.Breakage -> the NumericError of a step for which the rate is not to blame,
            or None.
    """

    def __init__(
        self,
        rates: Sequence[float],
        explain: Callable[[non_finite.Breakage], NumericError | None] = lambda broken: None,
    ) -> None:
        super().__init__()
        self.rates, self.explain, self.losses = rates, explain, list[float]()
        self._epoch = self._num_steps = 0

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Notes which it is."""
        self._epoch = epoch + 1

    def on_train_batch_end(self, batch: int, logs: Mapping[str, float] | None = None) -> None:
        """Each batch has a mean of its own."""
        loss = float((logs or {})["loss"])
        self.model.reset_metrics()
        self._num_steps += 1
        what = self._broken(loss)
        if what:
            fault = self.explain(non_finite.Breakage(what, self._epoch, batch + 1, fix=FIX))
            if fault:
                raise fault
        else:
            self.losses.append(loss)
            smooth = smooth_losses(self.losses)
        is_over = what or smooth[-1] > DIVERGED * smooth.min()
        if is_over or len(self.losses) == len(self.rates):
            self.model.stop_training = True

    def _broken(self, loss: float) -> str:
        """What is not finite in the step that was taken; empty where all is."""
        if not math.isfinite(loss):
            return f"the loss is {loss}"
        found = self.model.optimizer.broken.read(self._num_steps)
        return f"the {found[1]} is not finite" if found else ""


class RangeTestCourse(Course):
    """A course to the end of the first phase that takes steps, with a rate that rises in each.

    `curve` has what was seen in that phase; None before it.

    Args:
        train: TrainOptions with every `auto` resolved.
        num_train: number of training examples.
        num_steps: steps from LOWEST to HIGHEST.
    """

    def __init__(self, train: TrainOptions, num_train: int, num_steps: int) -> None:
        super().__init__(train)
        self.num_train, self.num_steps = num_train, num_steps
        self.curve: Curve | None = None

    def phases(self, phases: list[Phase]) -> list[Phase]:
        """All up to the first with steps."""
        found = []
        for phase in phases:
            found.append(phase)
            if phase.solver == "gradient":
                break
        return found

    def num_epochs(self, phase: Phase) -> int:
        """As many as the steps of the test need."""
        steps = -(-self.num_train // value_of(self.train.batch_size))
        return -(-self.num_steps // steps) if phase.solver == "gradient" else 0

    def rate(self, phase: Phase, num_steps: int) -> Rate:
        """The rate that rises."""
        return optimizer.Rising(LOWEST, HIGHEST, self.num_steps)

    def steps_together(self, model: keras.Model, steps: int) -> int:
        """Single steps: each has a rate and a loss of its own."""
        return 1

    def callbacks(
        self, made: PhaseCallbacks, model: keras.Model, num_epochs: int
    ) -> list[keras.callbacks.Callback]:
        """The curve alone."""
        rates = np.geomspace(LOWEST, HIGHEST, self.num_steps) / made.phase.rate_factor
        explain = functools.partial(self._explained, made.phase, made.rows)
        self.curve = Curve(list(rates), explain)
        return [self.curve]

    def _explained(
        self, phase: Phase, rows: PhaseRows, broken: non_finite.Breakage
    ) -> NumericError | None:
        """The error of a step for which the rate is not to blame; None where it is."""
        batch = rows.batch(broken.epoch, broken.step)
        if self.curve and self.curve.losses and not (batch and batch.broken):
            return None
        return non_finite.error(broken, phase.name, batch, LOWEST, is_kept=False)


def run(options: FindOptions, num_steps: int, recipe: Recipe) -> Found:
    """Finds, prints and saves lr_find.csv and lr_find.png in --output; returns the `Found`."""
    found = find(options, num_steps, recipe)
    print(text(found))
    if options.output.output:
        folder = pathlib.Path(options.output.output)
        save(found, folder)
        print(f"curve      {folder / 'lr_find.png'}", file=sys.stderr)
    return found


def text(found: Found) -> Any:
    """What a person wants to know, in three lines."""
    is_clamped = found.rate != found.valley
    why = f", held within {FAMILY_FACTOR:g} times of the default" if is_clamped else ""
    return "\n".join(
        [
            f"curve      {len(found.losses)} steps from {found.rates[0]:.1e} to {found.rates[-1]:.1e}, "
            f"smallest loss {found.smooth.min():.3f} at {found.rates[found.smooth.argmin()]:.1e}",
            f"proposed   {found.valley:.2e} (default {found.default:.2e})",
            f"rate       --learning_rate={found.rate:.2e}{why}",
        ]
    )


def save(found: Any, folder: pathlib.Path) -> None:
    """Writes lr_find.csv and lr_find.png.

    Raises:
        StorageError: the folder cannot be written.
    """
    with atomic_files.replace_file(folder / "lr_find.csv") as file:
        writer = csv.writer(file)
        writer.writerow(["learning_rate", "loss", "smoothed_loss"])
        writer.writerows(zip(found.rates, found.losses, found.smooth, strict=True))
    figure = drawn.Figure(figsize=(6.4, 4), layout="constrained")
    axes = figure.subplots()
    axes.plot(found.rates, found.losses, ".", alpha=0.4, label="loss of a batch")
    axes.plot(found.rates, found.smooth, label="running mean")
    axes.axvline(found.rate, color="tab:green", label=f"rate {found.rate:.2e}")
    if found.rate != found.valley:
        axes.axvline(found.valley, color="tab:green", ls=":", label=f"proposed {found.valley:.2e}")
    axes.set(xscale="log", xlabel="learning rate", ylabel="training loss")
    axes.set_ylim(bottom=0, top=min(found.losses.max(), 2 * found.losses[:10].max()))
    axes.legend()
    with atomic_files.replace_file(folder / "lr_find.png", "wb") as file:
        figure.savefig(file, format="png", dpi=120)

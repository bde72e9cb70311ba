"""The learning-rate range test: a short training with a rising rate, thrown away afterwards."""

import csv
import dataclasses
import functools
import math
import pathlib
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, cast

import keras
import numpy as np

from tltf.config import checks
from tltf.config.command_options import FindOptions
from tltf.config.options import replace
from tltf.config.recipe import Recipe
from tltf.config.train_options import TrainOptions
from tltf.console import lazy_imports
from tltf.console.plot_style import plot_style
from tltf.data import loader
from tltf.errors import FlagError, NumericError
from tltf.files import atomic_files
from tltf.methods.method import Phase
from tltf.training import assembly, datasets
from tltf.training.callbacks import non_finite
from tltf.training.callbacks.log_epochs import EveryLog
from tltf.training.course import Course, Rate
from tltf.training.distribution import strategies
from tltf.training.feed import PhaseRows
from tltf.training.fit import Fit
from tltf.training.optimizers import learning_rates
from tltf.training.option_value import value_of
from tltf.training.phase_callbacks import PhaseCallbacks

if TYPE_CHECKING:
    from matplotlib.axes import Axes

mpl, drawn = lazy_imports.Module("matplotlib"), lazy_imports.Module("matplotlib.figure")

INK, MUTED, ACCENT, GRID = "#17202b", "#5d6b7b", "#1a5fd0", "#e1e6ec"
STYLE = plot_style(INK, MUTED, GRID)
"""The look of a report's plots, in the colours of its light page."""

LOWEST, HIGHEST = 1e-7, 1.0
SMOOTHING = 0.9
"""The share of the earlier mean in the running mean of the losses, whose bias is removed."""
DIVERGED = 4.0
"""The test ends where the smoothed loss is more than this many times the smallest one."""
FIX = "--precision=float32, or other --backbone_weights"
"""The fix for a loss that is not finite before any step, although the rows are finite."""
FAMILY_FACTOR = 5.0
"""The proposed rate is at most this many times larger or smaller than the default."""


@dataclasses.dataclass(frozen=True)
class RangeTestResult:
    """The result of a range test.

    Args:
        rates: float[n], the learning rates of the steps.
        losses: float[n], the losses of the batches.
        smooth: float[n], the running mean of the losses.
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


def find(
    options: FindOptions, num_steps: int = 100, recipe: Recipe | None = None
) -> RangeTestResult:
    """The RangeTestResult for the data, the backbone and the method of a run.

    Smith 2015, arXiv:1506.01186, section 3.3, with the proposal of fastai's `valley`: half way
    into the longest fall of the loss. Departs: rates rise by a factor, not by a difference;
    losses are smoothed by .9, those of fastai by .98. Phases without steps are run first. The first
    phase with steps is tested, and the rate is for --learning_rate, whatever factor the phase has.

    Args:
        options: FindOptions; --learning_rate is ignored.
        num_steps: number of steps from LOWEST to HIGHEST, at least 20.
        recipe: Recipe of the options; None resolves it here.

    Raises:
        FlagError: there are too few steps, or the method takes none.
        NumericError: a batch has numbers that are not finite, or the first loss is not finite.
    """
    if num_steps < 20:
        raise FlagError(f"takes at least 20 (received {num_steps})", flag="num_steps")
    options = replace(
        options, learning_rate=None, warmup_fraction=0.0, schedule="constant", snapshots=0
    )
    strategy = strategies.start(options.runtime)
    recipe = recipe or checks.resolve(options, needs_output=False)
    parts = loader.training_parts(options, recipe)
    trained, method = assembly.assemble(options, recipe, parts, strategy)
    assembly.count_tokens(trained)
    feed = dataclasses.replace(datasets.build(trained, strategy), validation=None, watched=None)
    train = trained.run_options.train
    course = RangeTestCourse(train, feed.num_train, num_steps)
    fit = Fit(trained.core, method, feed, trained.run_options, strategy, EveryLog(), course=course)
    fit.prepare(assembly.context_of(trained, feed.fingerprint))
    fit.train()
    if course.curve is None or not course.curve.losses:
        raise FlagError(f"{train.method} takes no steps", flag="method", fix="solver=gradient")
    return propose_rate(course.curve, cast(float, train.learning_rate))


def propose_rate(curve: "Curve", default: float) -> RangeTestResult:
    """The RangeTestResult of a Curve."""
    losses, rates = np.array(curve.losses), np.array(curve.rates[: len(curve.losses)])
    smooth = smooth_losses(losses)
    found = float(rates[valley(smooth)])
    rate = float(np.clip(found, default / FAMILY_FACTOR, default * FAMILY_FACTOR))
    return RangeTestResult(rates, losses, smooth, found, default, rate)


def smooth_losses(losses: Sequence[float] | np.ndarray) -> np.ndarray:
    """float[n]: s_t = b s_(t-1) + (1 - b) l_t, divided by 1 - b^t."""
    mean, found = 0.0, []
    for number, loss in enumerate(losses, 1):
        mean = SMOOTHING * mean + (1 - SMOOTHING) * loss
        found.append(mean / (1 - SMOOTHING**number))
    return np.array(found)


def valley(losses: np.ndarray) -> int:
    """The place half way into the longest strictly falling subsequence of float[n].

    The comment in fastai says two thirds; its code adds a third and half a third, which is this.
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
    """Records the loss of every batch, and ends the test at the last rate or where the loss diverges.

    Args:
        rates: float[n], the learning rates of the steps to come.
        explain: Breakage -> the NumericError of a step, or None where the learning rate is the cause.
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
        """Notes the number of the epoch."""
        self._epoch = epoch + 1

    def on_train_batch_end(self, batch: int, logs: Mapping[str, float] | None = None) -> None:
        """Records the loss of the batch, and checks whether the test is over."""
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
        """What is not finite in the last step, in words; empty where all is finite."""
        if not math.isfinite(loss):
            return f"the loss is {loss}"
        found = self.model.optimizer.broken.read(self._num_steps)
        return f"the {found[1]} is not finite" if found else ""


class RangeTestCourse(Course):
    """A course to the end of the first phase that takes steps, with a rate that rises in each step.

    `curve` is the Curve of that phase; it is None before the phase begins.

    Args:
        train: TrainOptions with every `auto` resolved.
        num_train: number of training examples.
        num_steps: number of steps from LOWEST to HIGHEST.
    """

    def __init__(self, train: TrainOptions, num_train: int, num_steps: int) -> None:
        super().__init__(train)
        self.num_train, self.num_steps = num_train, num_steps
        self.curve: Curve | None = None

    def phases(self, phases: list[Phase]) -> list[Phase]:
        """The phases up to the first one with steps."""
        found = []
        for phase in phases:
            found.append(phase)
            if phase.solver == "gradient":
                break
        return found

    def num_epochs(self, phase: Phase) -> int:
        """The number of epochs that has at least the steps of the test."""
        steps = -(-self.num_train // value_of(self.train.batch_size))
        return -(-self.num_steps // steps) if phase.solver == "gradient" else 0

    def rate(self, phase: Phase, num_steps: int) -> Rate:
        """The rising rate."""
        return learning_rates.Rising(LOWEST, HIGHEST, self.num_steps)

    def steps_together(self, model: keras.Model, steps: int) -> int:
        """1: each step has a rate and a loss of its own."""
        return 1

    def callbacks(
        self, made: PhaseCallbacks, model: keras.Model, num_epochs: int
    ) -> list[keras.callbacks.Callback]:
        """The Curve, as the only callback."""
        rates = np.geomspace(LOWEST, HIGHEST, self.num_steps) / made.phase.rate_factor
        explain = functools.partial(self._explained, made.phase, made.rows)
        self.curve = Curve(list(rates), explain)
        return [self.curve]

    def _explained(
        self, phase: Phase, rows: PhaseRows, broken: non_finite.Breakage
    ) -> NumericError | None:
        """The error of a broken step; None where the learning rate is the cause."""
        batch = rows.batch(broken.epoch, broken.step)
        if self.curve and self.curve.losses and not (batch and batch.broken):
            return None
        return non_finite.error(broken, phase.name, batch, LOWEST, is_kept=False)


def run(options: FindOptions, num_steps: int, recipe: Recipe) -> RangeTestResult:
    """Runs the range test, prints the result and saves it in --output; returns the RangeTestResult.

    Args:
        options: FindOptions.
        num_steps: number of steps, see `find`.
        recipe: Recipe of the options.
    """
    found = find(options, num_steps, recipe)
    print(result_text(found))
    if options.output.output:
        folder = pathlib.Path(options.output.output)
        save(found, folder)
        print(f"{'picture':<10} {folder / 'lr_find.png'}", file=sys.stderr)
    return found


def result_text(found: RangeTestResult) -> str:
    """The curve and the flag to set, in two lines."""
    first, last, lowest = (
        rate_text(found.rates[place]) for place in (0, -1, found.smooth.argmin())
    )
    why = ""
    if found.rate != found.valley:
        why = f", held within {FAMILY_FACTOR:g} times of the default; the curve says {rate_text(found.valley)}"
    return "\n".join(
        [
            f"{'curve':<10} {len(found.losses)} steps at rates from {first} to {last}; smallest loss "
            f"{found.smooth.min():.3f}, at {lowest}",
            f"{'suggested':<10} --learning_rate={rate_text(found.rate)} "
            f"(default {rate_text(found.default)}{why})",
        ]
    )


def rate_text(rate: float) -> str:
    """A rate with two digits and without an exponent, such as `0.0076`."""
    return np.format_float_positional(float(f"{rate:.2g}"), trim="-")


def save(found: RangeTestResult, folder: pathlib.Path) -> None:
    """Writes lr_find.csv and lr_find.png into a folder.

    Raises:
        StorageError: the folder cannot be written.
    """
    with atomic_files.replace_file(folder / "lr_find.csv") as file:
        writer = csv.writer(file)
        writer.writerow(["learning_rate", "loss", "smoothed_loss"])
        writer.writerows(zip(found.rates, found.losses, found.smooth, strict=True))
    with mpl.rc_context(STYLE):
        figure = drawn.Figure(figsize=(6.4, 4), layout="constrained")
        _draw(figure.subplots(), found)
        with atomic_files.replace_file(folder / "lr_find.png", "wb") as file:
            figure.savefig(file, format="png", dpi=120)


def _draw(axes: "Axes", found: RangeTestResult) -> None:
    """Draws the losses, their running mean and the suggested rate."""
    axes.plot(found.rates, found.losses, ".", color=MUTED, alpha=0.5, label="loss of a batch")
    axes.plot(found.rates, found.smooth, color=ACCENT, label="running mean")
    axes.axvline(found.rate, color=INK, lw=1, label=f"suggested: {rate_text(found.rate)}")
    if found.rate != found.valley:
        label = f"the curve alone: {rate_text(found.valley)}"
        axes.axvline(found.valley, color=INK, lw=1, ls=":", label=label)
    axes.set(xscale="log", xlabel="learning rate", ylabel="training loss")
    axes.set_ylim(bottom=0, top=min(found.losses.max(), 2 * found.losses[:10].max()))
    axes.set_title("Learning-rate range test", loc="left", fontsize=11, fontweight="bold")
    axes.legend()

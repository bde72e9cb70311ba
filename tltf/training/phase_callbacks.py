"""The callbacks of one phase of a fit, in their order."""

import dataclasses
import functools
from collections.abc import Callable, Sequence

import keras

from tltf.methods.method import Phase
from tltf.runs import checkpoints
from tltf.training import resume
from tltf.training.callbacks import (
    average,
    keep_best,
    keep_snapshots,
    log_epochs,
    non_finite,
    save_state,
    show_progress,
    validate,
)
from tltf.training.callbacks.keep_best import BestEpoch, KeepBest
from tltf.training.callbacks.plateau import Plateau, plateau
from tltf.training.callbacks.stop_when_learned import StopWhenLearned
from tltf.training.feed import PhaseRows
from tltf.training.fit_parts import FitParts
from tltf.training.fit_state import Arrays, FitState, Place
from tltf.training.judges import TEST
from tltf.training.optimizers import learning_rates
from tltf.training.option_value import value_of


@dataclasses.dataclass
class PhaseCallbacks:
    """Makes the callbacks: validation first, saving last, so that each sees what others have logged.

    Args:
        fit: FitParts.
        phase: Phase.
        number: number of the phase; 0 is the first.
        steps: number of steps per epoch.
        place: Place from which the phase goes on.
        rows: PhaseRows of the phase.
        saved: FitState from which the phase goes on, or None.
        num_epochs_after: epochs of the phases that come after this one.
    """

    fit: FitParts
    phase: Phase
    number: int
    steps: int
    place: Place
    rows: PhaseRows
    saved: FitState | None = None
    num_epochs_after: int = 0
    best: KeepBest | None = dataclasses.field(default=None, init=False)
    """Holds the best weights once the callbacks are built; None without validation."""
    reducer: Plateau | None = dataclasses.field(default=None, init=False)
    """Lowers the rate once the callbacks are built; None without that schedule."""
    learned: StopWhenLearned | None = dataclasses.field(default=None, init=False)
    """Ends the phase when its rows are learned, once the callbacks are built; None where it does not."""

    def build(
        self,
        model: keras.Model,
        num_epochs: int,
        also: Sequence[keras.callbacks.Callback] = (),
    ) -> list[keras.callbacks.Callback]:
        """The list for `model.fit`.

        Args:
            model: the compiled model.
            num_epochs: number of epochs of the phase.
            also: more callbacks, called after all of these but the one that saves.
        """
        fit, train = self.fit, self.fit.options.train
        guard = self._guard()
        averages = average.Average() if train.ema_decay else None
        self.best = self._keep_best()
        saver = self._saver(model, guard)
        first_step = show_progress.NoteFirstStep(fit.clock.note_first_step)
        callbacks: list[keras.callbacks.Callback] = [first_step, guard]
        if averages:
            callbacks.append(averages)
        callbacks += self._judging(functools.partial(self._keep_unjudged, averages, saver))
        if (self.phase.schedule or train.schedule) == "plateau":
            state = self.saved.plateau if self.saved else None
            rise = learning_rates.rise(train, self.phase, num_epochs * self.steps)
            self.reducer = plateau(fit.feed.validation is not None, rise, state)
            callbacks.append(self.reducer)
        self.learned = self._stop_when_learned(num_epochs)
        callbacks += [self.learned] if self.learned else []
        callbacks += self._reporting(num_epochs)
        if fit.run and fit.is_writer and self.phase.num_snapshots:
            epochs = self.phase.snapshot_epochs(num_epochs)
            callbacks.append(keep_snapshots.KeepSnapshots(fit.run, epochs, fit.moved.read))
        if averages:
            callbacks.append(averages.restorer())
        callbacks += also
        return [*callbacks, saver] if saver else callbacks

    def _guard(self) -> non_finite.StopAtNonFinite:
        """The callback that stops the phase where its numbers are no longer finite."""
        fit, core = self.fit, self.fit.core
        explain = non_finite.Explanation(
            self.phase.name, self.rows, fit.options.train, core.backbone, bool(fit.run)
        )
        ignorance = functools.partial(non_finite.loss_of_zeros, core, fit.feed)
        history = fit.record.history
        return non_finite.StopAtNonFinite(self.place, explain, ignorance, fit.moved, history)

    def _keep_best(self) -> KeepBest | None:
        """The callback that keeps the best epoch; None without validation."""
        if self.fit.feed.validation is None:
            return None
        state, weights = self._best_so_far()
        patience = self.fit.options.train.early_stopping_epochs
        patience = 0 if self.phase.keep == "last" else patience
        chosen_by = self.fit.judges.chosen_by(self.fit.core.head)
        return KeepBest(self.fit.weights_to_keep, patience, state, weights, chosen_by)

    def _stop_when_learned(self, num_epochs: int) -> StopWhenLearned | None:
        """The callback that ends the phase when its rows are learned; None where none shall."""
        fit, keep = self.fit, self.phase.keep or self.fit.options.train.keep
        if not fit.options.train.stop_when_learned or self.phase.keep == "last":
            return None
        knowing_nothing = non_finite.loss_of_zeros(fit.core, fit.feed)
        best = self.best if keep == "best" else None
        low_epochs = self.saved.low_epochs if self.saved else 0
        return StopWhenLearned(knowing_nothing, num_epochs, best, low_epochs)

    def _best_so_far(self) -> tuple[BestEpoch | None, Arrays | None]:
        """`(state, weights)` for KeepBest: those saved, or what earlier phases have reached.

        Without either they are None. So they are where the method keeps the start of the phase: it
        compares the start with the end itself.
        """
        if self.saved:
            return self.saved.best, self.saved.best_weights
        if self.number == 0 or self.phase.keeps_start:
            return None, None
        loss, reached = self.fit.judges.quality()
        return keep_best.best_epoch(reached, loss), self.fit.weights_to_keep()

    def _judging(self, on_interrupt: Callable[[int], None]) -> list[keras.callbacks.Callback]:
        """The callbacks that judge an epoch, and the one that keeps the best."""
        measure, metric = self.fit.judges.measure, self.fit.judges.logged(self.fit.core.head)
        callbacks: list[keras.callbacks.Callback] = []
        if self.best:
            callbacks.append(validate.Validate(measure, "val", metric, on_interrupt))
        if self.fit.feed.watched is not None:
            measure_test = functools.partial(measure, TEST)
            callbacks.append(validate.Validate(measure_test, "test", metric, on_interrupt))
        return [*callbacks, self.best] if self.best else callbacks

    def _reporting(self, num_epochs: int) -> list[keras.callbacks.Callback]:
        """The callbacks that write the numbers of an epoch down and show them."""
        fit, name = self.fit, self.phase.name
        size = value_of(fit.options.train.batch_size)
        return [
            log_epochs.LogEpochs(
                fit.log,
                name,
                fit.record.history,
                is_passed=self.phase.keep == "last",
                learned=self.learned,
            ),
            show_progress.ShowProgress(
                name,
                self.rows.count,
                size,
                num_epochs,
                best=self.best,
                num_epochs_after=self.num_epochs_after,
                learned=self.learned,
            ),
        ]

    def _keep_unjudged(
        self, averages: average.Average | None, saver: save_state.SaveState | None, epoch: int
    ) -> None:
        """Saves an epoch whose validation was broken off, as it was before validation began."""
        if averages:
            averages.on_epoch_end(epoch)
        if saver:
            saver.save(Place(epoch, self.steps))

    def _saver(
        self, model: keras.Model, guard: non_finite.StopAtNonFinite
    ) -> save_state.SaveState | None:
        """The callback that saves checkpoints; None where this process keeps none."""
        fit, run = self.fit, self.fit.run
        if run is None or not fit.is_writer:
            return None

        def save(place: Place) -> None:
            if place.steps:
                guard.require_finite_weights()
            step = fit.record.step + int(model.optimizer.iterations.numpy())
            checkpoints.save(run, step, self._state(model, place).to_checkpoint())

        minutes = fit.options.output.checkpoint_minutes
        return save_state.SaveState(save, self.place, 60 * minutes)

    def _state(self, model: keras.Model, place: Place) -> FitState:
        """The FitState at a place of the phase."""
        fit, best = self.fit, self.best
        metrics = resume.metric_variables(model) if place.steps else []
        return FitState(
            phase=self.number,
            place=place,
            epoch_steps=self.steps,
            record=fit.record,
            fingerprint=fit.feed.fingerprint,
            seconds=fit.clock.seconds(),
            is_stopped=bool(model.stop_training),
            best=best.state if best else None,
            best_weights=best.weights if best else {},
            plateau=self.reducer.state() if self.reducer else {},
            low_epochs=self.learned.num_low if self.learned else 0,
            weights=fit.moved.read(),
            optimizer=[variable.numpy() for variable in model.optimizer.variables],
            seeds=[variable.numpy() for variable in resume.seed_variables(fit.core.model)],
            metrics=[variable.numpy() for variable in metrics],
        )

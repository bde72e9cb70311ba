"""The callbacks of one phase of a fit, in their order."""

from typing import Any

import keras
import numpy as np

from tltf.methods.method import Phase
from tltf.runs import checkpoints, layout
from tltf.runs.checkpoints import Checkpoint
from tltf.training import fit_state
from tltf.training.callbacks import (
    average,
    keep_best,
    log_epochs,
    non_finite,
    plateau,
    save_state,
    show_progress,
    validate,
)
from tltf.training.judges import TEST


class PhaseCallbacks:
    """Makes them: validation first, saving last, so that each sees what those before it logged.

    Args:
        fit: the Fit whose phase it is.
        number: of the phase.
        phase: Phase.
        saved: Checkpoint from which the phase goes on, or None.
    """

    def __init__(self, fit: Any, number: int, phase: Phase, saved: Checkpoint | None) -> None:
        self.fit, self.number, self.phase, self.saved = fit, number, phase, saved
        self.guard = non_finite.guard(fit, phase.name, fit_state.place_of(saved), fit.rows)
        self._average = average.Average() if fit.options.train.ema_decay else None
        self._saver: Any = None
        self.best: Any = None
        if fit.feed.validation is not None:
            state, weights = self._best_so_far()
            patience = fit.options.train.early_stopping_epochs
            self.best = keep_best.KeepBest(
                fit.best_weights, patience, state, weights, fit.core.head
            )

    def all(self, model: keras.Model, epochs: int) -> list[keras.callbacks.Callback]:
        """The list for `model.fit`.

        Args:
            model: the compiled model.
            epochs: of the phase.
        """
        fit, phase = self.fit, self.phase
        train, has_validation = fit.options.train, fit.feed.validation is not None
        watched = [show_progress.NoteFirstStep(fit.note_first_step), self.guard]
        watched += [self._average] if self._average else []
        watched += self._judging()
        if (phase.schedule or train.schedule) == "plateau":
            state = self.saved and self.saved.state["plateau"]
            watched.append(plateau.plateau(has_validation, state))
        logger = log_epochs.LogEpochs(fit.log, phase.name)
        logger.rows = fit.history
        watched += [logger, show_progress.ShowProgress(phase.name, fit.feed.num_train,
                                                       train.batch_size, epochs)]  # fmt: skip
        watched += [self._average.back()] if self._average else []
        if fit.is_writer and fit.run and fit.options.output.tensorboard:
            folder = f"{fit.run}/{layout.TENSORBOARD}/{phase.name}"
            watched.append(log_epochs.tensorboard(folder))
        if fit.is_writer and fit.run:
            self._saver = self._made_saver(model, watched)
            watched.append(self._saver)
        return watched

    def _judging(self) -> list[keras.callbacks.Callback]:
        """What judges an epoch, and keeps the best."""
        judges, metric, found = self.fit.judges, self.fit.core.head.metric, []
        if self.best:
            found.append(validate.Validate(judges.measure, "val", metric, self._keep_unjudged))
        if self.fit.feed.watched is not None:
            found.append(validate.Validate(lambda: judges.measure(TEST), "test", metric,
                                           self._keep_unjudged))  # fmt: skip
        return [*found, *([self.best] if self.best else [])]

    def _keep_unjudged(self, epoch: int) -> None:
        """Saves an epoch whose validation was broken off, as it was before that began."""
        if self._average:
            self._average.on_epoch_end(epoch)
        if self._saver:
            self._saver.save(fit_state.Place(epoch, self.fit.epoch_steps))

    def _best_so_far(self) -> tuple[dict[str, float] | None, dict[str, np.ndarray] | None]:
        """`(state, weights)` of KeepBest: those saved, or what the phases before have reached.

        A method that keeps a phase's start weighs it itself.
        """
        if self.saved:
            return self.saved.state["best"], fit_state.arrays_under(self.saved, "best/")
        if self.number == 0 or self.phase.keeps_start:
            return None, None
        loss, reached = self.fit.judges.quality()
        return keep_best.best_state(reached, loss), self.fit.best_weights()

    def _made_saver(self, model: keras.Model, watched: list) -> save_state.SaveState:
        fit = self.fit

        def save(place: fit_state.Place) -> None:
            if place.steps:
                self.guard.require_finite_weights()
            step = fit.step + int(model.optimizer.iterations.numpy())
            checkpoint = fit_state.snapshot(fit, model, self.number, place, watched)
            checkpoints.save(fit.run, step, checkpoint)

        minutes = fit.options.output.checkpoint_minutes
        return save_state.SaveState(save, fit_state.place_of(self.saved), 60 * minutes)

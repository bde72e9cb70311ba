"""Runs the phases of a method; the only module that calls `model.fit`."""

import contextlib
import dataclasses
import functools
import pathlib
import warnings
from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from tltf.config.options import Options
from tltf.console import out_of_memory, signals
from tltf.data.device_batches import share_batches
from tltf.graphs import batch_norm_folding, batch_norm_statistics, freezing, frozen_prefix
from tltf.graphs.core import Core
from tltf.graphs.freezing import Plan
from tltf.graphs.frozen_prefix import Cut
from tltf.graphs.functional import named_weights
from tltf.methods.context import FitContext
from tltf.methods.method import Method, Phase, TrainingOutcome
from tltf.models.forward import ForwardPass
from tltf.runs import checkpoints
from tltf.training import compiling, curriculum, resume
from tltf.training.callbacks.keep_best import KeepBest
from tltf.training.callbacks.log_epochs import EpochLog
from tltf.training.course import Course
from tltf.training.distribution import multi_worker
from tltf.training.feed import Above, Batches, DataAbove, Feed, PhaseRows
from tltf.training.fit_parts import FitParts
from tltf.training.fit_state import FitClock, FitRecord, FitState, MovedWeights, Place
from tltf.training.judges import VALIDATION, Judges
from tltf.training.optimizers import embedding_rows
from tltf.training.optimizers import optimizer as optimizers_optimizer
from tltf.training.option_value import value_of
from tltf.training.phase_callbacks import PhaseCallbacks


@dataclasses.dataclass(frozen=True)
class ReadyPhase:
    """A phase whose model is compiled.

    Args:
        number: number of the phase; 0 is the first.
        phase: Phase.
        model: the compiled model.
        training: `Batches` that it trains on.
        steps: number of steps per epoch.
        rows: PhaseRows of the phase.
        saved: FitState from which the phase goes on, or None.
    """

    number: int
    phase: Phase
    model: keras.Model
    training: Batches
    steps: int
    rows: PhaseRows
    saved: FitState | None


class Fit:
    """One training of a core by a method.

    Args:
        core: Core, whose weights are trained in place. The attribute `core` is what the method makes
            of it, and in the end the core to keep.
        method: Method.
        feed: Feed.
        options: Options with every `auto` resolved.
        strategy: tf.distribute.Strategy in whose scope the core was built.
        log: EpochLog, which takes a dict per epoch.
        run: the run folder for checkpoints; None keeps none.
        is_writer: whether this process writes checkpoints; all processes read them.
        course: Course; None for the one that options and method set.
    """

    def __init__(
        self,
        core: Core,
        method: Method,
        feed: Feed,
        options: Options,
        strategy: tf.distribute.Strategy,
        log: EpochLog,
        run: pathlib.Path | None = None,
        is_writer: bool = True,
        course: Course | None = None,
    ) -> None:
        self.core, self.method, self.feed = core, method, feed
        self.options, self.strategy, self.log, self.run = options, strategy, log, run
        self.is_writer = is_writer
        self.course = course or Course(options.train, strategy.num_replicas_in_sync)
        self.judges = Judges(feed, options.train.eval_batch_size, options.train.metric)
        self.clock, self.record, self.moved = FitClock(), FitRecord(), MovedWeights()
        self.plans: list[Plan] = []
        self.epochs_before = 0
        self.best: KeepBest | None = None
        self.above: Above | None = None
        self._is_prepared = False
        self._phases: list[Phase] = []
        self._last: tuple[keras.Model, Batches] | None = None

    @property
    def history(self) -> list[dict[str, Any]]:
        """A dict for each epoch, or for each penalty that a solver has tried."""
        return self.record.history

    def prepare(self, context: FitContext | None = None) -> None:
        """Lets the method change the layers of the core, so that its rules find what they train."""
        with self.strategy.scope():
            self.core = self.method.prepare(self.core, context or FitContext())
        self._is_prepared = True

    def __call__(self) -> Core:
        """Runs the phases, then lets the method finish; returns the core to keep."""
        self.train()
        return self.finish()

    def train(self) -> None:
        """Runs the phases; `plans` and `history` record them, `moved` has the changed variables."""
        if not self._is_prepared:
            self.prepare()
        phases = self._phases = self.phases()
        saved = self._saved(len(phases))
        for number, phase in enumerate(phases):
            if saved and saved.phase > number:
                self._plan(phase)
                self.epochs_before += self.course.num_epochs(phase)
                continue
            resumed = saved if saved and saved.phase == number else None
            ready = self._prepare_phase(number, phase, resumed)
            if ready:
                self._take_steps(ready)
            norm = phase.norm_policy(self.options.train.norm)
            if norm == "recalibrate" and phase.solver != "none":
                self._recalibrate()

    def phases(self) -> list[Phase]:
        """The phases that `train` runs."""
        return self.course.phases(self.method.phases(self.core))

    def finish(self) -> Core:
        """Lets the method finish its work on the trained core; returns the core to keep."""
        measure = self.judges.quality if VALIDATION in self.judges else None
        trained, judged = self.core, self.judges.of_classes()
        self.core = self.method.finish(
            trained, TrainingOutcome(self.moved, self.record.start, measure, judged)
        )
        if self.method.mixes_weights and self.options.train.norm == "recalibrate":
            self._recalibrate()
        if self.above and self.core is trained:  # its layers may have other classes now
            forward, dataset = self.above
            self.above = ForwardPass(forward.model, self.core.outputs), dataset
        else:
            self.above = None
        return self.core

    def _saved(self, num_phases: int) -> FitState | None:
        """The FitState that the run goes on from, after its record was taken over; None without one."""
        if not self.run:
            return None
        if self.is_writer:
            checkpoints.sweep(self.run)
        saved = resume.newest(self.run, self.strategy, self.is_writer)
        resume.require_phase(saved, num_phases)
        if saved:
            self.record, self.clock.seconds_before = saved.record, saved.seconds
        return saved

    def _plan(self, phase: Phase) -> Plan:
        """Applies the Plan of a phase to the layers and notes it."""
        norm = phase.norm_policy(self.options.train.norm)
        is_shared = self.strategy.num_replicas_in_sync > 1
        plan = freezing.apply(self.core.groups, phase.rules, norm, is_synchronized=is_shared)
        self.plans.append(plan)
        self.moved.update({name: plan.variables[name] for name in plan.moving})
        return plan

    def _prepare_phase(
        self, number: int, phase: Phase, saved: FitState | None
    ) -> ReadyPhase | None:
        """The phase with its compiled model; None for a phase without steps, which is then over."""
        self.core = self.method.core_of(self.core, phase)
        size = value_of(self.options.train.batch_size)
        num_devices = self.strategy.num_replicas_in_sync
        given = self.method, self.feed, self.core, self.record, self.options, num_devices
        chosen = curriculum.rows_of(phase, *given)
        rows = PhaseRows(self.feed, size, self.epochs_before, chosen)
        with self.strategy.scope():
            plan = self._plan(phase)
            if saved:  # before the frozen prefix runs: an earlier phase may have trained it
                self.moved.write(resume.fitting_weights(saved, self.moved))
            parts = frozen_prefix.cut(self.core.model, self.core.groups, self._model_class())
        above = self.feed.data_above(parts.prefix) if parts.prefix else DataAbove()
        self.above = self.judges.place(self.core, parts, above)
        training = above.training or self.feed.training
        if chosen is not None:
            training = functools.partial(training, rows=chosen)
        self._last = (parts.suffix if above.training else self.core.model), training
        if phase.solver in ("lbfgs", "method"):
            self._solve(parts, above, training, phase, rows)
            if self.feed.probe_scores:
                self.record.probe = self.feed.probe_scores(self.core, self.above)
        if phase.solver != "gradient":
            return None
        steps = -(-rows.count // size)
        training = share_batches(training, size, num_devices)
        unlabelled = above.unlabelled if above.training else self.feed.unlabelled
        if unlabelled:
            unlabelled = functools.partial(unlabelled, steps=steps)
        training = self.method.batches(training, phase, unlabelled)
        with self.strategy.scope():
            model = parts.suffix if above.training else self._joined(parts)
            self._compile(model, plan, phase, steps)
            self.core.head.begin(model, compiling.shared_weights(self.core))
            self.method.begin(self.core, phase, model, self.course.num_epochs(phase) * steps)
        if phase.keeps_start and not saved:
            self.record.start = self.moved.read()
        return ReadyPhase(number, phase, model, training, steps, rows, saved)

    def _model_class(self) -> type[keras.Model] | None:
        """The class of the model whose `train_step` trains; None for keras.Model."""
        return self.core.head.model_class or self.method.model_class

    def _joined(self, parts: Cut) -> keras.Model:
        """The model whose frozen prefix, which runs in every step, has its batch norms folded."""
        if parts.prefix:
            parts = dataclasses.replace(parts, prefix=batch_norm_folding.fold(parts.prefix))
        return frozen_prefix.join(self.core.model, parts, self._model_class())

    def _take_steps(self, ready: ReadyPhase) -> None:
        """Trains a phase from where it stands to its end."""
        model, saved, epochs = ready.model, ready.saved, self.course.num_epochs(ready.phase)
        size, num_replicas = self.options.train.batch_size, self.strategy.num_replicas_in_sync
        place = self._restore(ready, saved) if saved else Place(0)
        callbacks = self._callbacks(ready, place, epochs)
        is_over = place.epochs >= epochs or (saved is not None and saved.is_stopped)
        saves = self.run and self.is_writer
        stops = signals.defer_signals() if saves else contextlib.nullcontext()
        anew = ", with --resume=never" if self.run else ""
        memory = out_of_memory.explain_out_of_memory("batch_size", size, num_replicas, anew)
        with multi_worker.patch_fit(self.strategy), stops, memory:
            if saved and place.steps and not is_over:
                self._end_epoch(ready, place, callbacks, saved)
                place = Place(place.epochs + 1)
                is_over = place.epochs >= epochs or model.stop_training
            if is_over:
                model.optimizer.finalize_variable_values(model.trainable_variables)  # as `fit` does
            else:
                batches = ready.training(self.epochs_before + place.epochs, epochs - place.epochs)
                _keras_fit(model, batches, (place.epochs, epochs), ready.steps, callbacks)
        self.record.step += int(model.optimizer.iterations.numpy())
        self.epochs_before += epochs
        if (ready.phase.keep or self.options.train.keep) == "best":
            self._write_best()

    def _restore(self, ready: ReadyPhase, saved: FitState) -> Place:
        """Restores a FitState; returns the Place to go on from."""
        fingerprint, allowed = self.feed.fingerprint, self.options.output.resume
        place = resume.place_to_go_on(saved, fingerprint, ready.steps, allowed)
        resume.restore(saved, ready.model, self.core.model, self.moved)
        return place

    def _callbacks(
        self, ready: ReadyPhase, place: Place, epochs: int
    ) -> Sequence[keras.callbacks.Callback]:
        """The callbacks of a phase; the attribute `best` becomes its KeepBest."""
        made = PhaseCallbacks(
            self._parts(),
            ready.phase,
            ready.number,
            ready.steps,
            place,
            ready.rows,
            ready.saved,
            self._num_epochs_after(ready.number),
        )
        callbacks = self.course.callbacks(made, ready.model, epochs)
        self.best = made.best or self.best
        return callbacks

    def _num_epochs_after(self, number: int) -> int:
        """The number of epochs of the phases that come after one."""
        later = [phase for phase in self._phases[number + 1 :] if phase.solver == "gradient"]
        return sum(self.course.num_epochs(phase) for phase in later)

    def _write_best(self) -> None:
        """Restores the weights of the best epoch, where they are kept."""
        if self.best:
            if not self.best.weights:
                warnings.warn(
                    "no epoch had a finite validation loss and metric; the last weights are kept",
                    stacklevel=2,
                )
            self.moved.write(self.best.weights)

    def _end_epoch(
        self,
        ready: ReadyPhase,
        place: Place,
        callbacks: Sequence[keras.callbacks.Callback],
        saved: FitState,
    ) -> None:
        """Trains the rest of an interrupted epoch; where no steps are left it only judges the epoch."""
        model, is_trained = ready.model, place.steps >= ready.steps
        skip = 0 if is_trained else place.steps
        batches = ready.training(self.epochs_before + place.epochs, 1, skip=skip)
        back = keras.callbacks.LambdaCallback(
            on_epoch_begin=lambda epoch, logs: resume.restore_metrics(saved, model, batches)
        )
        if is_trained:
            resume.end_epoch(model, place.epochs, [back, *callbacks])
            return
        epochs = place.epochs, place.epochs + 1
        with resume.as_unfinished(model.optimizer):
            _keras_fit(model, batches, epochs, ready.steps - place.steps, [back, *callbacks])

    def _recalibrate(self) -> None:
        """Computes the statistics of the changed batch norms again, with the final weights."""
        norms = batch_norm_statistics.moved_batch_norms(self.core.groups, self.moved.values())
        if norms and self._last:
            model, batches = self._last
            batch_norm_statistics.recalibrate(model, batches(self.epochs_before, 1), norms)

    def _solve(
        self, parts: Cut, above: DataAbove, training: Batches, phase: Phase, rows: PhaseRows
    ) -> None:
        """Trains a head without steps; a method may make a head of other layers."""
        from tltf.training.solver import solve_phase  # brings scipy.optimize, needed here alone

        given = self._parts(), phase.name, parts, above, training, rows
        if phase.solver == "lbfgs":
            solve_phase.solve_phase(*given)
            return
        with self.strategy.scope():
            self.core = solve_phase.solve_by_method(self.method, *given)
            layers = self.core.groups[-1].layers
            if any(layer.trainable_weights for layer in layers):
                self.plans.pop()
                self._plan(phase)
            self.moved.keep(self.core.model.weights)
            self.moved.update(named_weights(layers))
            parts = frozen_prefix.cut(self.core.model, self.core.groups, self._model_class())
        self.above = self.judges.place(self.core, parts, above)

    def _compile(self, model: keras.Model, plan: Plan, phase: Phase, steps: int) -> None:
        """Compiles the model of a phase, and makes the optimizer's variables."""
        train = self.options.train
        rate = self.course.rate(phase, self.course.num_epochs(phase) * steps)
        used = embedding_rows.used_rows(model, self.feed.used_ids)
        factors = compiling.factors_of(self.core, train, plan)
        is_scaled = self.options.runtime.precision == "mixed_float16"
        optimizer = optimizers_optimizer.build(train, factors, rate, used, is_scaled)
        model.compile(
            optimizer,
            **compiling.arguments_of(self.core, train, phase),
            jit_compile=False,
            steps_per_execution=self.course.steps_together(model, steps),
        )
        optimizer.build(model.trainable_variables)

    def _parts(self) -> FitParts:
        return FitParts(
            core=self.core,
            feed=self.feed,
            options=self.options,
            judges=self.judges,
            moved=self.moved,
            record=self.record,
            clock=self.clock,
            log=self.log,
            run=self.run,
            is_writer=self.is_writer,
        )


def _keras_fit(
    model: keras.Model,
    batches: tf.data.Dataset,
    epochs: tuple[int, int],
    steps: int,
    callbacks: Sequence[keras.callbacks.Callback],
) -> None:
    """The only call of Keras's training loop; `epochs` is (first, end)."""
    model.fit(
        batches,
        initial_epoch=epochs[0],
        epochs=epochs[1],
        steps_per_epoch=steps,
        callbacks=callbacks,
        shuffle=False,
        verbose=0,
    )

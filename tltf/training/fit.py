"""Runs a method's phases. The only caller of `model.fit`."""

import contextlib
import dataclasses
import functools
import pathlib
import time
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np

from tltf.console import out_of_memory, signals
from tltf.data import label_kinds
from tltf.data.device_batches import share_batches
from tltf.graphs import batch_norm_folding, batch_norm_statistics, freezing, frozen_prefix
from tltf.graphs.core import Core
from tltf.graphs.freezing import Plan
from tltf.graphs.frozen_prefix import Cut
from tltf.methods.adversaries import AdversarialModel
from tltf.methods.context import FitContext
from tltf.methods.method import Phase, TrainingOutcome
from tltf.models.forward import Forward
from tltf.runs import checkpoints
from tltf.runs.checkpoints import Checkpoint
from tltf.training import curriculum, fit_state
from tltf.training.callbacks import (
    non_finite,
)
from tltf.training.datasets import Above
from tltf.training.distribution import multi_worker
from tltf.training.fit_state import Place
from tltf.training.judges import VALIDATION, Judges
from tltf.training.optimizers import embedding_rows
from tltf.training.optimizers import optimizer as optimizers_optimizer
from tltf.training.optimizers.optimizer import WarmUp
from tltf.training.phase_callbacks import PhaseCallbacks


class Fit:
    """One training of a core by a method.

    Args:
        core: Core; its weights are trained in place. `core` is what the method makes of
            it, and in the end the core to keep.
        method: methods.Method.
        feed: Feed.
        options: Options with every `auto` resolved.
        strategy: tf.distribute.Strategy in whose scope the core was built.
        log: metrics_log.MetricsLog or anything with `write(row)`.
        run: the run folder for checkpoints; None keeps none.
        is_writer: whether this process writes them; all read them.
    """

    def __init__(
        self,
        core: Core,
        method: Any,
        feed: Any,
        options: Any,
        strategy: Any,
        log: Any,
        run: pathlib.Path | None = None,
        is_writer: bool = True,
    ) -> None:
        self.core, self.method, self.feed = core, method, feed
        self.options, self.strategy, self.log, self.run = options, strategy, log, run
        self.is_writer = is_writer
        self.seconds_before, self._start = 0.0, time.monotonic()
        self.plans: list[Plan] = []
        self.history: list[dict] = []
        self.moved: dict[str, keras.Variable] = {}
        self.start: dict[str, np.ndarray] = {}
        self.best: Any = None
        self.step = self.epochs_before = self.epoch_steps = 0
        self.first_step_s: float | None = None
        self.above: tuple | None = None
        self._is_prepared = False
        self.judges = Judges(feed, options.train.eval_batch_size)
        self._last: Any = None
        self.difficulty: np.ndarray | None = None
        self.rows: np.ndarray | None = None
        self._guard: Any = None

    def prepare(self, context: FitContext | None = None) -> None:
        """Lets the method change the core's layers, so that its rules find what they train."""
        with self.strategy.scope():
            self.core = self.method.prepare(self.core, context or FitContext())
        self._is_prepared = True

    def __call__(self) -> Core:
        """Runs the phases, then finishes; returns the core to keep."""
        self.train()
        return self.finish()

    def train(self) -> None:
        """Runs the phases. `plans` and `history` say what was done, `moved` what was changed."""
        if not self._is_prepared:
            self.prepare()
        phases = self.phases()
        if self.run and self.is_writer:
            checkpoints.sweep(self.run)
        saved = self.run and fit_state.newest(self.run, self.strategy, self.is_writer)
        fit_state.require_phase(saved, len(phases))
        for number, phase in enumerate(phases):
            if saved and saved.state["phase"] > number:
                self._plan(phase)
                self.epochs_before += self._num_epochs(phase)
                self.start = fit_state.arrays_under(saved, "start/")
                continue
            resumed = saved if saved and saved.state["phase"] == number else None
            steps = self._prepare_phase(number, phase, resumed)
            if steps:
                self._take_steps(*steps)
            norm = phase.norm_policy(self.options.train.norm)
            if norm == "recalibrate" and phase.solver != "none":
                self._recalibrate()

    def phases(self) -> list[Phase]:
        """The list of `Phase` that `train` runs."""
        return self.method.phases(self.core)

    def finish(self) -> Core:
        """The core to keep, when the method has ended its work on what was trained."""
        measure = self.judges.quality if VALIDATION in self.judges else None
        trained = self.core
        self.core = self.method.finish(trained, TrainingOutcome(self.moved, self.start, measure))
        if self.method.mixes_weights and self.options.train.norm == "recalibrate":
            self._recalibrate()
        if self.above and self.core is trained:  # but the layers may have other classes now
            forward, dataset = self.above
            self.above = Forward(forward.model, self.core.head.name), dataset
        else:
            self.above = None
        return self.core

    def seconds(self) -> float:
        """Seconds of training so far, those before an interruption included."""
        return self.seconds_before + time.monotonic() - self._start

    def note_first_step(self) -> None:
        """Notes when the first step was done."""
        self.first_step_s = self.first_step_s or time.monotonic() - self._start

    def _num_epochs(self, phase: Any) -> int:
        """Passes over the training split with steps; a solver takes none."""
        return phase.num_epochs(self.options.train.train_epochs)

    def _plan(self, phase: Phase) -> Plan:
        norm = phase.norm_policy(self.options.train.norm)
        is_shared = self.strategy.num_replicas_in_sync > 1
        plan = freezing.apply(self.core.groups, phase.rules, norm, is_synchronized=is_shared)
        self.plans.append(plan)
        self.moved |= {name: plan.variables[name] for name in plan.moving}
        return plan

    def _prepare_phase(self, number: Any, phase: Any, saved: Any) -> Any:
        """The arguments of `_take_steps`; None for a phase without steps, which is over then."""
        rows = self.rows = self._easiest(phase, saved)
        kind = self.method.model_class
        with self.strategy.scope():
            plan = self._plan(phase)
            if saved:  # before the frozen prefix runs: an earlier phase may have trained it
                self.write_weights(fit_state.weights(self, saved))
            parts = frozen_prefix.cut(self.core.model, self.core.groups, kind)
        above = self.feed.above(parts.prefix) if parts.prefix else Above()
        self.above = self.judges.place(self.core, parts, above)
        training = self.method.batches(above.training or self.feed.training, phase)
        if rows is not None:
            training = functools.partial(training, rows=rows)
        self._last = (parts.suffix if above.training else self.core.model), training
        if phase.solver == "lbfgs":
            self._solve(parts, training, above, phase)
        if phase.solver != "gradient":
            return None
        count = self.feed.num_train if rows is None else len(rows)
        steps = self.epoch_steps = -(-count // self.options.train.batch_size)
        with self.strategy.scope():
            model = parts.suffix if above.training else _joined(self.core.model, parts, kind)
            self._compile(model, plan, phase, self._num_epochs(phase) * steps, steps)
        if phase.keeps_start:
            self.start = fit_state.arrays_under(saved, "start/") if saved else self.read_weights()
        return model, training, steps, number, phase, saved

    def _take_steps(
        self,
        model: AdversarialModel | keras.Model,
        training: Any,
        steps: int,
        number: int,
        phase: Phase,
        saved: Checkpoint | None,
    ) -> None:
        epochs, size = self._num_epochs(phase), self.options.train.batch_size
        num_replicas = self.strategy.num_replicas_in_sync
        training = share_batches(training, size, num_replicas)
        place = fit_state.restore(self, model, saved, steps) if saved else fit_state.Place(0)
        watched = self._callbacks(model, number, phase, epochs, saved)
        is_over = place.epochs >= epochs or (saved is not None and saved.state["is_stopped"])
        saves = self.run and self.is_writer
        stops = signals.defer_signals() if saves else contextlib.nullcontext()
        small = out_of_memory.explain_out_of_memory("batch_size", size, num_replicas,
                                ", with --resume=never" if self.run else "")  # fmt: skip
        with multi_worker.patch_fit(self.strategy), stops, small:
            if place.steps and not is_over:
                self._end_epoch(model, training, steps, place, watched, saved)
                place = fit_state.Place(place.epochs + 1)
                is_over = place.epochs >= epochs or model.stop_training
            if is_over:
                model.optimizer.finalize_variable_values(model.trainable_variables)  # as `fit` does
            else:
                batches = training(self.epochs_before + place.epochs, epochs - place.epochs)
                _keras_fit(model, batches, (place.epochs, epochs), steps, watched)
        self.step += int(model.optimizer.iterations.numpy())
        self.epochs_before += epochs
        if self.best and self.options.train.keep == "best":
            if not self.best.weights:
                warnings.warn(
                    "no epoch had a finite validation; the last weights are kept", stacklevel=2
                )
            self.write_weights(self.best.weights)

    def _end_epoch(
        self,
        model: keras.Model,
        training: Callable[..., Any],
        steps: int,
        place: Place,
        watched: Sequence[Any],
        saved: Any,
    ) -> None:
        """Trains the rest of an epoch that was interrupted, or only judges it."""
        is_trained = place.steps >= steps
        batches = training(self.epochs_before + place.epochs, 1,
                           skip=0 if is_trained else place.steps)  # fmt: skip
        back = keras.callbacks.LambdaCallback(
            on_epoch_begin=lambda epoch, logs: fit_state.restore_metrics(model, saved, batches)
        )
        if is_trained:
            fit_state.end_epoch(model, place.epochs, [back, *watched])
            return
        with fit_state.as_unfinished(model.optimizer):
            _keras_fit(model, batches, (place.epochs, place.epochs + 1), steps - place.steps,
                       [back, *watched])  # fmt: skip

    def _easiest(self, phase: Any, saved: Any) -> Any:
        """int64[M]: the rows of a phase that takes the easiest; None for all."""
        if phase.easiest == 1.0:
            return None
        if saved and "difficulty" in saved.arrays:
            self.difficulty = saved.arrays["difficulty"]
        dataset, labels = self.feed.in_order()
        if self.difficulty is None:
            opened = dataset() if callable(dataset) else dataset
            logits = Forward(self.core.model, self.core.head.name)(opened)[: len(labels)]
            self.difficulty = self.core.head.losses(logits, labels)
        return curriculum.easiest(
            self.difficulty, label_kinds.kind_of(labels).strata(labels), phase.easiest
        )

    def _recalibrate(self) -> None:
        """Gives the batch norms whose statistics moved those of the weights that they end with."""
        if found := batch_norm_statistics.moved_batch_norms(self.core.groups, self.moved.values()):
            model, batches = self._last
            batch_norm_statistics.recalibrate(model, batches(self.epochs_before, 1), found)

    def _solve(self, parts: Cut, training: Any, above: Above, phase: Phase) -> None:
        """Trains a linear probe without steps: the rows of the history are penalties."""
        from tltf.training.solver import (
            solve_head,  # brings scipy.optimize, which other methods do not need
        )

        views = max(1, self.options.cache.cache_views) if self.options.data.augment else 1
        once = {"is_drawn": False} if self.options.train.sampling == "balanced" else {}
        given = solve_head.rows(training(self.epochs_before, views, **once),
                             None if above.training else parts.prefix)  # fmt: skip
        non_finite.require_finite_features(self, phase.name, given[0], passes=views)
        judged = None
        if VALIDATION in self.judges:
            split = self.judges.splits[VALIDATION]
            features = solve_head.rows(split.dataset, None if above.validation else parts.prefix)[0]
            judged = features[: len(split.labels)], split.labels
            non_finite.require_finite_features(self, phase.name, judged[0], VALIDATION)
        smoothing = self.options.train.label_smoothing
        (dense,) = self.core.groups[-1].layers
        origins = None if judged else self.feed.origins
        groups = origins(self.epochs_before, views, **once) if origins else None
        solution = solve_head.solve(dense, given, judged, smoothing, groups)
        for number, row in enumerate(solution.rows, 1):
            self.history.append({"phase": phase.name, "epoch": number, **row})
            self.log.write(self.history[-1])

    def _compile(
        self,
        training_model: AdversarialModel | keras.Model,
        plan: Plan,
        phase: Phase,
        num_steps: int,
        steps: int,
    ) -> None:
        train, head = self.options.train, self.core.head
        rate = self._rate(phase, num_steps)
        used = embedding_rows.used_rows(training_model, self.feed.used_ids)
        is_scaled = self.options.runtime.precision == "mixed_float16"
        optimizer = optimizers_optimizer.build(train, plan.factors, rate, used, is_scaled)
        training_model.compile(
            optimizer,
            loss={head.name: head.loss(train.loss, train.label_smoothing, train.focal_gamma)},
            loss_weights=None if phase.loss_weight == 1.0 else {head.name: phase.loss_weight},
            weighted_metrics={head.name: head.metrics()},
            jit_compile=False,
            steps_per_execution=self._steps_together(training_model, steps),
        )
        optimizer.build(training_model.trainable_variables)

    def _rate(self, phase: Phase, num_steps: int) -> WarmUp | float:
        """A float or a keras schedule."""
        return optimizers_optimizer.learning_rate(self.options.train, phase, num_steps)

    def _steps_together(self, model: AdversarialModel | keras.Model, steps: int) -> int:
        """Several devices take single steps: Keras's loop fails on the iterators of theirs."""
        is_shared = self.strategy.num_replicas_in_sync > 1
        return 1 if is_shared else frozen_prefix.steps_together(model, steps)

    def _callbacks(self, model: Any, number: int, phase: Phase, epochs: int, saved: Any) -> list:
        """The callbacks of a phase, see `PhaseCallbacks`."""
        if saved:
            self.history = list(saved.state["history"])
        made = PhaseCallbacks(self, number, phase, saved)
        self._guard, self.best = made.guard, made.best or self.best
        return made.all(model, epochs)

    def read_weights(self) -> dict[str, np.ndarray]:
        """Path -> array of what moved."""
        return {path: variable.numpy() for path, variable in self.moved.items()}

    def best_weights(self) -> dict[str, np.ndarray]:
        """What the best epoch is kept by; {} where the last one is."""
        return self.read_weights() if self.options.train.keep == "best" else {}

    def write_weights(self, weights: dict[str, np.ndarray]) -> None:
        """Puts arrays by name into the variables that moved."""
        for path, value in weights.items():
            self.moved[path].assign(value)


def _keras_fit(
    model: AdversarialModel | keras.Model,
    batches: Any,
    epochs: tuple[int, ...],
    steps: int,
    watched: Sequence[Any],
) -> None:
    """The one call of Keras's training loop; epochs is (first, end)."""
    model.fit(
        batches,
        initial_epoch=epochs[0],
        epochs=epochs[1],
        steps_per_epoch=steps,
        callbacks=watched,
        shuffle=False,
        verbose=0,
    )


def _joined(model: keras.Model, parts: Cut, kind: type | None) -> AdversarialModel | keras.Model:
    """The model whose frozen prefix, which runs in every step, is as quick as it can be."""
    if parts.prefix:
        parts = dataclasses.replace(parts, prefix=batch_norm_folding.fold(parts.prefix))
    return frozen_prefix.join(model, parts, kind)

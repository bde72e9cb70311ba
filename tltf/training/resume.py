"""Resumes a fit: chooses the checkpoint that it goes on from, and restores its state."""

import contextlib
import pathlib
from collections.abc import Iterator, Sequence

import keras
import numpy as np
import tensorflow as tf

from tltf.config.resume import allowed_changes
from tltf.errors import ModelError
from tltf.runs import checkpoints
from tltf.training.distribution import multi_worker
from tltf.training.fit_state import Arrays, FitState, MovedWeights, Place

_FIX = "another --output; --resume=never would drop the unfinished run"


def newest(run: pathlib.Path, strategy: tf.distribute.Strategy, is_writer: bool) -> FitState | None:
    """The FitState that a run goes on from, the same for all workers; None where there is none.

    The first worker chooses. The others wait for it, because until then it may remove checkpoints.

    Args:
        run: the run folder.
        strategy: tf.distribute.Strategy.
        is_writer: whether this process is the first worker.

    Raises:
        ModelError: all checkpoints are damaged, or this worker cannot read the chosen one.
    """
    saved = checkpoints.newest(run) if is_writer else None
    chosen = np.array(saved.place if saved else (-1, 0), np.int64)
    chosen = multi_worker.broadcast_from_chief(strategy, chosen)
    if not is_writer and chosen[0] >= 0:
        saved = checkpoints.read_at(run, *chosen.tolist())
    return FitState.from_checkpoint(saved) if saved else None


def require_phase(saved: FitState | None, num_phases: int) -> None:
    """Raises ModelError where a FitState is of a phase that the method does not have."""
    if saved and saved.phase >= num_phases:
        _refuse(f"it is of phase {saved.phase + 1}, the method has {num_phases}")


def place_to_go_on(saved: FitState, fingerprint: str, epoch_steps: int, resume: str) -> Place:
    """The Place from which a phase goes on.

    An epoch of other data, or of another number of steps, starts again where --resume allows it.

    Args:
        saved: FitState.
        fingerprint: identifies the training examples of this run.
        epoch_steps: number of steps per epoch of this run.
        resume: the value of --resume.

    Raises:
        ModelError: the training examples are others, and --resume does not allow that.
    """
    is_same = saved.epoch_steps in (None, epoch_steps)
    if saved.fingerprint != fingerprint:
        if "data" not in allowed_changes(resume):
            was, now = saved.fingerprint, fingerprint
            what = f"the training data changed since this run was interrupted: was {was}, is {now}"
            raise ModelError(what, flag="data", fix=_FIX)
        is_same = False
    return saved.place if is_same else Place(saved.place.epochs)


def restore(
    saved: FitState, model: keras.Model, core_model: keras.Model, moved: MovedWeights
) -> None:
    """Assigns the weights, the optimizer and the seeds of a FitState to their variables.

    Args:
        saved: FitState.
        model: the compiled model.
        core_model: the model of the core, which has the seed generators.
        moved: the variables of these weights.

    Raises:
        ModelError: the checkpoint is of another model.
    """
    moved.write(fitting_weights(saved, moved))
    _assign("optimizer", saved.optimizer, model.optimizer.variables)
    _assign("seeds", saved.seeds, seed_variables(core_model))


def fitting_weights(saved: FitState, moved: MovedWeights) -> Arrays:
    """The weights of a FitState, all of which fit variables in `moved`.

    Raises:
        ModelError: a weight has no such variable, or one of another shape.
    """
    shapes = {name: tuple(variable.shape) for name, variable in moved.items()}
    for name, array in saved.weights.items():
        if shapes.get(name) != array.shape:
            _refuse(f"{name} is {array.shape} there, {shapes.get(name, 'not trained')} here")
    return saved.weights


def restore_metrics(saved: FitState, model: keras.Model, batches: tf.data.Dataset) -> None:
    """Assigns the metrics of an unfinished epoch to their variables, after Keras has reset them.

    With one device Keras makes the variables in the first step, which would be too late.
    """
    if not model._compile_metrics.built:
        model._symbolic_build(data_batch=next(iter(batches)))
    _assign("metrics", saved.metrics, metric_variables(model))


def end_epoch(
    model: keras.Model, epoch: int, callbacks: Sequence[keras.callbacks.Callback]
) -> None:
    """Ends an epoch whose steps are all done as `fit` does: it is judged, logged and saved.

    Args:
        model: the compiled model.
        epoch: number of the epoch, counted from 0.
        callbacks: the callbacks of the phase; the first one restores the metrics.
    """
    together = keras.callbacks.CallbackList(callbacks, model=model, epochs=epoch + 1, steps=0)
    model.stop_training = False
    together.on_train_begin()
    model.reset_metrics()
    together.on_epoch_begin(epoch)
    logs = dict(model.get_metrics_result())
    together.on_epoch_end(epoch, logs)
    together.on_train_end(logs)


@contextlib.contextmanager
def as_unfinished(optimizer: keras.optimizers.Optimizer) -> Iterator[None]:
    """A block after which training goes on: the end of `fit` does not replace weights by averages."""
    optimizer.finalize_variable_values = lambda variables: None
    try:
        yield
    finally:
        del optimizer.finalize_variable_values


def seed_variables(model: keras.Model) -> list[keras.Variable]:
    """The states of a model's seed generators."""
    weights = {id(variable) for variable in model.weights}
    return [variable for variable in model.variables if id(variable) not in weights]


def metric_variables(model: keras.Model) -> list[keras.Variable]:
    """The variables of the metrics of a model, in their order."""
    return [variable for metric in model.metrics for variable in metric.variables]


def _assign(kind: str, arrays: Sequence[np.ndarray], variables: Sequence[keras.Variable]) -> None:
    """Assigns arrays to variables; `kind` is the name of the variables in an error."""
    for number, variable in enumerate(variables):
        array = arrays[number] if number < len(arrays) else None
        if array is None or array.shape != tuple(variable.shape):
            there = "missing" if array is None else array.shape
            _refuse(f"{kind}/{number} is {there} there, {tuple(variable.shape)} here")
        variable.assign(array)


def _refuse(why: str) -> None:
    what = f"the checkpoint is of another model or version of tltf: {why}"
    raise ModelError(what, flag="resume", fix=_FIX)

"""What an unfinished fit needs to go on as if it had never stopped: taken, and put back.

Beside weights and optimizer: the states of the seed generators, which Keras's weights do not hold,
the metrics of an epoch that is not over, the best weights so far, and what callbacks have counted.
"""

import contextlib
import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import keras
import numpy as np

from tltf.config.resume import allowed_changes
from tltf.errors import ModelError
from tltf.methods.adversaries import AdversarialModel
from tltf.runs import checkpoints
from tltf.runs.checkpoints import Checkpoint
from tltf.training.callbacks import keep_best
from tltf.training.distribution import multi_worker


@dataclasses.dataclass(frozen=True)
class Place:
    """Where a phase stands.

    Args:
        epochs: that are over.
        steps: of the epoch that is not; where they are all done it is not judged yet.
    """

    epochs: int
    steps: int = 0


def place_of(saved: Checkpoint | None) -> Any:
    """The Place from which a phase goes on, of a Checkpoint or None."""
    state = saved.state if saved else {}
    return Place(state.get("epoch", 0), state.get("steps", 0))


def snapshot(
    fit: Any,
    model: AdversarialModel | keras.Model,
    number: int,
    place: Place,
    watched: Sequence[Any],
) -> Checkpoint:
    """The Checkpoint of a running Fit.

    Args:
        fit: fit.Fit.
        model: the compiled model.
        number: of the phase.
        place: Place.
        watched: the callbacks.
    """
    arrays = {f"weights/{path}": variable.numpy() for path, variable in fit.moved.items()}
    numbered = {"optimizer": model.optimizer.variables, "seeds": seeds(fit.core.model)}
    if place.steps:
        numbered["metrics"] = _metric_variables(model)
    for kind, variables in numbered.items():
        arrays |= {f"{kind}/{i}": variable.numpy() for i, variable in enumerate(variables)}
    arrays |= {f"start/{path}": value for path, value in fit.start.items()}
    arrays |= {} if fit.difficulty is None else {"difficulty": fit.difficulty}
    best = fit.best.weights if fit.best else {}
    arrays |= {f"best/{path}": value for path, value in best.items()}
    reducers = [c for c in watched if isinstance(c, keras.callbacks.ReduceLROnPlateau)]
    state = {
        "phase": number,
        "epoch": place.epochs,
        "steps": place.steps,
        "epoch_steps": fit.epoch_steps,
        "step": fit.step,
        "history": fit.history,
        "best": fit.best.state if fit.best else None,
        "plateau": {
            k: float(getattr(c, k))
            for c in reducers
            for k in keep_best.PLATEAU_STATE
            if getattr(c, k) is not None  # before the first epoch has ended
        },
        "is_stopped": bool(model.stop_training),
        "seconds": fit.seconds(),
        "data": fit.feed.fingerprint,
    }
    return Checkpoint(arrays, state)


def newest(run: Any, strategy: Any, is_writer: bool) -> Checkpoint | None:
    """The Checkpoint that a run goes on from, the same for all workers; None where there is none.

    The first worker chooses, the others wait for it: until then it may remove what was there.

    Args:
        run: the run folder.
        strategy: tf.distribute.Strategy.
        is_writer: whether this process is that worker.

    Raises:
        ModelError: all are damaged, or this worker cannot read the one that was chosen.
    """
    saved = checkpoints.newest(run) if is_writer else None
    chosen = np.array(saved.place if saved else (-1, 0), np.int64)
    chosen = multi_worker.broadcast_from_chief(strategy, chosen)
    if is_writer or chosen[0] < 0:
        return saved
    return checkpoints.read_at(run, *chosen.tolist())


def require_phase(saved: Any, num_phases: int) -> None:
    """Raises ModelError for a Checkpoint of a phase that the method does not have."""
    if saved and saved.state["phase"] >= num_phases:
        _refuse(f"it is of phase {saved.state['phase'] + 1}, the method has {num_phases}")


def restore(
    fit: Any, model: AdversarialModel | keras.Model, saved: Checkpoint, steps: int
) -> Place:
    """Puts a Checkpoint back into a Fit and its compiled model; returns the `Place`.

    An epoch of other data, or of another number of steps, begins anew where --resume lets it.

    Args:
        fit: fit.Fit.
        model: the compiled model.
        saved: Checkpoint.
        steps: of an epoch.

    Raises:
        ModelError: other data, or a checkpoint of another model.
    """
    state = saved.state
    if state["data"] != fit.feed.fingerprint:
        if "data" not in allowed_changes(fit.options.output.resume):
            was, now = state["data"], fit.feed.fingerprint
            what = f"the training data changed since this run was interrupted: was {was}, is {now}"
            raise ModelError(
                what,
                flag="data",
                fix="another --output; --resume=never would drop the unfinished run",
            )
        state["steps"] = 0
    if state.get("epoch_steps", steps) != steps:
        state["steps"] = 0
    fit.step, fit.seconds_before = saved.state["step"], saved.state["seconds"]
    fit.write_weights(weights(fit, saved))
    _put(saved, "optimizer", model.optimizer.variables)
    _put(saved, "seeds", seeds(fit.core.model))
    return place_of(saved)


def weights(fit: Any, saved: Checkpoint) -> dict[str, np.ndarray]:
    """name -> array of a Checkpoint: the weights of what a Fit has moved so far.

    Raises:
        ModelError: the model has others, or of other shapes.
    """
    found = arrays_under(saved, "weights/")
    shapes = {name: tuple(variable.shape) for name, variable in fit.moved.items()}
    for name, array in found.items():
        if shapes.get(name) != array.shape:
            _refuse(f"{name} is {array.shape} there, {shapes.get(name, 'not trained')} here")
    return found


def restore_metrics(model: keras.Model, saved: Checkpoint, batches: Any) -> None:
    """Puts the metrics of an epoch that was not over back; Keras has reset them.

    Under one device it makes their variables in the first step, which is too late.
    """
    if not model._compile_metrics.built:
        model._symbolic_build(data_batch=next(iter(batches)))
    _put(saved, "metrics", _metric_variables(model))


def end_epoch(model: keras.Model, epoch: int, watched: Sequence[Any]) -> None:
    """The end of an epoch whose steps are all done: judged, logged and saved, as `fit` does it.

    Args:
        model: the compiled model.
        epoch: counted from 0.
        watched: the callbacks; the first puts the metrics back.
    """
    together = keras.callbacks.CallbackList(watched, model=model, epochs=epoch + 1, steps=0)
    model.stop_training = False
    together.on_train_begin()
    model.reset_metrics()
    together.on_epoch_begin(epoch)
    logs = dict(model.get_metrics_result())
    together.on_epoch_end(epoch, logs)
    together.on_train_end(logs)


@contextlib.contextmanager
def as_unfinished(optimizer: Any) -> Iterator[Any]:
    """A block in which the end of `fit` is not that of the training: no averages as weights yet."""
    optimizer.finalize_variable_values = lambda variables: None
    try:
        yield
    finally:
        del optimizer.finalize_variable_values


def seeds(model: keras.Model) -> list[keras.Variable]:
    """The states of a model's seed generators."""
    weights = {id(variable) for variable in model.weights}
    return [variable for variable in model.variables if id(variable) not in weights]


def arrays_under(saved: Checkpoint, prefix: str) -> dict[str, np.ndarray]:
    """name -> array of a Checkpoint, of those whose name begins with `prefix`, without it."""
    return {n.removeprefix(prefix): v for n, v in saved.arrays.items() if n.startswith(prefix)}


def _metric_variables(model: keras.Model) -> list[keras.Variable]:
    return [variable for metric in model.metrics for variable in metric.variables]


def _put(saved: Checkpoint, kind: str, variables: Sequence[keras.Variable]) -> None:
    for i, variable in enumerate(variables):
        array = saved.arrays.get(f"{kind}/{i}")
        if array is None or array.shape != tuple(variable.shape):
            _refuse(f"{kind}/{i} is {'missing' if array is None else array.shape} there, "
                    f"{tuple(variable.shape)} here")  # fmt: skip
        variable.assign(array)


def _refuse(why: str) -> None:
    what = f"the checkpoint is of another model or version of tltf: {why}"
    raise ModelError(
        what, flag="resume", fix="another --output; --resume=never would drop the unfinished run"
    )

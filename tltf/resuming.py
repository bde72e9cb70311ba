"""What an unfinished fit needs to go on as if it had never stopped: taken, and put back.

Beside weights and optimizer: the states of the seed generators, which Keras's weights do not hold,
the metrics of an epoch that is not over, the best weights so far, and what callbacks have counted.
"""

import contextlib
import dataclasses

import keras

from tltf import keeping
from tltf.checkpoints import Checkpoint
from tltf.errors import ModelError


@dataclasses.dataclass(frozen=True)
class Place:
    """Where a phase stands.

    Args:
        epochs: that are over.
        steps: of the epoch that is not.
    """

    epochs: int
    steps: int = 0


def snapshot(fit, model, number, place, watched):
    """The Checkpoint of a running Fit.

    Args:
        fit: fitting.Fit.
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
        "step": fit.step,
        "history": fit.history,
        "best": fit.best.state if fit.best else None,
        "plateau": {
            k: float(getattr(c, k))
            for c in reducers
            for k in keeping.PLATEAU_STATE
            if getattr(c, k) is not None  # before the first epoch has ended
        },
        "is_stopped": bool(model.stop_training),
        "seconds": fit.seconds(),
        "data": fit.feed.fingerprint,
    }
    return Checkpoint(arrays, state)


def restore(fit, model, saved):
    """Puts a Checkpoint back into a Fit and its compiled model; returns the `Place`.

    Raises:
        ModelError: other data, or a checkpoint of another version of tltf.
    """
    if saved.state["data"] != fit.feed.fingerprint:
        was, now = saved.state["data"], fit.feed.fingerprint
        what = f"the training data changed since this run was interrupted: was {was}, is {now}"
        raise ModelError(what, flag="data", fix="--resume=never starts anew")
    fit.step, fit.seconds_before = saved.state["step"], saved.state["seconds"]
    fit.write_weights(under(saved, "weights/"))
    _put(saved, "optimizer", model.optimizer.variables)
    _put(saved, "seeds", seeds(fit.core.model))
    return Place(saved.state["epoch"], saved.state.get("steps", 0))


def restore_metrics(model, saved, batches):
    """Puts the metrics of an epoch that was not over back; Keras has reset them.

    Under one device it makes their variables in the first step, which is too late.
    """
    if not model._compile_metrics.built:
        model._symbolic_build(data_batch=next(iter(batches)))
    _put(saved, "metrics", _metric_variables(model))


@contextlib.contextmanager
def unfinished(optimizer):
    """A block in which the end of `fit` is not that of the training: no averages as weights yet."""
    optimizer.finalize_variable_values = lambda variables: None
    try:
        yield
    finally:
        del optimizer.finalize_variable_values


def seeds(model):
    """The states of a model's seed generators."""
    weights = {id(variable) for variable in model.weights}
    return [variable for variable in model.variables if id(variable) not in weights]


def under(saved, prefix):
    """name -> array of a Checkpoint, of those whose name begins with `prefix`, without it."""
    return {n.removeprefix(prefix): v for n, v in saved.arrays.items() if n.startswith(prefix)}


def _metric_variables(model):
    return [variable for metric in model.metrics for variable in metric.variables]


def _put(saved, kind, variables):
    for i, variable in enumerate(variables):
        array = saved.arrays.get(f"{kind}/{i}")
        if array is None or array.shape != tuple(variable.shape):
            raise ModelError("the checkpoint is of another version of tltf", flag="resume",
                             fix="--resume=never starts anew")  # fmt: skip
        variable.assign(array)

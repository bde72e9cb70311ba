"""What a phase's model is compiled with for the head of a core, or for several heads."""

from typing import Any

import keras

from tltf.config.train_options import TrainOptions
from tltf.graphs.core import Core
from tltf.graphs.freezing import Plan
from tltf.heads import task_weights
from tltf.methods.method import Phase
from tltf.training.option_value import value_of


def arguments_of(core: Core, train: TrainOptions, phase: Phase) -> dict[str, Any]:
    """The losses, their weights and the metrics by output, as arguments of `keras.Model.compile`."""
    head, layers = core.head, core.groups[-1].layers
    given = train.loss, train.label_smoothing, train.focal_gamma
    return {
        "loss": head.losses_by_output(*given, layers),
        "loss_weights": head.loss_weights(phase.loss_weight),
        "weighted_metrics": head.metrics_by_output(),
    }


def factors_of(core: Core, train: TrainOptions, plan: Plan) -> dict[int, float]:
    """`id(variable)` -> factor on the learning rate: those of a plan, and of weights of losses."""
    rate = value_of(train.learning_rate)
    trained = task_weights.rates_of_numbers(core.groups[-1].layers, rate)
    return plan.factors | {key: factor for key, factor in trained.items() if key in plan.factors}


def shared_weights(core: Core) -> list[keras.Variable]:
    """The trained weights of the last layer below the heads that has a trained matrix; [] for none."""
    layers = [layer for group in core.groups[:-1] for layer in group.layers]
    for layer in reversed(layers):
        trained = list(layer.trainable_weights)
        if any(len(variable.shape) > 1 for variable in trained):
            return trained
    return []

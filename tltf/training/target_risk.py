"""Deep embedded validation: the loss on another domain, estimated from labels of the source alone."""

import keras
import numpy as np
from scipy import special

from tltf.graphs import functional
from tltf.heads.solving import convex

NUM_FOLDS = 5
PENALTY = 0.01
"""The L2 penalty of the logistic regression that tells the domains apart, on standardised features."""


def features_model(model: keras.Model, output: str) -> keras.Model:
    """The model that gives what the layer of logits of an output takes, float32[B, d].

    Args:
        model: inputs -> {name: tensor}. A method may have put something above the layer of logits.
        output: name of the output and of its head.
    """
    named = [
        node for node in functional.nodes_of(model) if node.operation.name == f"{output}_logits"
    ]
    node = named[-1] if named else functional.node_of(model.output[output])
    return keras.Model(model.inputs, node.input_tensors[0])


def estimate(losses: np.ndarray, source: np.ndarray, target: np.ndarray, seed: int = 0) -> float:
    """The mean loss on the target: the losses of the source's rows, weighed by how like the target they are.

    Args:
        losses: float[N], of labelled rows of the source that were not trained on.
        source: float[N, d], the features of these rows.
        target: float[M, d], the features of rows of the target.
        seed: of the folds.
    """
    return weighed_risk(np.asarray(losses, np.float64), density_ratios(source, target, seed))


def weighed_risk(losses: np.ndarray, weights: np.ndarray) -> float:
    """mean(w l) + eta mean(w) - eta with eta = -Cov(w l, w) / Var(w), of float64[N] each.

    You et al. 2019, "Towards Accurate Model Selection in Deep Unsupervised Domain Adaptation", PMLR 97, algorithm 1:
    w has mean 1, so that eta (w - 1) changes no expectation, and takes away what varies with the weights.
    """
    weighted = weights * losses
    spread = weights.var()
    shared = np.mean((weighted - weighted.mean()) * (weights - weights.mean()))
    eta = -shared / spread if spread else 0.0
    return float(weighted.mean() + eta * (weights.mean() - 1.0))


def density_ratios(source: np.ndarray, target: np.ndarray, seed: int = 0) -> np.ndarray:
    """float64[N]: how much denser the target is than the source at each row of the source.

    (N / M) p(target | x) / p(source | x), by logistic regression (You et al. 2019, where a network tells the domains
    apart, trained on the training rows of the source). Here a row is judged by the model of the folds that it is
    not in, so that no other rows need to be read.
    """
    folds = np.random.default_rng(seed).permutation(len(source)) % min(NUM_FOLDS, len(source))
    found = np.zeros(len(source))
    for fold in np.unique(folds):
        is_held = folds == fold
        seen = source[~is_held]
        rows = np.concatenate([seen, target]).astype(np.float64)
        domains = np.repeat([0, 1], [len(seen), len(target)])
        ((kernel, bias),) = convex.solutions(rows, np.eye(2)[domains], penalties=(PENALTY,))
        logits = source[is_held] @ kernel + bias
        log_ratio = special.log_softmax(logits.astype(np.float64), axis=1) @ [-1.0, 1.0]
        found[is_held] = np.exp(log_ratio) * len(seen) / len(target)
    return found

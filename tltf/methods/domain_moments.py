"""Frozen features of the source with the moments of the target: the head is then fitted where it will be used."""

import dataclasses

import numpy as np
from scipy import linalg, special

from tltf.errors import FlagError
from tltf.graphs.core import Core
from tltf.heads.light import choice, class_shares
from tltf.heads.light.class_shares import ESTIMATED, SHARES
from tltf.heads.light.light_model import FrozenRows
from tltf.methods.method import Solved
from tltf.methods.self_training import SelfTraining

MEAN, DEVIATION, COVARIANCE = MOMENTS = ("mean", "deviation", "covariance")
"""What of the features is made alike; each with those before it."""
SMALLEST = 1e-3
"""The least deviation that is divided by, as a share of the mean deviation of the features."""


def align(
    moments: str = DEVIATION,
    shrinkage: float = 0.1,
    rounds: int = 5,
    share: float = 0.5,
    balanced: bool = True,
    family: str = "auto",
    shares: str = ESTIMATED,
) -> "Alignment":
    """A method that fits a tuned light head to features of the source that have moments of the target.

    The features x of the source become (x - m_s) A + m_t, m the means of both domains. A is 1 with
    moments=mean; diag(d_t / d_s), d the deviations, with moments=deviation; C_s^(-1/2) C_t^(1/2), C the
    covariances, with moments=covariance, which is CORAL: Sun, Feng & Saenko 2016, arXiv:1511.05547,
    algorithm 1. Then the head is chosen on them as `probe` chooses it, and learns from its own sure
    answers to the target, as `self_training` does, in `rounds` rounds. Departs: means are made alike too,
    as the model takes the target's features as they are; the covariances are (1 - a) C + a tr(C) / d I in
    place of C + I, since features have no unit; and with shares=estimated rows of the source weigh as
    much as makes their classes as often as they seem to be in the target, see `class_shares.estimate`,
    for otherwise the moments of domains with other classes would be made alike.

    Args:
        moments: mean, deviation or covariance.
        shrinkage: a, above 0, at most 1; of covariances.
        rounds: of self-training, at least 0.
        share: see `self_training`.
        balanced: see `self_training`.
        family: see `self_training`.
        shares: estimated, or source to take rows of the source as they are.

    Raises:
        FlagError: a number out of its range, or an unknown moment or family.
    """
    if moments not in MOMENTS or not 0 < shrinkage <= 1:
        what = (
            f"moments is one of {', '.join(MOMENTS)}, and shrinkage above 0, at most 1 "
            f"(received {moments}, {shrinkage})"
        )
        raise FlagError(what, flag="method", fix="--method='align(moments=deviation)'")
    if shares not in SHARES:
        what = f"shares is one of {', '.join(SHARES)} (received {shares})"
        raise FlagError(what, flag="method", fix=f"--method='align(shares={ESTIMATED})'")
    if rounds < 0 or not 0 < share <= 1:
        what = f"rounds must be at least 0 and share in (0, 1] (received {rounds}, {share})"
        raise FlagError(what, flag="method", fix="--method='align(rounds=5, share=.5)'")
    method = Alignment(rounds, share, balanced, family)
    method.moments, method.shrinkage, method.shares = moments, shrinkage, shares
    return method


class Alignment(SelfTraining):
    """The method that `align` makes; see there for its arguments."""

    name = "align"
    moments, shrinkage, shares = DEVIATION, 0.1, ESTIMATED

    def solve(
        self, core: Core, rows: FrozenRows, seed: int, unlabelled: np.ndarray | None
    ) -> Solved:
        """The core with the light head of the last round."""
        if unlabelled is None:
            raise ValueError("align has no rows of a target")
        if self.shares == ESTIMATED:
            model = choice.choose(self.families, rows, seed).model
            answers = special.softmax(model.logits(unlabelled), axis=1)
            rows = class_shares.weigh(rows, class_shares.estimate(answers))
        moved = matched(rows, unlabelled, self.moments, self.shrinkage)
        aligned = dataclasses.replace(rows, features=moved)
        return super().solve(core, aligned, seed, unlabelled)


def matched(
    rows: FrozenRows, target: np.ndarray, moments: str, shrinkage: float = 0.1
) -> np.ndarray:
    """float32[N, d]: the features of the rows of a source with moments of a target.

    Args:
        rows: of the source, float[N, d] features with weights.
        target: float[M, d].
        moments: see `align`.
        shrinkage: see `align`.
    """
    given, other = np.asarray(rows.features, np.float64), np.asarray(target, np.float64)
    centered = given - np.average(given, axis=0, weights=rows.weights)
    if moments == DEVIATION:
        own = np.sqrt(np.average(centered**2, axis=0, weights=rows.weights))
        wanted = other.std(axis=0)
        centered *= (wanted + SMALLEST * wanted.mean()) / (own + SMALLEST * own.mean())
    if moments == COVARIANCE:
        own = np.cov(centered, rowvar=False, aweights=rows.weights, ddof=0)
        before, after = _root(own, shrinkage, -0.5), _root(np.cov(other.T, ddof=0), shrinkage, 0.5)
        centered = centered @ before @ after
    return (centered + other.mean(axis=0)).astype(np.float32)


def _root(covariance: np.ndarray, shrinkage: float, power: float) -> np.ndarray:
    """float64[d, d]: a power of a covariance that is shrunk towards a multiple of 1."""
    size = len(covariance)
    shrunk = (1 - shrinkage) * covariance
    shrunk += shrinkage * np.trace(covariance) / size * np.eye(size)
    values, vectors = linalg.eigh(shrunk)
    root: np.ndarray = (vectors * np.maximum(values, 1e-12) ** power) @ vectors.T
    return root

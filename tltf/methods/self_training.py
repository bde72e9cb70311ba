"""Self-training: a light head learns from its own sure answers for rows without labels."""

import math
from typing import Any

import numpy as np
from scipy import special

from tltf.errors import FlagError
from tltf.graphs.core import Core
from tltf.heads.light import choice, families
from tltf.heads.light.light_model import FrozenRows, LightModel
from tltf.methods.method import Method, Phase, Solved
from tltf.methods.probe import put_into
from tltf.methods.rules import HEAD


def self_training(
    rounds: int = 5, share: float = 0.5, balanced: bool = True, family: str = "auto"
) -> "SelfTraining":
    """A method that fits a tuned light head again and again, with its sure answers as labels.

    The head is chosen on the labelled rows as `probe` chooses it. In round r of R, f_r minimises the loss of
    its family over the labelled rows and {(x_j, argmax f_(r-1)(x_j)) : j in S_r}, where S_r holds the share
    s r / R of the rows without labels whose largest probability is highest; with `balanced`, this share
    of the rows that get each class. See Lee 2013, "Pseudo-label", eq. 15, and Zou et al. 2018, arXiv:1810.07911,
    eq. 5 and section 4.1. Departs: the head is linear or has one hidden layer and is fitted to its optimum,
    and family, setting and temperature stay those that the labelled rows chose.

    Args:
        rounds: R, at least 1.
        share: s, above 0, at most 1.
        balanced: whether each class gets its share.
        family: `auto` for all, one of the families of `probe`, or several joined with |.

    Raises:
        FlagError: a number out of its range, or an unknown family.
    """
    if rounds < 1 or not 0 < share <= 1:
        what = f"rounds must be at least 1 and share in (0, 1] (received {rounds}, {share})"
        raise FlagError(what, flag="method", fix="--method='self_training(rounds=5, share=.5)'")
    return SelfTraining(rounds, share, balanced, family)


class SelfTraining(Method):
    """The method that `self_training` makes."""

    name = "self_training"

    def __init__(self, rounds: int, share: float, balanced: bool, family: str) -> None:
        super().__init__(lambda core: [Phase(self.name, (HEAD,), norm="frozen", solver="method")])
        self.rounds, self.share, self.balanced = rounds, share, balanced
        self.families = families.pick(family)

    def solve(
        self, core: Core, rows: FrozenRows, seed: int, unlabelled: np.ndarray | None
    ) -> Solved:
        """The core with the light head of the last round."""
        if unlabelled is None:
            raise ValueError(f"{self.name} has no rows without labels")
        chosen = choice.choose(self.families, rows, seed)
        best = chosen.candidate
        model: LightModel = chosen.model
        history: list[dict[str, Any]] = [{"pseudo_labels": 0, "changed_answers": 0.0}]
        before = model.logits(unlabelled).argmax(axis=1)
        for number in range(1, self.rounds + 1):
            probabilities = special.softmax(model.logits(unlabelled), axis=1)
            places = surest(probabilities, self.share * number / self.rounds, self.balanced)
            joined = _joined(rows, unlabelled[places], probabilities[places].argmax(axis=1))
            (fitted,) = choice.solve(best.family, joined, [best.setting])
            model = fitted.scaled(1 / best.temperature)
            now = model.logits(unlabelled).argmax(axis=1)
            changed = float((now != before).mean())
            history.append({"pseudo_labels": len(places), "changed_answers": changed})
            before = now
        text = f"{best.text}, {best.accuracy:.1%} of {chosen.num_held} held-out labelled rows"
        if self.rounds:
            count = history[-1]["pseudo_labels"]
            text += f"; {count:,} of {len(unlabelled):,} others in round {self.rounds}"
        return Solved(put_into(core, model), history, text)


def surest(probabilities: np.ndarray, share: float, balanced: bool) -> np.ndarray:
    """int64[K]: the places, in rising order, of the surest share of the rows of float[M, C].

    Args:
        probabilities: of the classes.
        share: of the rows, rounded up; above 0, at most 1.
        balanced: whether it is the share of the rows that get each class.
    """
    answers, sure = probabilities.argmax(axis=1), probabilities.max(axis=1)
    kinds = answers if balanced else np.zeros(len(answers), int)
    found = []
    for kind in np.unique(kinds):
        places = np.flatnonzero(kinds == kind)
        order = np.argsort(-sure[places], kind="stable")
        found.append(places[order[: math.ceil(share * len(places) - 1e-9)]])
    return np.sort(np.concatenate(found))


def _joined(rows: FrozenRows, features: np.ndarray, answers: np.ndarray) -> FrozenRows:
    """The labelled rows, and others with the class that they got; each weighs what a labelled row does."""
    weight = float(rows.weights.mean())
    return FrozenRows(
        np.concatenate([np.asarray(rows.features), features]),
        np.concatenate([rows.targets, np.eye(rows.targets.shape[1])[answers]]),
        np.concatenate([rows.weights, np.full(len(answers), weight)]),
    )

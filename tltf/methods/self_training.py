"""Self-training: a light head learns from its own sure answers for rows without labels."""

import dataclasses

import numpy as np
from scipy import special

from tltf.errors import FlagError
from tltf.graphs.core import Core
from tltf.heads.light import choice, families
from tltf.heads.light.light_model import FrozenRows, LightModel
from tltf.methods.method import Method, Phase, Solved
from tltf.methods.probe import put_into
from tltf.methods.rules import HEAD


def self_training(rounds: int = 5, share: float = 0.8, weight: float = 1.0) -> "SelfTraining":
    """A method that fits a light head again and again, on labelled rows and on its sure answers.

    Round k of K takes, of the rows for which the head states class c, the share s k / K with the
    highest probability, with that answer as their label: the class-balanced self-training of Zou et al.
    2018, arXiv:1810.07911, eq. 4 and algorithm 1, with shares that rise. The chosen rows together
    weigh w times as much as the labelled ones together. The family of the head and its setting are
    those that `probe` chooses on the labelled rows; labels of the others are never read. Departs: no
    network is trained, answers are hard.

    Args:
        rounds: K, at least 1.
        share: s, the share of the last round, above 0, at most 1.
        weight: w, above 0.

    Raises:
        FlagError: a number out of its range.
    """
    if rounds < 1 or not 0 < share <= 1 or not weight > 0:
        what = (
            "rounds must be at least 1, share above 0 and at most 1, weight above 0 "
            f"(received {rounds}, {share}, {weight})"
        )
        raise FlagError(what, flag="method", fix="--method='self_training(rounds=5, share=.8)'")
    return SelfTraining(rounds, share, weight)


class SelfTraining(Method):
    """The method that `self_training` makes."""

    def __init__(self, rounds: int, share: float, weight: float) -> None:
        phase = Phase("self-training", (HEAD,), norm="frozen", solver="method")
        super().__init__(lambda core: [phase])
        self.rounds, self.share, self.weight = rounds, share, weight

    def solve(
        self, core: Core, rows: FrozenRows, seed: int, unlabelled: np.ndarray | None
    ) -> Solved:
        """The core with the head of the last round."""
        if unlabelled is None:
            raise ValueError("self_training has no rows without labels")
        chosen = choice.choose(families.pick("auto"), rows, seed)
        family, model = chosen.candidate.family, chosen.model
        history = []
        for number in range(1, self.rounds + 1):
            taken, answers = sure_rows(model.logits(unlabelled), self.share * number / self.rounds)
            joined = self._joined(rows, unlabelled[taken], answers)
            (found,) = choice.solve(family, joined, [chosen.candidate.setting])
            changed = _share_changed(model, found, unlabelled)
            model = found.scaled(1 / chosen.candidate.temperature)
            history.append(
                {"candidate": f"round {number}", "rows": len(taken), "answers_changed": changed}
            )
        text = (
            f"{chosen.candidate.text}, {self.rounds} rounds: {len(taken):,} of {len(unlabelled):,} rows "
            f"without labels joined, the last round changed {changed:.1%} of the answers"
        )
        return Solved(put_into(core, model), history, text)

    def _joined(self, rows: FrozenRows, features: np.ndarray, answers: np.ndarray) -> FrozenRows:
        """The labelled rows and the chosen ones, which together weigh `weight` times as much."""
        num_classes = rows.targets.shape[1]
        each = self.weight * rows.weights.sum() / max(len(answers), 1)
        groups = rows.groups
        if groups is not None:
            first = int(groups.max()) + 1 if len(groups) else 0
            groups = np.concatenate([groups, first + np.arange(len(answers), dtype=groups.dtype)])
        return dataclasses.replace(
            rows,
            features=np.concatenate([rows.features, features]),
            targets=np.concatenate([rows.targets, np.eye(num_classes)[answers]]),
            weights=np.concatenate([rows.weights, np.full(len(answers), each)]),
            groups=groups,
        )


def sure_rows(logits: np.ndarray, share: float) -> tuple[np.ndarray, np.ndarray]:
    """`(int[K] rows, int[K] their classes)`: of each class that is stated the share of its surest rows.

    Args:
        logits: float[M, C].
        share: above 0, at most 1; of each class at least one row is taken.
    """
    stated = special.softmax(logits, axis=1)
    answers, sure = stated.argmax(axis=1), stated.max(axis=1)
    taken = []
    for number in np.unique(answers):
        own = np.flatnonzero(answers == number)
        count = max(1, round(share * len(own)))
        taken.append(own[np.argsort(-sure[own], kind="stable")[:count]])
    rows = np.sort(np.concatenate(taken))
    return rows, answers[rows]


def _share_changed(before: LightModel, after: LightModel, features: np.ndarray) -> float:
    """The share of rows whose answer changed."""
    pairs = (model.logits(features).argmax(axis=1) for model in (before, after))
    return float(np.mean(np.not_equal(*pairs)))

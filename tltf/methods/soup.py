"""Soup: the mean of the weights of several runs, one model that costs no more than one of them."""

import os
from collections.abc import Sequence

import keras
import numpy as np

from tltf.errors import FlagError, ModelError
from tltf.graphs.core import Core
from tltf.methods.context import FitContext
from tltf.methods.method import Method, Phase, TrainingOutcome
from tltf.methods.rules import EVERYTHING
from tltf.runs import checkpoints, model_folder


def soup(runs: tuple[str, ...] = (), greedy: bool = True) -> "Soup":
    """A method that trains nothing: it averages the weights of runs with the same network and classes.

    Wortsman et al. 2022, arXiv:2203.05482, recipe 1: runs are taken in the order of their
    validation accuracy, and each is kept if the mean with it is not worse than without it. Ties are
    decided by the loss. The runs must have started from the same weights and trained on the same
    rows. All weights are averaged, also batch-norm statistics; --norm=recalibrate computes these
    anew for the mean that was chosen.

    Args:
        runs: run folders of tltf, at least 2.
        greedy: whether runs are chosen; false averages all of them and needs no validation split.

    Raises:
        FlagError: fewer than two runs.
    """
    runs = tuple(os.path.expanduser(str(run)) for run in runs)
    if len(runs) < 2:
        raise FlagError(
            f"soup takes at least two runs (received {', '.join(runs) or 'none'})",
            flag="method",
            fix="--method='soup(runs=[runs/a, runs/b])'",
        )
    return Soup(runs, greedy)


class Soup(Method):
    """The method that `soup` makes; `chosen` are the runs that were averaged."""

    mixes_weights = True

    def __init__(self, runs: tuple[str, ...], greedy: bool) -> None:
        super().__init__(lambda core: [Phase("soup", EVERYTHING, solver="none")])
        self.runs, self.greedy = runs, greedy
        self.chosen: tuple[str, ...] = ()

    def prepare(self, core: Core, context: FitContext) -> Core:
        """The same core; refuses runs whose validation rows this run would not hold out.

        Raises:
            ModelError: a run was trained on other rows.
        """
        for run in self.runs if context.fingerprint else ():
            saved = checkpoints.newest(run)
            if saved and saved.state["data"] != context.fingerprint:
                raise ModelError(
                    "was trained on other rows than this soup's",
                    place=run,
                    fix="the same --data, --split and --seed",
                )
        return core

    def finish(self, core: Core, outcome: TrainingOutcome) -> Core:
        """The core with the mean of the weights.

        Raises:
            FlagError: there is no validation split by which runs can be chosen.
            ModelError: a run of another network.
        """
        if self.greedy and not outcome.measure:
            raise FlagError(
                "soup takes a validation split, by which it chooses runs",
                flag="method",
                fix="soup(greedy=false), or --split='holdout(validation=.1)'",
            )
        variables = core.named_weights()
        weights = {run: _weights(run, variables) for run in self.runs}
        self.chosen = self._choose_runs(variables, weights, outcome) if self.greedy else self.runs
        _assign_mean(variables, [weights[run] for run in self.chosen])
        return core

    def _choose_runs(
        self,
        variables: dict[str, keras.Variable],
        weights: dict[str, dict[str, np.ndarray]],
        outcome: TrainingOutcome,
    ) -> tuple[str, ...]:
        """The runs of the greedy recipe, in the order in which they were taken."""

        def quality(runs: tuple[str, ...]) -> tuple[float, float]:
            _assign_mean(variables, [weights[run] for run in runs])
            return outcome.quality()

        alone = {run: quality((run,)) for run in self.runs}
        first, *rest = sorted(self.runs, key=lambda run: alone[run], reverse=True)
        chosen: tuple[str, ...] = (first,)
        best = alone[first]
        for run in rest:
            now = quality((*chosen, run))
            if now >= best:
                chosen, best = (*chosen, run), now
        return chosen


def _assign_mean(
    variables: dict[str, keras.Variable], weights: Sequence[dict[str, np.ndarray]]
) -> None:
    """Sets each variable to the mean of its arrays in several runs."""
    for name, variable in variables.items():
        variable.assign(np.mean([arrays[name] for arrays in weights], axis=0, dtype=np.float64))


def _weights(run: str, variables: dict[str, keras.Variable]) -> dict[str, np.ndarray]:
    """Name -> array of a run, for each variable.

    Raises:
        ModelError: the run lacks a variable, has it in another shape, or has one that is not here.
    """
    _, arrays = model_folder.read_core(run)
    for name, variable in variables.items():
        if name not in arrays or arrays[name].shape != tuple(variable.shape):
            other = arrays[name].shape if name in arrays else "nothing"
            what = f"{name} has the shape {tuple(variable.shape)} here, the run has {other}"
            raise ModelError(what, place=run, fix="runs of the same --backbone and --head")
    more = sorted(arrays.keys() - variables.keys())
    if more:
        fix = (
            "the --head of the runs; where their backbone keeps parts such as adapters, "
            f"--backbone={run}"
        )
        raise ModelError(f"has {more[0]}, which this network lacks", place=run, fix=fix)
    return arrays

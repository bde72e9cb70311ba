"""The mean of several runs' weights: one model that costs what one costs."""

import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from tltf.errors import FlagError, ModelError
from tltf.methods.context import FitContext
from tltf.methods.method import Method, Phase
from tltf.methods.rules import EVERYTHING
from tltf.runs import checkpoints, model_folder


def soup(runs: tuple = (), greedy: bool = True) -> "Soup":
    """Trains nothing: averages the weights of runs of the same network and classes.

    Wortsman et al. 2022, arXiv:2203.05482, recipe 1: runs are taken in the order of their
    validation accuracy, each is kept if the mean with it is no worse than without. Ties are
    decided by the loss. They must have started from the same weights and trained on the same rows.
    All weights are averaged, batch-norm statistics too; --norm=recalibrate computes the latter anew
    for the mean that was chosen.

    Args:
        runs: run folders of tltf, at least 2.
        greedy: false averages all of them, and takes no validation split.

    Raises:
        FlagError: fewer than two runs.
    """
    runs = tuple(os.path.expanduser(str(run)) for run in runs)
    if len(runs) < 2:
        raise FlagError(f"soup takes at least two runs (received {', '.join(runs) or 'none'})",
                        flag="method", fix="--method='soup(runs=[runs/a, runs/b])'")  # fmt: skip
    return Soup(runs, greedy)


class Soup(Method):
    """See `soup`; `chosen` are the runs that were averaged."""

    mixes_weights = True

    def __init__(self, runs: tuple[str, ...], greedy: bool) -> None:
        super().__init__(lambda core: [Phase("soup", EVERYTHING, solver="none")])
        self.runs, self.greedy = runs, greedy
        self.chosen: tuple[str, ...] = ()

    def prepare(self, core: Any, context: FitContext) -> Any:
        """Refuses runs whose validation rows this run would not hold out.

        Raises:
            ModelError: a run was trained on other rows.
        """
        for run in self.runs if context.fingerprint else ():
            saved = checkpoints.newest(run)
            if saved and saved.state["data"] != context.fingerprint:
                raise ModelError("was trained on other rows than this soup's", place=run,
                                 fix="the same --data, --split and --seed")  # fmt: skip
        return core

    def finish(self, core: Any, outcome: Any) -> Any:
        """Puts the mean into the core.

        Raises:
            FlagError: no validation split to choose by.
            ModelError: a run of another network.
        """
        if self.greedy and not outcome.measure:
            raise FlagError("soup takes a validation split to choose by", flag="method",
                            fix="soup(greedy=false), or --split='holdout(validation=.1)'")  # fmt: skip
        variables = core.named_weights()
        given = {run: _weights(run, variables) for run in self.runs}
        self.chosen = self._greedy(variables, given, outcome.measure) if self.greedy else self.runs
        _assign(variables, [given[run] for run in self.chosen])
        return core

    def _greedy(
        self, variables: dict[str, Any], given: dict[str, dict[str, np.ndarray]], measure: Any
    ) -> Any:
        def quality(runs: tuple[str, ...]) -> Any:
            _assign(variables, [given[run] for run in runs])
            loss, accuracy = measure()
            return accuracy, -loss

        alone = {run: quality((run,)) for run in self.runs}
        first, *rest = sorted(self.runs, key=lambda run: alone[run], reverse=True)
        chosen: tuple = (first,)
        best = alone[first]
        for run in rest:
            now = quality((*chosen, run))
            if now >= best:
                chosen, best = (*chosen, run), now
        return chosen


def _assign(variables: dict[str, Any], parts: Sequence[dict[str, np.ndarray]]) -> None:
    """Puts the means of lists of arrays into variables."""
    for name, variable in variables.items():
        variable.assign(np.mean([part[name] for part in parts], axis=0, dtype=np.float64))


def _weights(run: Any, variables: dict[str, Any]) -> dict[str, np.ndarray]:
    """Name -> array of a run for each variable.

    Raises:
        ModelError: a variable that the run does not have, or one of the run's that is not here.
    """
    _, arrays = model_folder.read_core(run)
    for name, variable in variables.items():
        if name not in arrays or arrays[name].shape != tuple(variable.shape):
            found = arrays[name].shape if name in arrays else "nothing"
            what = f"{name} is {tuple(variable.shape)} here, the run has {found}"
            raise ModelError(what, place=run, fix="runs of the same --backbone and --head")
    more = sorted(arrays.keys() - variables.keys())
    if more:
        fix = f"the runs' --head; --backbone={run} where the backbone keeps parts, such as adapters"
        raise ModelError(f"has {more[0]}, which this network lacks", place=run, fix=fix)
    return arrays

"""Which trainings a run of several rounds consists of; free of TensorFlow."""

import dataclasses
import math
import pathlib

from tltf.config import options
from tltf.config.catalogs.row import SplitRow
from tltf.config.flag_fields import FlagValue
from tltf.config.options import Options
from tltf.config.recipe import Recipe
from tltf.evaluation.report import folds
from tltf.evaluation.report.folds import RoundKind
from tltf.runs import layout


@dataclasses.dataclass(frozen=True)
class Plan:
    """The rounds of a run.

    Args:
        kind: what they are.
        given: of each its options, without a folder, and what their call strings name.
    """

    kind: RoundKind
    given: tuple[tuple[Options, Recipe], ...]

    def options(self, folder: str, first_name: int) -> list[Options]:
        """The options of each round, with its folder, whose names count from `first_name`."""
        rounds = pathlib.Path(folder) / layout.ROUNDS
        return [
            options.replace(one, output=str(rounds / str(name)))
            for name, (one, _) in enumerate(self.given, first_name)
        ]

    @property
    def recipes(self) -> list[Recipe]:
        """What the call strings of each round name."""
        return [recipe for _, recipe in self.given]


def is_asked_for(chosen: Options, recipe: Recipe) -> bool:
    """Whether a run trains several times: every fold or draw of the split, or several seeds."""
    return chosen.runtime.seeds > 1 or recipe.every_round is not None


def plan_of(chosen: Options, recipe: Recipe) -> Plan | None:
    """The rounds that are asked for; None for a run that trains once."""
    row, seeds = recipe.every_round, chosen.runtime.seeds
    if seeds > 1:
        begin = chosen.runtime.seed
        given = [(_again(chosen, seed=begin + n, seeds=1), recipe) for n in range(seeds)]
        return Plan(folds.SEEDS, tuple(given))
    if row is None:
        return None
    count = math.prod(recipe.split.kwargs[name] for name in row.rounds)
    recipes = [_recipe_of_round(recipe, row, number) for number in range(count)]
    given = [(_again(chosen, split=str(one.split)), one) for one in recipes]
    return Plan(folds.kind_of(row.round), tuple(given))


def _again(chosen: Options, **changed: FlagValue) -> Options:
    """The options of a round, which is gone on with where it was begun."""
    resume = "auto" if chosen.output.resume == "never" else chosen.output.resume
    return options.replace(chosen, resume=resume, **changed)


def _recipe_of_round(recipe: Recipe, row: SplitRow, number: int) -> Recipe:
    return dataclasses.replace(recipe, split=recipe.split.change(**{row.round: number}))

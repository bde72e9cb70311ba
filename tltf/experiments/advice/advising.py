"""Advises on a data set: tries networks and opponents on training rows, and ranks the runs that are worth training."""

import dataclasses
import math
import time
from typing import Any

from tltf.config import checks
from tltf.config.advise_options import AdviseOptions
from tltf.config.options import Options, flag_values, make, run_options
from tltf.config.recipe import Recipe
from tltf.console import lines
from tltf.data import label_kinds, loader
from tltf.data.source import Source
from tltf.errors import FlagError
from tltf.evaluation import held_out, learning_curve
from tltf.evaluation.learning_curve import LearningCurve
from tltf.evaluation.report.wording import percent, points
from tltf.experiments import round_plan
from tltf.experiments.advice import data_facts, plan, trials
from tltf.experiments.advice.data_facts import DataFacts
from tltf.experiments.advice.plan import PlannedRun
from tltf.experiments.advice.trials import JudgedFeatures, Opponent, TriedNetwork
from tltf.experiments.ranking import candidates, ranking


@dataclasses.dataclass(frozen=True)
class Advice:
    """What is advised for a data set.

    Args:
        data: the call string of the data.
        options: of the run that is advised, without what the plan adds.
        facts: of the data.
        num_looked_at: training rows on which networks were tried.
        networks: the best first.
        opponents: of the best.
        curve: the learning curve of a light head on the best.
        plan: runs, the one to begin with first.
        notes: what could not be tried, in sentences.
        seconds: that the advice took.
    """

    data: str
    options: Options
    facts: DataFacts
    num_looked_at: int
    networks: list[TriedNetwork]
    opponents: list[Opponent]
    curve: LearningCurve
    plan: list[PlannedRun]
    notes: list[str]
    seconds: float

    @property
    def warnings(self) -> list[str]:
        """What is odd about the data, and where the pretrained network is not better than none."""
        return [*self.facts.warnings, *filter(None, map(transfer_warning, self.opponents))]

    def to_json(self) -> dict[str, Any]:
        """Plain JSON, as advice.json holds it."""
        found = dataclasses.asdict(dataclasses.replace(self, options=Options()))
        del found["options"]
        found["curve"].pop("draws")
        gain = self.curve.doubling_gain(self.facts.num_train)
        found["curve"]["doubling_gain"] = gain and dataclasses.asdict(gain)
        found["warnings"], found["curve_text"] = self.warnings, curve_text(self)
        return found


def transfer_warning(opponent: Opponent) -> str:
    """The warning of negative transfer that an opponent gives; empty where the network is surely better."""
    gain = opponent.gain
    if gain.is_surely_better:
        return ""
    how = "surely more" if gain.high < 0 else "not surely less"
    own = opponent.accuracy + gain.value
    return (
        f"Pretraining may not help: {percent(opponent.accuracy)} right for {opponent.title}, {how} than the "
        f"{percent(own)} of a light head on the best network ({points(-gain.value)} points, {points(-gain.high)} to "
        f"{points(-gain.low)}). A run with --baseline='classical|scratch' measures what remains after fine-tuning."
    )


def curve_text(advice: Advice) -> str:
    """What more labels are worth, in a sentence."""
    num_train, curve = advice.facts.num_train, advice.curve
    gain, reached = curve.doubling_gain(num_train), curve.accuracy(num_train)
    if gain is None or reached is None:
        return (
            f"There are not enough rows to tell what more labels would be worth: {advice.num_looked_at:,} rows were looked "
            "at, and the interval is too wide or the sizes are too few."
        )
    if gain.value < 0.005 and gain.high < 0.01:
        return (
            f"Twice the {num_train:,} training labels are worth less than a point to a light head."
        )
    return (
        f"Twice the {num_train:,} training labels are worth about {100 * gain.value:.1f} points to a light head "
        f"({100 * gain.low:.1f} to {100 * gain.high:.1f}), from {percent(reached.value)}."
    )


def run(options: AdviseOptions, recipe: Recipe | None = None, most_s: float = math.inf) -> Advice:
    """The Advice for the data of the options.

    Args:
        options: of the command.
        recipe: what their call strings name; None resolves them here.
        most_s: seconds after which no other network, opponent or curve is begun.

    Raises:
        FlagError: the labels are not one class a row, or each of several rounds has other training rows.
        DataError: the data cannot be read, or has too few rows to try anything.
    """
    began = time.monotonic()
    recipe = recipe or checks.resolve(options, needs_output=False)
    require_advisable(options, recipe)
    parts = loader.training_parts(options, recipe, options.data.near_duplicates)
    facts = data_facts.gather(parts)
    rows = ranking.drawn_rows(parts.train, trials.rank_options(options, facts))
    lines.say("advice", f"trying networks on {len(rows):,} of {facts.num_train:,} training rows")
    judged, notes = _judged(options, recipe, facts, rows, began + most_s)
    best = judged[0]
    found, curve, left = list[Opponent](), LearningCurve(()), most_s - (time.monotonic() - began)
    if left > 0:
        for one in trials.opponents(options, recipe, facts, rows, best):
            if isinstance(one, str):
                notes.append(one)
            else:
                found.append(one)
        lines.say("curve", "training light heads on ever fewer rows")
        folds = held_out.folds_of(best.rows, options.runtime.seed)
        measured = held_out.curve_points(best.rows, folds, options.runtime.seed, best.right)
        curve = learning_curve.fit_curve(measured, options.runtime.seed)
    else:
        notes.append("Opponents and the learning curve were left out, as the time is spent.")
    networks = [one.network for one in judged]
    own = run_options(options)
    return Advice(
        recipe.source.text,
        own,
        facts,
        len(rows),
        networks,
        found,
        curve,
        plan.make(own, facts, networks, found),
        notes,
        time.monotonic() - began,
    )


def require_advisable(options: Options, recipe: Recipe) -> None:
    """Raises FlagError where advice cannot be given: labels of another kind, or several rounds of training rows."""
    if recipe.label_kind != label_kinds.CLASS:
        what = f"networks are tried for one class a row, not for {recipe.head.text}"
        raise FlagError(what, flag="head", fix="--head=classify, or --backbone=NAME")
    if round_plan.is_asked_for(options, recipe):
        what = "advice looks at training rows, and each of several rounds has others"
        raise FlagError(what, flag="split", fix="--backbone=NAME, by tltf.advise on one split")


def _judged(
    options: AdviseOptions, recipe: Recipe, facts: DataFacts, rows: Source, until: float
) -> tuple[list[JudgedFeatures], list[str]]:
    """`(networks, notes)`: those that were tried, the best first, with what each is below it.

    Raises:
        DataError: none could be tried.
    """
    judged, notes = list[JudgedFeatures](), list[str]()
    for one in trials.networks(options, recipe, facts, rows, until):
        if isinstance(one, str):
            notes.append(one)
        else:
            judged.append(one)
    if not judged:
        raise candidates.none_tried(notes)
    judged.sort(key=lambda one: (-one.network.accuracy, one.network.ms_per_example))
    best = judged[0]
    for place, one in enumerate(judged[1:], 1):
        gap = held_out.compare(best.right, one.right)
        network = dataclasses.replace(one.network, below_best=gap)
        judged[place] = dataclasses.replace(one, network=network)
    return judged, notes


def first_flags(advice: Advice) -> dict[str, Any]:
    """The flags of the network that the plan begins with, for --backbone=auto: not its method."""
    return dict(advice.plan[0].network.candidate.flags)


def advise_options(options: Options) -> AdviseOptions:
    """The options of advice for a run, with the defaults of advice."""
    return make(AdviseOptions, **flag_values(run_options(options)))

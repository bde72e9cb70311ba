"""What the trials of a preset try: methods and rates of the advised network, and another network that is as good."""

import dataclasses
from typing import Any

from tltf.config import call_strings, defaults
from tltf.config.catalogs import METHODS
from tltf.config.flag_fields import FlagValue
from tltf.config.options import Options
from tltf.experiments.advice.advising import Advice
from tltf.experiments.advice.plan import Planner

FIRST = "probe"
"""The method of the first trial: a tuned light head, which takes the least time."""
THIRD = "full"
"""The method of the third trial, on the second network where two are tried."""
METHODS_TRIED = ("lp_ft", "full", "lora(rank=8)")
"""Methods that are tried after what --method=auto takes."""
RATES = (1e-5, 3e-3)
"""The ends of the learning rates that are tried."""
TRAININGS = 2
"""Fine-tunings for which there shall be time: what they bring differs by more than light heads of good networks do."""
FAR_BELOW = 0.05
"""A light head that is further below the best has no network that is tried for its time alone."""
ALIKE = 0.01
"""Light heads whose accuracies are nearer than this are on networks that are both tried."""


@dataclasses.dataclass(frozen=True)
class TrialSpace:
    """The space of a preset's search.

    Args:
        text: as --space.
        first: the values of the first trials.
        first_s: seconds that the first of them takes, as expected.
        next_s: seconds that the second takes.
    """

    text: str
    first: tuple[dict[str, FlagValue], ...]
    first_s: float
    next_s: float


def from_json(values: dict[str, Any]) -> TrialSpace:
    """The TrialSpace of plain JSON."""
    return TrialSpace(**values | {"first": tuple(values["first"])})


def make(base: Options, advice: Advice, left_s: float) -> TrialSpace:
    """The TrialSpace of an advice; a flag that was given has its value alone.

    Args:
        base: the options of the run with the network of the advice.
        advice: the advice.
        left_s: seconds for trials.
    """
    network, given = advice.networks[0], base.train
    planner = Planner(base, advice.facts, advice.opponents)
    others = [
        one.candidate.backbone
        for one in advice.networks[1:]
        if (one.is_as_good or one.accuracy > network.accuracy - ALIKE)
        and one.candidate.image_size_px == network.candidate.image_size_px
        and TRAININGS * planner.run(one, given.method, []).expected_s <= left_s
    ]
    backbones = list(dict.fromkeys([network.candidate.backbone, *others[:1]]))
    methods = [given.method]
    if given.method == "auto":
        usual = defaults.choose_method(None, planner.situation()).text
        methods = list(dict.fromkeys([FIRST, usual, *METHODS_TRIED]))
    parts = list[str]()
    if len(backbones) > 1:
        parts.append(f"backbone: [{', '.join(map(repr, backbones))}]")
    parts.append(f"method: [{', '.join(methods)}]")
    if given.learning_rate is None:
        parts.append(f"learning_rate: log({RATES[0]:g}, {RATES[1]:g})")
    begins = list(dict.fromkeys([*methods[:2], THIRD])) if THIRD in methods else methods[:2]
    names = [call_strings.pick(METHODS, method, "method").text for method in begins]
    first = []
    for number, method in enumerate(names):
        own = backbones[-1 if number == 2 else 0]
        values: dict[str, FlagValue] = {"backbone": own} if len(backbones) > 1 else {}
        values["method"] = method
        if given.learning_rate is None:
            values["learning_rate"] = _usual_rate(method, advice)
        first.append(values)
    costs = [planner.run(network, method, []).expected_s for method in methods[:2]]
    return TrialSpace("; ".join(parts), tuple(first), costs[0], costs[-1])


def put_affordable_first(base: Options, advice: Advice, left_s: float) -> Advice:
    """The advice with a network first that can be fine-tuned twice in the time.

    It is the best of those that cannot be told from the best, or else of those that are not FAR_BELOW it. Where none of them
    can, it is the best of those that cannot be told from the best and can be fine-tuned once, or else the one of these that
    takes the least.

    Args:
        base: the options of the run.
        advice: the advice.
        left_s: seconds for trials.
    """
    planner = Planner(base, advice.facts, advice.opponents)
    best = advice.networks[0]
    costs = [planner.run(one, base.train.method, []).expected_s for one in advice.networks]
    alike = [place for place, one in enumerate(advice.networks) if place == 0 or one.is_as_good]
    near = [n for n, one in enumerate(advice.networks) if one.accuracy > best.accuracy - FAR_BELOW]
    twice = [place for place in (*alike, *near) if TRAININGS * costs[place] <= left_s]
    once = [place for place in alike if costs[place] <= left_s]
    first = (twice or once or [min(alike, key=lambda place: costs[place])])[0]
    rest = [one for place, one in enumerate(advice.networks) if place != first]
    return dataclasses.replace(advice, networks=[advice.networks[first], *rest])


def _usual_rate(method: str, advice: Advice) -> float:
    """The usual rate of a method, within RATES."""
    rate = defaults.usual_rate(method, advice.facts.modality, True)
    return min(max(rate, RATES[0]), RATES[1])

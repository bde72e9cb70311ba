"""The ranked plan of an advice: runs that are worth training, why, and how long each takes on this machine."""

import dataclasses
from collections.abc import Sequence

from tltf.config import defaults
from tltf.config.defaults import Situation
from tltf.config.flag_fields import FlagValue
from tltf.config.options import Options, replace
from tltf.evaluation.report.wording import percent
from tltf.experiments.advice.data_facts import DataFacts
from tltf.experiments.advice.trials import RANDOM, Opponent, TriedNetwork

STEP_COST = 3.0
"""A step of training computes an example about so many times as long as a pass: forward, and backward through
activations and weights."""
FIXED_S = 30.0
"""Seconds of a run beside passes and steps: loading TensorFlow, tracing graphs, the report, the export and its check."""
FASTER = 1.5
"""How many times as fast a network that is as good must be before the plan has it too."""
TIME_TEXT = (
    f"Expected times are the measured milliseconds of a pass per example, times the rows of every pass, a step of training "
    f"counted as {STEP_COST:g} passes, and {FIXED_S:g} seconds for start, report and export."
)


@dataclasses.dataclass(frozen=True)
class PlannedRun:
    """A run of the plan.

    Args:
        flags: the flags that it adds to those of the data, by name.
        network: that it trains.
        method: its call string.
        expected_s: how long it takes on this machine, in seconds.
        why: sentences.
    """

    flags: dict[str, FlagValue]
    network: TriedNetwork
    method: str
    expected_s: float
    why: list[str]

    def options(self, options: Options) -> Options:
        """The options of the run, with the flags of the data."""
        return replace(options, **self.flags)


def make(
    options: Options,
    facts: DataFacts,
    networks: Sequence[TriedNetwork],
    opponents: Sequence[Opponent],
) -> list[PlannedRun]:
    """The runs that are worth training, the first the one to begin with.

    Args:
        options: of the run that is advised.
        facts: of its data.
        networks: the best first.
        opponents: of the best.
    """
    planner = Planner(options, facts, opponents)
    first, found = networks[0], list[PlannedRun]()
    found.append(planner.run(first, options.train.method, _why_first(networks)))
    quick = "Only a light head is trained: minutes less, and the accuracy of the table is that of such a head."
    found.append(planner.run(first, "probe", [quick]))
    others = [one for one in networks[1:] if one.is_as_good]
    fast = [one for one in others if one.ms_per_example * FASTER <= first.ms_per_example]
    if fast:
        chosen = min(fast, key=lambda one: one.ms_per_example)
        times = first.ms_per_example / chosen.ms_per_example
        why = f"It cannot be told from the first by these rows, and a pass is {times:.1f} times as fast."
        found.append(planner.run(chosen, options.train.method, [why]))
    rest = [one for one in networks[1:] if not fast or one is not chosen]
    if rest:
        why = f"The next best by the light head, with {percent(rest[0].accuracy)} right."
        found.append(planner.run(rest[0], options.train.method, [why]))
    if any(one.name == RANDOM and not one.gain.is_surely_better for one in opponents):
        why = "Random weights are as good under a light head: perhaps nothing of the pretraining is needed."
        found.append(planner.run(first, "scratch", [why]))
    unique = {(run.network.candidate, run.method): run for run in reversed(found)}
    return [run for run in found if unique[run.network.candidate, run.method] is run]


def _why_first(networks: Sequence[TriedNetwork]) -> list[str]:
    first = networks[0]
    found = [
        f"A light head on its frozen features has {percent(first.accuracy)} of held-out rows right"
    ]
    if len(networks) > 1:
        second, gap = networks[1], networks[1].below_best
        is_sure = gap is not None and gap.is_surely_better
        told = "surely more than" if is_sure else "not surely more than"
        found[0] += f", {told} {second.name} ({percent(second.accuracy)})"
    found[0] += "."
    return found


@dataclasses.dataclass(frozen=True)
class Planner:
    """Makes runs of a plan.

    Args:
        options: of the run that is advised.
        facts: of its data.
        opponents: of the best network.
    """

    options: Options
    facts: DataFacts
    opponents: Sequence[Opponent]

    def run(self, network: TriedNetwork, method: str, why: list[str]) -> PlannedRun:
        """A run of a network by a method, which may be `auto`."""
        flags: dict[str, FlagValue] = {**network.candidate.flags}
        own = replace(self.options, method=method)
        situation = self.situation(is_pretrained=method != "scratch")
        call = None if method == "auto" else defaults.pick_method(method)
        chosen = defaults.choose_method(call, situation)
        resolved = defaults.resolve(own, situation, chosen)
        if method == "auto":
            reason = defaults.why_method(situation)
            why = [*why, f"{chosen.name} is what --method=auto takes for {reason}."]
        flags["method"] = chosen.text
        weak = [one.name for one in self.opponents if not one.gain.is_surely_better]
        if weak and self.options.output.baseline == "auto":
            names = ("logistic", "classical", *(("scratch",) if RANDOM in weak else ()))
            flags["baseline"] = "|".join(names)
        return PlannedRun(flags, network, chosen.text, self.seconds(network, resolved), why)

    def situation(self, *, is_pretrained: bool = True) -> Situation:
        """What the defaults depend on."""
        facts = self.facts
        return Situation(
            facts.modality,
            facts.num_train,
            len(facts.class_counts),
            is_pretrained,
            facts.num_validation > 0,
            num_examples=facts.num_rows,
            has_test=facts.num_test > 0,
        )

    def seconds(self, network: TriedNetwork, resolved: Options) -> float:
        """How long a run takes, see TIME_TEXT; baselines that train again are not in it."""
        one, facts = network.ms_per_example / 1000, self.facts
        name = resolved.train.method.partition("(")[0]
        found = FIXED_S + one * facts.num_rows
        if name == "probe":
            return found + network.head_s
        epochs = resolved.train.train_epochs or 1
        return found + epochs * one * (STEP_COST * facts.num_train + facts.num_validation)

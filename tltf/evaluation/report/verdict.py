"""The verdict of a report: whether the model is worth using, in one sentence."""

import dataclasses
import shlex
from collections.abc import Iterator

from tltf.config.call_strings import IN_MEMORY
from tltf.config.checks import WITHOUT_SOURCE
from tltf.evaluation import evaluators
from tltf.evaluation.baseline_row import (
    BEST_MEMBER,
    CLASSICAL,
    LIGHT_HEAD,
    BaselineRow,
    Gain,
)
from tltf.evaluation.report.ensemble_block import EnsembleBlock
from tltf.evaluation.report.report import Report
from tltf.evaluation.report.wording import BAD, GOOD, NEUTRAL, UNCLEAR, Wording, count_of
from tltf.evaluation.split_metrics import SplitMetrics

SCRATCH_TITLE = "the same network from random weights"
WITHOUT_SOURCE_TITLE = "the same run without its source"
SOURCE_TITLE = "a tuned light head that learned from the source alone"


@dataclasses.dataclass(frozen=True)
class Verdict:
    """Whether a model is worth using.

    Args:
        tone: BAD, UNCLEAR, GOOD or NEUTRAL, from which the report takes its colour.
        text: the verdict, in one sentence or two.
        command: the command that trains the better model; empty where the verdict names none.
    """

    tone: str
    text: str
    command: str = ""


@dataclasses.dataclass(frozen=True)
class _Rival:
    """A simpler model that the judged model is compared with.

    Args:
        title: what it is, in words.
        gain: the judged model's gain over it.
        method: the --method that trains it.
    """

    title: str
    gain: Gain
    method: str


def run_folder(report: Report) -> str:
    """The folder of the run that a report is about; empty where the report does not say."""
    return str((report.options or {}).get("output") or report.run.get("run") or "")


def train_command(report: Report, *flags: str) -> str:
    """The command that trains the run again with other flags, or the call for data in memory."""
    if str((report.options or {}).get("data", "")).startswith(IN_MEMORY):
        pairs = [flag.removeprefix("--").split("=", 1) for flag in flags]
        given = [f"{name}={value!r}" for name, value in pairs if value != "auto"]
        return f"tltf.fit({', '.join(['data', '...', *given])})"
    given = [f"--flagfile={run_folder(report) or 'RUN'}/run.flags", *flags, "--output=NEW"]
    return shlex.join(["python", "-m", "tltf.train", *given])


def method_flags(method: str) -> list[str]:
    """The flags that choose a method and leave to it what another method had chosen."""
    free = ("train_epochs", "learning_rate", "optimizer", "schedule", "norm")
    return [f"--method={method}", *(f"--{name}=auto" for name in free)]


def verdict(report: Report) -> Verdict | None:
    """The verdict of a report; None for a report without metrics.

    That of an ensemble says what it costs beside its best member.
    """
    found = _verdict(report)
    if found is None or report.ensemble is None or BEST_MEMBER not in (report.baselines or {}):
        return found
    return _with_cost(found, report.ensemble)


def _verdict(report: Report) -> Verdict | None:
    """The verdict on what a model reaches.

    A simpler model that is better comes first, then a constant answer that is as good, then a
    simpler model that is as good.
    """
    split, metrics = report.main_split()
    if metrics is None:
        return None
    said, rivals = evaluators.wording_for(metrics), list(_rivals(report, metrics))
    of_worse = [rival for rival in rivals if said.tone(rival.gain) == BAD]
    examples = count_of(metrics.num_examples or 0, split + " example")
    constant = _constant(report, metrics)
    is_constant_beaten = constant is None or said.tone(constant[1]) == GOOD
    if of_worse:
        worst = min(of_worse, key=lambda rival: said.improvement(rival.gain)[0])
        return _worse(report, worst, said, is_constant_beaten)
    if constant and not is_constant_beaten:
        return _no_better_than_constant(*constant, metrics, examples)
    for rival in rivals:
        if said.tone(rival.gain) == UNCLEAR:
            return _no_better(rival, said, examples, report)
    if rivals:
        return Verdict(GOOD, f"Better than {rivals[0].title} by {said.amount(rivals[0].gain)}.")
    return _not_compared(constant, said, is_training=report.options is not None)


def _rivals(report: Report, metrics: SplitMetrics) -> Iterator[_Rival]:
    """Simpler models on the same features, and the same network from random weights."""
    judge, rows = evaluators.evaluator_of(metrics), report.baselines or {}
    linear_title = f"{judge.wording.linear_model} on the same features"
    for name, title, method in (
        (BEST_MEMBER, "its best member", ""),
        (judge.linear_name, linear_title, judge.linear_method(report.options or {})),
        (LIGHT_HEAD, _light_title(report), "probe"),
        (CLASSICAL, "a classifier without a pretrained network", ""),
        ("scratch", SCRATCH_TITLE, "scratch"),
        (WITHOUT_SOURCE, WITHOUT_SOURCE_TITLE, ""),
    ):
        gain = _gain(rows.get(name), judge.wording)
        if gain:
            yield _Rival(title, gain, method)


def _with_cost(found: Verdict, block: EnsembleBlock) -> Verdict:
    """The verdict on an ensemble that was compared with its best member, with what it costs."""
    if block.num_members == 1:
        name = block.members[0].name
        text = f"Selection keeps one run, so this is no ensemble: use {name} by itself."
        return Verdict(NEUTRAL, text)
    cost = f"It takes {block.cost:.1f} times as long as {block.best} alone"
    if found.tone != GOOD:
        cost += f", so it does not pay: use {block.best}"
    return Verdict(found.tone, f"{found.text} {cost}.", found.command)


def _light_title(report: Report) -> str:
    """What the light head is, in words: without rows of a target it is the source alone."""
    has_target = bool((report.options or {}).get("target_data"))
    return SOURCE_TITLE if has_target else "a tuned light head on the same features"


def _gain(row: BaselineRow | None, said: Wording) -> Gain | None:
    return row.gain.gains.get(said.metric) if row and row.gain else None


def _constant(report: Report, metrics: SplitMetrics) -> tuple[BaselineRow, Gain] | None:
    """The constant answer with the gain over it.

    Where the two were not compared row by row, the gain has the interval of the model alone.
    """
    judge = evaluators.evaluator_of(metrics)
    row, metric = (report.baselines or {}).get(judge.constant_name), judge.wording.metric
    own, other = metrics.scores.get(metric), row.test.scores.get(metric) if row else None
    if row is None or own is None or other is None:
        return None
    bounds = metrics.intervals.get(metric)
    alone = Gain(own - other, [bound - other for bound in bounds] if bounds else None)
    return row, _gain(row, judge.wording) or alone


def _worse(report: Report, rival: _Rival, said: Wording, is_constant_beaten: bool) -> Verdict:
    text = f"Worse than {rival.title} by {said.amount(rival.gain)}: do not use this model."
    if rival.title == SOURCE_TITLE:
        text += " The rows of the target did harm, which is called negative transfer."
    if rival.title == WITHOUT_SOURCE_TITLE:
        text += " The source did harm, which is called negative transfer."
    if not is_constant_beaten:
        text += f" It is no better than {said.constant_answer} either."
    if not rival.method or rival.method == (report.options or {}).get("method"):
        return Verdict(BAD, text)
    return Verdict(BAD, text, train_command(report, *method_flags(rival.method)))


def _no_better_than_constant(
    row: BaselineRow, gain: Gain, metrics: SplitMetrics, examples: str
) -> Verdict:
    """The verdict on a model whose headline metric is that of a constant answer."""
    said = evaluators.wording_for(metrics)
    values = said.value(metrics.score(said.metric)), said.value(row.test.score(said.metric))
    than = f"no better than {said.constant_answer} ({said.title} {values[0]} against {values[1]})"
    loss = row.gain.gains.get("loss") if row.gain else None
    if said.tone(gain) == UNCLEAR and loss and loss.interval and loss.interval[1] < 0:
        return Verdict(
            UNCLEAR,
            f"Its answers are {than}, as far as {examples} can show; its loss is better, so it has "
            "learned something: look at the other metrics before you use it.",
        )
    return Verdict(BAD, f"Learned nothing that {examples} can show: {than}. Do not use this model.")


def _no_better(rival: _Rival, said: Wording, examples: str, report: Report) -> Verdict:
    difference = f"the difference is {said.interval(rival.gain)}"
    if said.is_error:
        difference += ", where below 0 is better"
    if str((report.options or {}).get("method", "")).startswith("linear_probe"):
        text = f"As good as {rival.title}, as a linear probe should be: {difference}."
        return Verdict(NEUTRAL, text)
    text = f"No better than {rival.title}, as far as {examples} can show: {difference}."
    return Verdict(UNCLEAR, text)


def _not_compared(
    constant: tuple[BaselineRow, Gain] | None, said: Wording, *, is_training: bool
) -> Verdict:
    how = ": --baseline adds simpler models." if is_training else "."
    if constant is None:
        return Verdict(NEUTRAL, f"Nothing to compare with{how}")
    text = (
        f"Better than {said.constant_answer} by {said.amount(constant[1])}, which is the least "
        f"that a model must do. Nothing else to compare with{how}"
    )
    return Verdict(NEUTRAL, text)

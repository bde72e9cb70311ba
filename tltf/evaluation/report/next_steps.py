"""What to do after a report: a few steps, each from a rule and most with the command that does it."""

import dataclasses
import re
import shlex
import statistics
from collections.abc import Iterator, Sequence
from typing import Any

from tltf.evaluation import evaluators
from tltf.evaluation.report import folds, learning
from tltf.evaluation.report.folds import RoundKind
from tltf.evaluation.report.report import DataSummary, Mistake, Report
from tltf.evaluation.report.verdict import run_folder, train_command, verdict
from tltf.evaluation.report.wording import count_of
from tltf.runs import layout

MOST_STEPS = 6
CONFIDENT = 0.9
"""A wrong answer with at least this probability may be a wrong label."""
UNSURE = 0.6
"""A right answer with a lower probability was nearly wrong."""
NAMED_ROWS = 3
"""Rows and classes that a step names."""
PATIENCE = 5
"""Epochs without a better one after which --early_stopping_epochs should end a training."""
FEW_ROWS = 10
"""A class with fewer training rows is said to be small, where others have twice as many."""
_LENGTH = re.compile(r"--text_length=\d+")


@dataclasses.dataclass(frozen=True)
class Step:
    """Something to do next.

    Args:
        text: what to do and why, in a sentence or two.
        command: what does it; empty where it is work by hand.
    """

    text: str
    command: str = ""


def next_steps(report: Report, history: Sequence[dict[str, Any]] = ()) -> list[Step]:
    """The steps of a report, the most urgent first; none where it does not say which run it is of."""
    if not run_folder(report):
        return []
    is_training = report.options is not None and report.ensemble is None
    steps = list(_simpler_models(report))
    if is_training:
        steps += [*_longer_texts(report), *_length_of_training(report, history)]
    steps += [
        *_wrong_labels(report),
        *_borderline(report),
        *_small_classes(report.data or DataSummary()),
    ]
    steps = list(dict.fromkeys(steps))  # folds may warn of the same
    return [*steps[: MOST_STEPS - 2], *_uses(report, report.options is not None)]


def _simpler_models(report: Report) -> Iterator[Step]:
    given = verdict(report)
    if given and given.command:
        yield Step("A simpler model is better than this one: train it in its place.", given.command)
    judge = evaluators.evaluator_of(report.main_split()[1])
    if (
        report.options is not None
        and report.ensemble is None
        and report.test
        and judge.linear_name not in (report.baselines or {})
    ):
        text = "See whether a linear model on the same features is as good; it takes little time."
        yield Step(text, train_command(report, "--baseline=logistic"))


def _longer_texts(report: Report) -> Iterator[Step]:
    """A step for the warning that many tokens are cut off, which names the flag that helps."""
    for warning in report.data.scan.warnings if report.data else ():
        flag = _LENGTH.search(warning)
        if flag:
            yield Step("Let the model read more of each text.", train_command(report, flag[0]))


def _length_of_training(report: Report, history: Sequence[dict[str, Any]]) -> Iterator[Step]:
    kept = learning.kept(report, history)
    if kept is None or kept.penalty is not None:
        return
    if kept.num_later > PATIENCE:
        later = count_of(kept.num_later, "epoch")
        text = f"Stop earlier: {later} after the kept one did not make the model better."
        yield Step(text, train_command(report, f"--early_stopping_epochs={PATIENCE}"))
    num_epochs = (report.options or {}).get("train_epochs")
    if not kept.num_later and kept.num_epochs > 1 and num_epochs:
        text = "Train longer: the last epoch was the best on validation."
        yield Step(text, train_command(report, f"--train_epochs={2 * num_epochs}"))


def _named(rows: Sequence[Mistake]) -> str:
    """The ids of the first rows, each once: several draws may have the same one wrong."""
    return ", ".join(list(dict.fromkeys(row.id for row in rows))[:NAMED_ROWS])


def _wrong_labels(report: Report) -> Iterator[Step]:
    sure = [row for row in report.worst_mistakes if (row.probability or 0) >= CONFIDENT]
    if not sure:
        return
    names = _named(sure)
    text = (
        f"Confident mistakes are often wrong labels: look at {names}, correct the labels that are "
        "wrong, and train again."
    )
    is_training = report.options is not None and report.ensemble is None
    yield Step(text, train_command(report) if is_training else "")


def _borderline(report: Report) -> Iterator[Step]:
    """A step for right answers that were nearly wrong, whose second class is in their detail."""
    unsure = [row for row in report.borderline if (row.probability or 1) < UNSURE]
    if len(unsure) < NAMED_ROWS:
        return
    names = _named(unsure)
    yield Step(
        f"Label more examples like those that were nearly answered wrong, such as {names}: they lie "
        "between two classes."
    )


def _small_classes(data: DataSummary) -> Iterator[Step]:
    counts = data.splits["train"].class_counts if "train" in data.splits else None
    if not counts:
        return
    most = min(FEW_ROWS, statistics.median(counts.values()) / 2)
    small = sorted((count, name) for name, count in counts.items() if count < most)
    if small:
        named = ", ".join(
            f"{name} ({count_of(count, 'example')})" for count, name in small[:NAMED_ROWS]
        )
        yield Step(f"Label more examples of the smallest classes first: {named}.")


def models_of_folds(report: Report) -> tuple[Step, Step]:
    """How to get a model out of several rounds: train one on all rows, or take that of a fold."""
    folder, first = run_folder(report), report.folds[0] if report.folds else None
    place = first.folder if first and first.folder else f"{layout.ROUNDS}/0"
    kind = folds.kind_of(report.round_kind)
    again = ["--seeds=1"] if kind.noun == folds.SEEDS.noun else []
    one_model = Step(
        f"Which model to use? Train one on all rows with the same flags: {_expectation(kind)} "
        "Validation still takes its share of the rows.",
        train_command(report, "--split=holdout(test=0)", *again),
    )
    one_fold = Step(
        f"Or predict with the model of one {kind.noun}{_of_a_fold(kind)}.",
        shlex.join(["python", "-m", "tltf.predict", f"--run={folder}/{place}", "--input=FILE"]),
    )
    return one_model, one_fold


def _expectation(kind: RoundKind) -> str:
    if kind is folds.DRAWS:
        return f"with more labels it should be better than the mean over the {kind.plural}."
    return f"the mean over the {kind.plural} says what to expect of it."


def _of_a_fold(kind: RoundKind) -> str:
    return f", which was not trained on that {kind.noun}'s test rows" if kind.shares_rows else ""


def _uses(report: Report, is_training: bool) -> Iterator[Step]:
    """How the model is used, and judged on other data."""
    folder = run_folder(report)
    if report.folds is not None:
        yield from models_of_folds(report)
        return
    yield Step(
        "Predict for new examples, a CSV file or a folder of images.",
        shlex.join(["python", "-m", "tltf.predict", f"--run={folder}", "--input=FILE"]),
    )
    if is_training:
        yield Step(
            "Judge the model on labelled data that it has never seen.",
            shlex.join(["python", "-m", "tltf.evaluate", f"--run={folder}", "--data=NEW_DATA"]),
        )

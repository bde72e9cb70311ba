"""The blocks of the tasks of a run of several heads as pages show them."""

import dataclasses
from collections.abc import Sequence

from tltf.evaluation import evaluators
from tltf.evaluation.report import templating
from tltf.evaluation.report.sentences import words
from tltf.evaluation.report.task_blocks import TaskBlock


@dataclasses.dataclass(frozen=True)
class ShownTask:
    """A block as pages show it.

    Args:
        task: its name.
        head: the call string of its head.
        link: to its own report.
        split: that the numbers are of.
        title: of the headline metric.
        value: of it, as text.
        interval: of it, as text; may be empty.
        numbers: pairs of the name and the text of each metric.
    """

    task: str
    head: str
    link: str
    split: str
    title: str
    value: str
    interval: str
    numbers: Sequence[tuple[str, str]]


def shown(blocks: Sequence[TaskBlock] | None, page: str) -> list[ShownTask]:
    """The blocks as a page shows them; [] for a run of one head.

    Args:
        blocks: of the report.
        page: the name of the page of each task in its folder.
    """
    return [_shown(block, page) for block in blocks or ()]


def _shown(block: TaskBlock, page: str) -> ShownTask:
    split, metrics = ("test", block.test) if block.test else ("validation", block.validation)
    link = f"{block.place}/{page}"
    if metrics is None:
        return ShownTask(block.task, block.head, link, "", "no examples", "none", "", ())
    said = evaluators.wording_for(metrics)
    numbers = [
        (words(name), said.text(name, metrics.scores[name], digits=(2, 4)))
        for name in said.scalars
        if name in metrics.scores
    ]
    if metrics.num_examples is not None:
        numbers.append(("examples", f"{metrics.num_examples:,}"))
    return ShownTask(
        block.task,
        block.head,
        link,
        split,
        said.title,
        said.value(metrics.scores.get(said.metric)),
        templating.interval_text(metrics.intervals.get(said.metric), said.value),
        numbers,
    )

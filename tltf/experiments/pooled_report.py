"""The report of several rounds, which is made of the reports and predictions of each."""

import dataclasses
import pathlib
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from tltf.config import call_strings, options
from tltf.config.catalogs import HEADS
from tltf.config.options import Options
from tltf.data.source import ScanCounts, Source, one_field, one_label_field
from tltf.errors import ModelError
from tltf.evaluation import evaluators
from tltf.evaluation.baseline_row import BaselineRow, Gain, PairedDifference
from tltf.evaluation.report import folds as fold_rows
from tltf.evaluation.report import learning
from tltf.evaluation.report.folds import Fold, RoundKind
from tltf.evaluation.report.report import ConfusedPair, DataSummary, Mistake, Report
from tltf.evaluation.report.verdict import train_command
from tltf.evaluation.report.wording import Wording
from tltf.evaluation.split_metrics import SplitMetrics
from tltf.experiments import shown_examples
from tltf.models import prediction_table
from tltf.models.prediction_table import Table
from tltf.runs import layout, metrics_log
from tltf.training.distribution import strategies

JUDGED = "judged"
"""The role, in the data summary, of the rows that were judged: the test rows of all folds."""


@dataclasses.dataclass(frozen=True)
class _Examples:
    """The examples that the report of a fold shows.

    Args:
        mistakes: wrong answers.
        borderline: right answers with low probabilities.
    """

    mistakes: list[Mistake]
    borderline: list[Mistake]


def make(
    chosen: Options,
    folder: pathlib.Path,
    places: Sequence[str],
    folds: Sequence[Report],
    kind: RoundKind = fold_rows.FOLDS,
) -> Report:
    """The report of the test predictions of all folds; writes these to predictions.csv.

    Args:
        chosen: the options of all folds together.
        folder: the run folder of all folds together.
        places: the run folder of each fold, relative to `folder`.
        folds: the report of each fold or draw.
        kind: of the rounds; seeds that were judged on the same rows are told apart here.

    Raises:
        ModelError: the report of a fold has no test metrics.
    """
    tables = [prediction_table.read(folder / place / layout.PREDICTIONS) for place in places]
    if kind is fold_rows.SEEDS and all(table.ids == tables[0][0].ids for table, _ in tables):
        kind = fold_rows.SEEDS_OF_A_SPLIT
    whole = prediction_table.join_tables([table for table, _ in tables])
    head = call_strings.pick(HEADS, (folds[0].options or {})["head"], "head").build()
    prediction_table.write(folder / layout.PREDICTIONS, whole, tables[0][1], head.name)
    judge, names = evaluators.evaluator_for(head), metrics_of(folds[0]).class_names
    labels, candidate = judge.parse(whole.truths or [], whole.answers, whole.values, names)
    test = judge.measure(labels, candidate, names, seed=chosen.runtime.seed)
    worst = judge.worst(labels, candidate, names, whole.ids, shown_examples.NUM_MISTAKES)
    numbers = np.repeat(np.arange(1, len(tables) + 1), [len(table) for table, _ in tables])
    placed = list(_with_folds(folds, whole, numbers))
    known = {(row.fold, row.id): row for part in placed for row in part.mistakes}
    rows = judge.counts(_rows(chosen, labels, names, whole.ids))
    data = dataclasses.replace(_data(chosen, folds), splits={JUDGED: rows})
    test = dataclasses.replace(test, intervals={}, interval_confidence=None)
    report = _measured(chosen, places, folds, test, kind)
    return dataclasses.replace(
        report,
        command=train_command(report),
        folds=[
            dataclasses.replace(fold, kept=_kept_text(folder / place, own))
            for fold, place, own in zip(report.folds or (), places, folds, strict=True)
        ],
        data=data,
        worst_mistakes=[_known_example(row, int(numbers[row.index]), known) for row in worst],
        borderline=sorted(
            (row for part in placed for row in part.borderline),
            key=lambda row: row.probability or 0,
        )[: shown_examples.NUM_BORDERLINE],
        confused=_confused(test, list(known.values())),
    )


def metrics_of(report: Report) -> SplitMetrics:
    """The test metrics of a fold's report.

    Raises:
        ModelError: the report has none.
    """
    if report.test is None:
        raise ModelError(
            "the report of a fold has no test metrics", fix="train all folds into a new --output"
        )
    return report.test


def _measured(
    chosen: Options,
    places: Sequence[str],
    reports: Sequence[Report],
    test: SplitMetrics,
    kind: RoundKind,
) -> Report:
    """The Report of the numbers: those of all rows, of each fold, and of the baselines."""
    said, first = evaluators.wording_for(test), reports[0]
    kept = dict.fromkeys((said.metric, "macro_recall", *said.columns))
    folds = [_fold(report, place, kept) for report, place in zip(reports, places, strict=True)]
    shared = fold_rows.shared_rows(folds, kind)
    scores, spread = fold_rows.scores_text(folds, said), fold_rows.deviation_text(folds, said)
    mean = fold_rows.average(test, folds, kind)
    run = {**first.run, "data": chosen.data.data, kind.plural: len(folds)}
    return Report(
        options=options.flag_values(chosen),
        run=run,
        test=test,
        folds=folds,
        fold_means=fold_rows.means(folds, kind),
        round_kind=kind.name,
        folds_text=f"{scores}; mean {said.value(mean.scores[said.metric])} {spread}",
        parameters=first.parameters,
        versions=strategies.versions(),
        baselines={
            name: mean_baseline(
                [(report.baselines or {})[name] for report in reports], said, kind, shared
            )
            for name in first.baselines or {}
        },
        trainable_table=first.trainable_table,
    )


def _fold(report: Report, place: str, names: Mapping[str, None]) -> Fold:
    scores, splits = metrics_of(report).scores, report.data.splits if report.data else {}
    examples = {role: counts.num_examples or 0 for role, counts in splits.items()}
    return Fold({name: scores[name] for name in names if name in scores}, place, "", examples)


def _kept_text(run: pathlib.Path, report: Report) -> str:
    """`epoch 2 of 5`: the epoch or the penalty that a fold kept; empty where it is not known."""
    kept = learning.kept(report, metrics_log.read(run / layout.METRICS))
    if kept is None:
        return ""
    if kept.penalty is not None:
        return f"penalty {kept.penalty:g}"
    return f"epoch {kept.number} of {kept.num_epochs}"


def mean_baseline(
    rows: Sequence[BaselineRow],
    said: Wording,
    kind: RoundKind = fold_rows.FOLDS,
    shared: float | None = None,
) -> BaselineRow:
    """The mean of a baseline's rows over the folds; its gain has the interval of `folds.mean_interval`."""
    scores = {
        name: float(np.mean([row.test.score(name) for row in rows]))
        for name in (said.metric, *said.columns)
        if all(row.test.scores.get(name) is not None for row in rows)
    }
    gains = [row.gain.gains[said.metric].difference for row in rows if row.gain]
    gain = Gain(float(np.mean(gains)), fold_rows.mean_interval(gains, kind, shared))
    return BaselineRow(
        SplitMetrics({**scores}),
        note=f"mean of the {kind.plural}",
        gain=PairedDifference({said.metric: gain}),
    )


def _data(chosen: Options, folds: Sequence[Report]) -> DataSummary:
    """How the rows of all folds were counted, with the warnings of each."""
    scan = folds[0].data.scan if folds[0].data else ScanCounts()
    found = [list(report.data.scan.warnings) if report.data else [] for report in folds]
    shared = [text for text in found[0] if all(text in other for other in found)]
    own = [
        f"fold {number}: {text}"
        for number, texts in enumerate(found, 1)
        for text in texts
        if text not in shared
    ]
    scan = dataclasses.replace(scan, warnings=[*shared, *own])
    return DataSummary(scan, chosen.data.data, chosen.data.split)


def _rows(chosen: Options, labels: np.ndarray, names: Sequence[str], ids: Sequence[str]) -> Source:
    """The judged rows with their labels, for an evaluator to count; the texts are their ids."""
    fields, label_fields = one_field("text", ids), one_label_field(labels, tuple(names))
    return Source(chosen.data.data, fields, label_fields, ids, None, ScanCounts())


def _with_folds(folds: Sequence[Report], whole: Table, numbers: np.ndarray) -> Iterator[_Examples]:
    """The examples that the reports of the folds show, with their folds, texts and pictures.

    A picture is not in report.json, so that of a fold that is read from there comes from its path.
    """
    places = zip(numbers.tolist(), whole.ids, strict=True)
    contents = dict(zip(places, next(iter(whole.contents.values())), strict=True))

    def placed(row: Mistake, number: int) -> Mistake:
        is_shown = row.image is not None or row.text is not None
        image = row.image if is_shown else contents.get((number, row.id))
        return dataclasses.replace(row, fold=number, image=image)

    for number, report in enumerate(folds, 1):
        pairs = [row for pair in report.confused for row in pair.examples]
        yield _Examples(
            [placed(row, number) for row in (*report.worst_mistakes, *pairs)],
            [placed(row, number) for row in report.borderline],
        )


def _known_example(
    row: Mistake, number: int, known: Mapping[tuple[int | None, str], Mistake]
) -> Mistake:
    """A mistake among all rows with its fold, and the text or picture that the fold's report shows."""
    shown = known.get((number, row.id), row)
    return dataclasses.replace(
        row,
        fold=number,
        text=shown.text,
        unread=shown.unread,
        image=shown.image,
        explanation=shown.explanation,
    )


def _confused(test: SplitMetrics, known: Sequence[Mistake]) -> list[ConfusedPair]:
    """The most confused pairs of classes in all rows, with examples that the folds' reports show."""
    names = test.class_names
    counts = [
        (count, names[label], names[answer])
        for label, row in enumerate(test.confusion)
        for answer, count in enumerate(row)
        if label != answer and count
    ]
    worst = sorted(counts, key=lambda pair: -pair[0])[: shown_examples.NUM_PAIRS]
    sure_first = sorted(known, key=lambda row: -(row.probability or 0))
    return [
        ConfusedPair(
            label,
            answer,
            count,
            [row for row in sure_first if (row.label, row.predicted) == (label, answer)][
                : shown_examples.NUM_PER_PAIR
            ],
        )
        for count, label, answer in worst
    ]

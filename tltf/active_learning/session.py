"""A labelling session: rounds of rows that a strategy chooses, one question after the other."""

import collections
import dataclasses
import shlex

import numpy as np

from tltf.active_learning import labels_table, pool_rows, query
from tltf.active_learning.labels_table import Answer, LabelsTable
from tltf.active_learning.light_head import LightHead
from tltf.active_learning.pool_rows import PoolRows
from tltf.active_learning.pool_view import PoolView
from tltf.active_learning.query import NamedQuery
from tltf.config.label_options import LabelOptions
from tltf.errors import FlagError, choices_text
from tltf.models import loading

COLD_START = "typiclust"
"""The strategy of rounds without a head, which needs two classes with labels."""


@dataclasses.dataclass(frozen=True)
class Question:
    """A row that a person is asked about.

    Args:
        place: of the row in the pool.
        round: from 1.
        number: of the row in the round, from 1.
        stated: class -> probability, as the head of the round says; {} without a head.
    """

    place: int
    round: int
    number: int
    stated: dict[str, float]


@dataclasses.dataclass(frozen=True)
class Round:
    """The rows of a round.

    Args:
        number: from 1.
        places: of the rows in the pool, in the order in which they are asked.
        asked_by: the strategy that chose them.
        head: of the labels before; None without two classes.
    """

    number: int
    places: tuple[int, ...]
    asked_by: str
    head: LightHead | None


class Session:
    """The state of a session, which is made of the answers alone, so that a killed one goes on.

    The rows of a round hang on the answers of the rounds before and on the seed.

    Args:
        pool: the rows.
        table: where answers are written, each at once; those that are there are gone on with.
        strategy: that chooses rows.
        per_round: rows in a round.
        num_labels: labels at which it ends; None for those of the whole pool.
        seed: of strategies that draw.

    Raises:
        DataError: the table is not of this pool.
    """

    def __init__(
        self,
        pool: PoolRows,
        table: LabelsTable,
        strategy: NamedQuery,
        per_round: int,
        num_labels: int | None,
        seed: int,
    ) -> None:
        self.pool, self.table, self._strategy = pool, table, strategy
        self._per_round, self._seed = per_round, seed
        self._num_labels = len(pool.source) if num_labels is None else num_labels
        self.answers = table.read()
        self._rounds: dict[int, Round] = {}

    @property
    def num_labels(self) -> int:
        """Labels so far; rows that were skipped have none."""
        return sum(bool(answer.label) for answer in self.answers)

    def class_counts(self) -> dict[str, int]:
        """Class -> its labels so far, for every class."""
        counts = collections.Counter(answer.label for answer in self.answers)
        return {name: counts[name] for name in self.pool.class_names}

    def agreement(self, number: int) -> tuple[int, int] | None:
        """Of the labels of a round: how many its head said before they were given, and how many there are.

        The rows of a round are hard ones by choice, so this is less than the accuracy on all rows. None
        without a head or a label.
        """
        found = self.round(number)
        given = [one for one in self.answers if one.round == number and one.label]
        if found.head is None or not given:
            return None
        stated = found.head.probabilities(self.pool.features[[one.place for one in given]])
        names = [self.pool.class_names[place] for place in stated.argmax(axis=1)]
        right = sum(name == one.label for name, one in zip(names, given, strict=True))
        return right, len(given)

    def contents(self, question: Question) -> tuple[str, ...]:
        """The texts of a row, one for each field, or the path of its picture."""
        if self.pool.source.modality == "text":
            return tuple(texts[question.place] for texts in self.pool.source.text_columns())
        return (self.table.picture_path(question.place),)

    def next(self) -> Question | None:
        """The next question; None where all labels are there, or no row is left."""
        if self.num_labels >= self._num_labels or len(self.answers) >= len(self.pool.source):
            return None
        number = max((answer.round for answer in self.answers), default=1)
        answered = {answer.place for answer in self.answers}
        while True:
            found = self.round(number)
            for place_in_round, place in enumerate(found.places, 1):
                if place not in answered:
                    return Question(place, number, place_in_round, self._stated(found, place))
            number += 1

    def round(self, number: int) -> Round:
        """A round, whose head is fitted and whose rows are chosen when it is first asked for."""
        if number not in self._rounds:
            before = [answer for answer in self.answers if answer.round < number]
            labelled = [answer for answer in before if answer.label]
            places = np.array([answer.place for answer in labelled], np.int64)
            names = self.pool.class_names
            labels = np.array([names.index(answer.label) for answer in labelled], np.int64)
            head = self.pool.fit_head(places, labels, self._seed)
            strategy = self._strategy if head else query.pick(COLD_START)
            free = np.setdiff1d(np.arange(len(self.pool.source)), [one.place for one in before])
            view = PoolView(
                self.pool.features[free],
                self.pool.known(places),
                np.concatenate([self.pool.learned.labels, labels]),
                head.probabilities if head else _no_head,
                np.random.default_rng([self._seed, number]),
            )
            chosen = free[strategy(view, self._per_round)].tolist()
            self._rounds[number] = Round(number, tuple(chosen), strategy.name, head)
        return self._rounds[number]

    def _stated(self, found: Round, place: int) -> dict[str, float]:
        if found.head is None:
            return {}
        row = found.head.probabilities(self.pool.features[[place]])[0]
        return dict(zip(self.pool.class_names, row.tolist(), strict=True))

    def label(self, question: Question, name: str) -> None:
        """Keeps the label of a row, and writes it.

        Raises:
            FlagError: there is no such class.
            StorageError: the table cannot be written.
        """
        if name not in self.pool.class_names:
            choices = choices_text(name, self.pool.class_names)
            what = f"there is no class {name!r} (classes: {choices})"
            raise FlagError(what, flag="new_classes", fix=f"--new_classes={name} adds one")
        self._add(question, name)

    def skip(self, question: Question) -> None:
        """Leaves a row without a label; it is not asked again."""
        self._add(question, "")

    def _add(self, question: Question, label: str) -> None:
        asked_by = self.round(question.round).asked_by
        self.answers.append(Answer(question.place, label, asked_by, question.round))
        self.table.write(self.answers)

    def undo(self) -> Answer | None:
        """Takes the last answer back, so that its row is asked again; None where there is none."""
        if not self.answers:
            return None
        last = self.answers.pop()
        for number in [number for number in self._rounds if number > last.round]:
            del self._rounds[number]
        self.table.write(self.answers)
        return last


def open_session(options: LabelOptions) -> Session:
    """The Session that the options name, with the answers that its table has.

    Raises:
        FlagError, DataError: the run, the pool, the strategy or the table cannot be used.
    """
    strategy = query.pick(options.query)
    pool = pool_rows.prepare(loading.load(options.run), options)
    table = labels_table.LabelsTable(options.output, pool.source, pool.class_names)
    return Session(pool, table, strategy, options.per_round, options.num_labels, options.seed)


def training_commands(session: Session, options: LabelOptions) -> dict[str, str]:
    """What they do -> the commands that train on the labels."""
    data = shlex.quote(session.table.data())
    run, output = shlex.quote(options.run), shlex.quote(f"{options.run.rstrip('/')}_labelled")
    return {
        "update": f"python -m tltf.update --run={run} --data={data} --output={output}",
        "or train": f"python -m tltf.train --backbone={run} --data={data} --output={output}",
    }


def _no_head(features: np.ndarray) -> np.ndarray:
    raise FlagError(f"{COLD_START} asks no head", flag="query")

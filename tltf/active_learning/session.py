"""A labelling session: rounds of rows that a strategy chooses, one question after the other."""

import dataclasses

import numpy as np

from tltf.active_learning import query
from tltf.active_learning.labels_table import Answer, LabelsTable
from tltf.active_learning.light_head import LightHead
from tltf.active_learning.pool_rows import PoolRows
from tltf.active_learning.pool_view import PoolView
from tltf.active_learning.query import NamedQuery
from tltf.errors import FlagError, choices_text

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


def _no_head(features: np.ndarray) -> np.ndarray:
    raise FlagError(f"{COLD_START} asks no head", flag="query")

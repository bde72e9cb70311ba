"""The questions of a labelling session on a terminal."""

from collections.abc import Callable

from tltf.active_learning.session import Question, Session, open_session, training_commands
from tltf.config.label_options import LabelOptions
from tltf.console import lines
from tltf.errors import FlagError, printable

SKIP, UNDO, QUIT = ("s", "skip"), ("u", "undo"), ("q", "quit")
MOST_STATED = 3
"""Classes whose probabilities are shown."""


def run(options: LabelOptions, read: Callable[[str], str] | None = None) -> Session:
    """Asks for labels until there are enough, no row is left, or the person quits.

    Args:
        options: those of the command.
        read: shows a prompt and gives the line that the person writes, EOFError quits; None for the
            terminal.

    Raises:
        FlagError, DataError: the run, the pool, the strategy or the table cannot be used.
        StorageError: the table cannot be written.
    """
    session = open_session(options)
    pool = session.pool
    for text in pool.about:
        print("\n".join(lines.wrap("pool", text)))
    count = f"{len(pool.source):,} rows, {session.num_labels:,} of them with a label"
    print(f"{'pool':<{lines.NAME}} {count}")
    print("\n".join(lines.wrap("answers", _help(pool.class_names))))
    _ask_all(session, read or input)
    print(_closing(session, options))
    return session


def _ask_all(session: Session, read: Callable[[str], str]) -> None:
    shown_round = 0
    while (question := session.next()) is not None:
        if question.round != shown_round:
            shown_round = question.round
            print(_round_text(session, shown_round))
        print(_question_text(session, question))
        try:
            if not _answer(session, question, read("label? ").strip()):
                return
        except EOFError:
            print()
            return


def _answer(session: Session, question: Question, text: str) -> bool:
    """Takes a line of the person; False where it quits."""
    names = session.pool.class_names
    command = text.removeprefix("/").lower() if text not in names else ""
    if command in QUIT:
        return False
    if command in SKIP:
        session.skip(question)
    elif command in UNDO:
        last = session.undo()
        print(f"  {'taken back: ' + (last.label or 'skipped') if last else 'nothing to take back'}")
    elif text:
        try:
            session.label(question, _named(text, names))
        except FlagError as error:
            print(f"  {printable(error.what)}; s skips, u takes the last answer back, q quits")
    return True


def _named(text: str, names: tuple[str, ...]) -> str:
    """The class of a name, of its number, or of the only name that begins so."""
    if text in names or _are_numbers(names):
        return text
    if text.isdecimal() and 1 <= int(text) <= len(names):
        return names[int(text) - 1]
    begin = [name for name in names if name.lower().startswith(text.lower())]
    return begin[0] if len(begin) == 1 else text


def _are_numbers(names: tuple[str, ...]) -> bool:
    """Whether a number is the name of a class, so that it is not also one's place."""
    return any(name.strip().isdecimal() for name in names)


def _help(names: tuple[str, ...]) -> str:
    shown = [
        name if _are_numbers(names) else f"{number} {name}" for number, name in enumerate(names, 1)
    ]
    return printable(f"{', '.join(shown)}; s skips, u takes the last answer back, q quits")


def _round_text(session: Session, number: int) -> str:
    found = session.round(number)
    head = f"head: {found.head.text}" if found.head else "without a head, which needs two classes"
    agreed = session.agreement(number - 1) if number > 1 else None
    before = f"; the head before said {agreed[0]} of your last {agreed[1]} labels" if agreed else ""
    return f"\nround {number}: {len(found.places)} rows by {found.asked_by}; {head}{before}"


def _question_text(session: Session, question: Question) -> str:
    source = session.pool.source
    total = len(session.round(question.round).places)
    shown = [f"[{question.number}/{total}] {source.ids[question.place]}"]
    shown += [f"  {printable(value)}" for value in session.contents(question)]
    ranked = sorted(question.stated.items(), key=lambda pair: -pair[1])[:MOST_STATED]
    if ranked:
        shown.append("  head: " + ", ".join(f"{printable(n)} {p:.0%}" for n, p in ranked))
    return "\n".join(shown)


def _closing(session: Session, options: LabelOptions) -> str:
    counts = {name: count for name, count in session.class_counts().items() if count}
    by_class = ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))
    shown = [f"\n{'labels':<{lines.NAME}} {session.num_labels:,} in {session.table.path}"]
    if not counts:
        return shown[0]
    shown += lines.wrap("classes", printable(by_class))
    for name, text in training_commands(session, options).items():
        shown.append(f"{name:<{lines.NAME}} {text}")
    return "\n".join(shown)

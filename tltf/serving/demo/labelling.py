"""The page of tltf.label: a row, a button for each class, and what the head has learned so far."""

import dataclasses
import functools
import threading
import types
from collections.abc import Callable
from typing import Any

from PIL import Image

from tltf.active_learning.session import Question, Session, open_session, training_commands
from tltf.config.label_options import LabelOptions
from tltf.data.images import conversion, small_pictures
from tltf.errors import printable
from tltf.serving.demo import opening

MOST_BUTTONS = 12
"""Classes that have a button each; more are chosen from a list."""
MOST_KEYS = 9
"""Classes whose button a key presses."""
PICTURE_PX = 380
LATE = "This row has its answer from somebody else already."
NONE = -1
"""The place of a question that is not there."""
CSS = """
.row-text textarea { font-size: 1.15rem; line-height: 1.6 }
.picture img { width: 100%; height: 100%; object-fit: contain; }
.progress p { font-size: .9rem; margin: 0; opacity: .8 }
.note p { min-height: 1.4rem; margin: 0 }
"""
KEYS = """<script>
document.addEventListener('keydown', (event) => {
  if (/^(INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName) || event.ctrlKey || event.metaKey || event.altKey) return;
  const button = document.querySelector('#key-' + event.key.toLowerCase());
  if (button && /^[0-9a-z]$/i.test(event.key)) { event.preventDefault(); button.click(); }
});
</script>"""
"""Presses the button whose id ends with the key."""


@dataclasses.dataclass(frozen=True)
class Shown:
    """What the page shows.

    Args:
        place: of the row that is asked about; NONE where no row is left to ask about.
        contents: its texts, or the path of its picture; () without a row.
        progress: how far the session is, in Markdown.
        note: what came of the last press of a button, in Markdown.
        stated: class -> probability as the head says; {} without a head.
        counts: class -> its labels so far.
    """

    place: int
    contents: tuple[str, ...]
    progress: str
    note: str
    stated: dict[str, float]
    counts: dict[str, int]


class Desk:
    """A session that all visitors of a page share; one answer is taken at a time.

    Args:
        session: the session.
    """

    def __init__(self, session: Session) -> None:
        self.session = session
        self._lock = threading.Lock()

    def show(self, note: str = "") -> Shown:
        """What the page shows now."""
        with self._lock:
            return self._shown(note)

    def label(self, place: int, name: str) -> Shown:
        """Labels the row that a visitor saw, unless somebody else has answered it by now.

        Raises:
            FlagError: there is no such class.
            StorageError: the table cannot be written.
        """
        with self._lock:
            question = self._asked(place)
            if question is None:
                return self._shown(LATE if place != NONE else "")
            self.session.label(question, name)
            return self._shown(f"The row before is **{printable(name)}**.")

    def skip(self, place: int) -> Shown:
        """Leaves the row that a visitor saw without a label."""
        with self._lock:
            question = self._asked(place)
            if question is None:
                return self._shown(LATE if place != NONE else "")
            self.session.skip(question)
            return self._shown("The row before was skipped.")

    def undo(self) -> Shown:
        """Takes the last answer back, so that its row is asked again."""
        with self._lock:
            last = self.session.undo()
            if last is None:
                return self._shown("There is nothing to take back.")
            return self._shown(f"Taken back: {printable(last.label) or 'skipped'}.")

    def _asked(self, place: int) -> Question | None:
        question = self.session.next()
        return question if question is not None and question.place == place else None

    def _shown(self, note: str) -> Shown:
        session = self.session
        question, counts = session.next(), session.class_counts()
        if question is None:
            end = f"All is asked: **{session.num_labels:,}** labels in `{session.table.path}`."
            return Shown(NONE, (), end, note, {}, counts)
        progress = self._progress(question)
        contents = session.contents(question)
        return Shown(question.place, contents, progress, note, question.stated, counts)

    def _progress(self, question: Question) -> str:
        session, number = self.session, question.round
        found = session.round(number)
        texts = [
            f"Round {number}, row {question.number} of {len(found.places)}, chosen by "
            f"`{found.asked_by}`. Labels in `{session.table.path}`: **{session.num_labels:,}**."
        ]
        if found.head is None:
            texts.append("There is no head before two classes have labels.")
        else:
            texts.append(f"Head: {found.head.text}.")
        if agreed := (session.agreement(number - 1) if number > 1 else None):
            texts.append(
                f"The head before said {agreed[0]} of the last round's {agreed[1]} labels."
            )
        return " ".join(texts)


def serve(options: LabelOptions) -> None:
    """Asks for labels on a page until the command is interrupted.

    Raises:
        FlagError: gradio is not installed, the port is not free, or the run, the pool, the strategy or the
            table cannot be used.
        DataError: the pool or the table cannot be used.
    """
    with opening.gradio_for_a_page() as (gradio, _):
        desk = Desk(open_session(options))
        page = build(desk, options, gradio)
        opening.show(page, options, CSS, KEYS)
    print(f"{desk.session.num_labels:,} labels in {desk.session.table.path}")


def build(desk: Desk, options: LabelOptions, gradio: types.ModuleType) -> Any:
    """The gradio.Blocks of a desk."""
    about = " ".join(printable(text) for text in desk.session.pool.about)
    with gradio.Blocks(title="Labelling", analytics_enabled=False) as page:
        gradio.Markdown(f"# Which class is this?\n{about}")
        _Components(desk, gradio).show_when_opened(page)
        with gradio.Accordion("Train on these labels", open=False):
            commands = functools.partial(_commands_text, desk, options)
            shown = gradio.Markdown(commands())
            again = gradio.Button("Show the commands for the labels so far", size="sm")
            again.click(commands, None, shown, api_visibility=opening.PRIVATE)
    return page


def _commands_text(desk: Desk, options: LabelOptions) -> str:
    """The commands that train on the labels, in Markdown."""
    if not desk.session.num_labels:
        return "There are no labels yet."
    commands = training_commands(desk.session, options)
    return "\n\n".join(f"{name}:\n```sh\n{text}\n```" for name, text in commands.items())


class _Components:
    """The components of the page, and what a press of each button does."""

    def __init__(self, desk: Desk, gradio: types.ModuleType) -> None:
        self._desk, self._gradio = desk, gradio
        self._names = desk.session.pool.class_names
        self._place = gradio.State(NONE)
        with gradio.Row():
            with gradio.Column(scale=3):
                self._progress = gradio.Markdown(elem_classes="progress")
                self._fields = self._make_fields()
            with gradio.Column(scale=2):
                self._note = gradio.Markdown(elem_classes="note")
                self._buttons = self._make_buttons()
                self._chosen = gradio.Dropdown(
                    list(self._names), value=None, label="Class", visible=not self._buttons
                )
                give = gradio.Button(
                    "Give this label", variant="primary", visible=not self._buttons
                )
                with gradio.Row():
                    skip = gradio.Button("Skip (s)", elem_id="key-s", size="sm")
                    undo = gradio.Button("Take back (u)", elem_id="key-u", size="sm")
                self._counts = gradio.Dataframe(
                    headers=["class", "labels"], label="Labels so far", interactive=False
                )
        for name, button in zip(self._names, self._buttons, strict=False):
            self._respond(button, functools.partial(self._label, name=name), self._place)
        self._respond(give, self._label, self._place, self._chosen)
        self._respond(skip, desk.skip, self._place)
        self._respond(undo, desk.undo)

    def _make_fields(self) -> list[Any]:
        """A component for each text of a row, or one for its picture."""
        gradio, source = self._gradio, self._desk.session.pool.source
        if source.modality == "image":
            picture = gradio.Image(
                show_label=False,
                interactive=False,
                image_mode=None,
                height=PICTURE_PX,
                format="png",
                buttons=[],
                elem_classes="picture",
            )
            return [picture]
        look = functools.partial(gradio.Textbox, interactive=False, lines=6, max_lines=24)
        return [look(label=name, elem_classes="row-text") for name in source.fields]

    def _make_buttons(self) -> list[Any]:
        """A button for each class; [] where there are so many that they are chosen from a list."""
        if len(self._names) > MOST_BUTTONS:
            return []
        numbered = enumerate(self._names, 1)
        return [self._gradio.Button(name, elem_id=f"key-{number}") for number, name in numbered]

    def _respond(self, button: Any, answer: Callable[..., Shown], *inputs: Any) -> None:
        def respond(*values: Any) -> list[Any]:
            return self._values(answer(*values))

        button.click(respond, list(inputs), self._outputs, api_visibility=opening.PRIVATE)

    @property
    def _outputs(self) -> list[Any]:
        """What an answer changes, in the order of `_values`."""
        first = [self._place, self._progress, self._note, self._counts, self._chosen]
        return [*first, *self._fields, *self._buttons]

    def show_when_opened(self, page: Any) -> None:
        """Shows the first row when a visitor opens the page."""
        opened = lambda: self._values(self._desk.show())  # noqa: E731
        page.load(opened, None, self._outputs, api_visibility=opening.PRIVATE)

    def _label(self, place: int, name: str | None) -> Shown:
        return self._desk.label(place, name) if name else self._desk.show("Choose a class first.")

    def _values(self, shown: Shown) -> list[Any]:
        """What the components of `_outputs` show."""
        counts = [[name, count] for name, count in shown.counts.items()]
        contents: list[Any] = list(shown.contents) or [None] * len(self._fields)
        if shown.contents and self._desk.session.pool.source.modality == "image":
            contents = [_enlarged(shown.contents[0])]
        first = [shown.place, shown.progress, shown.note, counts, None]
        return [*first, *contents, *self._button_values(shown)]

    def _button_values(self, shown: Shown) -> list[Any]:
        """The buttons: names with the key that presses them and what the head says of them."""
        values = []
        for number, name in enumerate(self._names[: len(self._buttons)], 1):
            key = f"{number} · " if number <= MOST_KEYS else ""
            says = f" · {shown.stated[name]:.0%}" if shown.stated else ""
            text = f"{key}{printable(name)}{says}"
            values.append(self._gradio.Button(text, interactive=shown.place != NONE))
        return values


def _enlarged(path: str) -> Image.Image:
    """A picture as the network sees it; a small one has its pixels as squares."""
    picture = conversion.to_network_image(small_pictures.open_image(path))
    times = PICTURE_PX // max(picture.size)
    if times < 2:
        return picture
    size = picture.width * times, picture.height * times
    return picture.resize(size, Image.Resampling.NEAREST)

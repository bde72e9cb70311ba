"""The page of tltf.demo, made with Gradio: inputs, an answer and what it rests on, and examples."""

import contextlib
import functools
import types
from collections.abc import Callable
from typing import Any

from tltf.config.command_options import DemoOptions
from tltf.data.images import small_pictures
from tltf.data.images.preprocessing import ImagePreprocessing
from tltf.evaluation.report import templating
from tltf.models.prediction import Prediction
from tltf.serving.demo import opening
from tltf.serving.demo.answers import shown_answer
from tltf.serving.demo.trial import Answering, Asked, Trial, trial_of

MOST_CLASSES = 10
"""Classes whose probabilities are shown, the most probable first."""


def serve(options: DemoOptions) -> None:
    """Shows the page until the command is interrupted.

    Raises:
        FlagError: gradio is not installed, or the port is not free.
        ModelError: the run cannot be loaded.
    """
    with opening.gradio_for_a_page() as (gradio, folder):
        page = build(trial_of(options, folder), gradio)
        opening.show(page, options, templating.render("explained.css", {}) + CSS)


TINY_PX = 64
"""Pictures of a smaller side are enlarged on the page with their pixels as squares."""
WAITING = '<p class="waiting">Finding out what this answer rests on …</p>'
CSS = """
.explanation { --muted: var(--body-text-color-subdued); --track: var(--background-fill-secondary) }
.explanation h3 { font-size: 1rem; font-weight: 600; margin: .4rem 0 .5rem }
.explanation figure { margin: 0 }
.explanation .pair-of-pictures { grid-template-columns: repeat(auto-fit, minmax(6rem, 1fr)); max-width: 29rem }
.explanation .pair-of-pictures img { width: 100%; aspect-ratio: 1; object-fit: contain; margin: 0; background: var(--track) }
.explanation blockquote { margin: 0; padding: 0; border: 0; font-size: 1rem; line-height: 1.7; overflow-wrap: anywhere; white-space: pre-line }
.explanation figcaption, .explanation .waiting { font-size: .85rem; margin: .5rem 0 0; opacity: .75 }
.picture img { width: 100%; height: 100%; object-fit: contain }
.tiny img { image-rendering: pixelated }
.answer p { font-size: 1.4rem }
.answer p + p { font-size: .9rem; opacity: .75 }
"""


def build(trial: Trial, gradio: types.ModuleType) -> Any:
    """The gradio.Blocks of a trial."""
    prepared = trial.model.preprocessing
    is_image = trial.model.core.backbone.modality == "image"
    with gradio.Blocks(title=trial.heading, analytics_enabled=False) as page:
        gradio.Markdown(f"# {trial.heading}\n{trial.about}")
        with gradio.Row():
            with gradio.Column():
                fields = [_field(gradio, name, trial) for name in prepared.fields]
                truth = gradio.Textbox(
                    label="True label of this example",
                    interactive=False,
                    visible=bool(trial.examples),
                )
                button = gradio.Button("Answer", variant="primary")
            with gradio.Column():
                shown = _Outputs(gradio, trial)
        asking = [button.click, *(field.upload if is_image else field.submit for field in fields)]
        shown.answer_at(functools.partial(gradio.on, asking), fields, is_in_api=True)
        changing = [event for field in fields for event in _changes(field, is_image)]
        gradio.on(changing, lambda: "", None, truth, api_visibility=opening.PRIVATE)
        if trial.examples:
            _add_examples(gradio, page, trial, fields, truth, shown)
    return page


def _changes(field: Any, is_image: bool) -> tuple[Any, ...]:
    """The events in which a field gets something else than an example."""
    return (field.upload, field.clear) if is_image else (field.input,)


def _field(gradio: types.ModuleType, name: str, trial: Trial) -> Any:
    """The component of a field: a box for a text, or one to drop a picture in."""
    if not isinstance(trial.model.preprocessing, ImagePreprocessing):
        return gradio.Textbox(label=name, lines=4, max_lines=12)
    return gradio.Image(  # the file as it is: the model decodes it by its own rules
        label=name,
        type="filepath",
        image_mode=None,
        sources=["upload", "clipboard"],
        height=300,
        elem_classes=["picture", "tiny"] if _are_tiny(trial) else "picture",
    )


def _are_tiny(trial: Trial) -> bool:
    """Whether the pictures of a trial are so small that their pixels are shown as squares."""
    prepared = trial.model.preprocessing
    side = prepared.size_px if isinstance(prepared, ImagePreprocessing) else TINY_PX
    if trial.examples:
        with contextlib.suppress(*small_pictures.UNREADABLE):
            side = max(small_pictures.open_image(trial.examples[0].values[0]).size)
    return side < TINY_PX


class _HeadOutputs:
    """The components that show the answer of one head, and then what it rests on."""

    def __init__(self, gradio: types.ModuleType, head: Answering) -> None:
        self._gradio, self.head = gradio, head
        names, target = head.model.class_names, head.model.core.head.target
        has_classes = bool(names) and target in ("class", "labels")
        if head.task:
            gradio.Markdown(f"### {head.task}")
        text = gradio.Markdown(elem_classes="answer", min_height=40)
        probabilities = gradio.Label(
            label="Probabilities",
            num_top_classes=min(MOST_CLASSES, len(names)),
            show_heading=False,
            visible=has_classes,
        )
        quantiles = gradio.Dataframe(
            headers=["quantile", "value"],
            label="Quantiles: the share of true values that are expected below",
            interactive=False,
            visible=not has_classes,
        )
        self.explanation = gradio.HTML(
            visible=head.explain is not None, elem_classes="explanation", min_height=60
        )
        self.asked = gradio.State(Asked())
        self.components = [text, probabilities, quantiles, self.explanation]

    def respond(
        self, asked: Asked, values: tuple[str | None, ...], prediction: Prediction | None
    ) -> tuple[Any, ...]:
        """What the components show; the last one waits for `explain`."""
        own = prediction and self.head.own(prediction)
        asked.put(values, own)
        if own is None:
            return "", None, None, ""
        shown = shown_answer(own)
        rows = [list(row) for row in shown.quantiles] or None
        waiting = WAITING if self.head.explain and not own.error else ""
        return shown.text, shown.probabilities or None, rows, waiting

    def explain(self, asked: Asked) -> Any:
        """What the last answer rests on; no change where a newer answer is there by now."""
        if self.head.explain is None:
            return ""
        found = asked.explained(self.head.explain)
        return self._gradio.skip() if found is None else found


class _Outputs:
    """The components of all heads that answer."""

    def __init__(self, gradio: types.ModuleType, trial: Trial) -> None:
        self._trial = trial
        self._heads = [_HeadOutputs(gradio, head) for head in trial.heads]

    def answer_at(
        self, event: Callable[..., Any], fields: list[Any], is_in_api: bool = False
    ) -> None:
        """Answers the values of the fields at an event, and explains the answer once it is shown.

        Args:
            event: a listener of Gradio, which takes the function, its inputs and its outputs.
            fields: the components of the fields.
            is_in_api: whether programs may call it, as `/answer` and `/explain`.
        """
        private = {"api_visibility": opening.PRIVATE}
        named = {"api_name": "answer"} if is_in_api else private
        asked = [head.asked for head in self._heads]
        components = [part for head in self._heads for part in head.components]
        last = event(self._respond, [*asked, *fields], components, **named)
        for own in self._heads:
            if own.head.explain is not None:
                name = f"explain_{own.head.task}" if own.head.task else "explain"
                named = {"api_name": name} if is_in_api else private
                more = {"show_progress": "minimal", **named}
                last = last.then(own.explain, own.asked, own.explanation, **more)

    def _respond(self, *given: Any) -> tuple[Any, ...]:
        """What the components of all heads show, of what each was asked last and the values."""
        asked, values = given[: len(self._heads)], given[len(self._heads) :]
        prediction = self._trial.answer(values)
        shown = [
            head.respond(own, values, prediction)
            for head, own in zip(self._heads, asked, strict=True)
        ]
        return tuple(part for parts in shown for part in parts)


def _add_examples(
    gradio: types.ModuleType,
    page: Any,
    trial: Trial,
    fields: list[Any],
    truth: Any,
    shown: _Outputs,
) -> None:
    """Examples below the fields; one that is chosen is answered, and the first one when the page opens."""
    inputs = [*fields, truth]
    examples = gradio.Examples(
        [[*example.values, example.label] for example in trial.examples],
        inputs,
        label="Examples of the test split, which the model was not trained on",
        examples_per_page=len(trial.examples),
        cache_examples=False,
        api_visibility=opening.PRIVATE,
    )
    shown.answer_at(examples.load_input_event.then, fields)
    first = trial.examples[0]
    opened = page.load(
        lambda: [*first.values, first.label], None, inputs, api_visibility=opening.PRIVATE
    )
    shown.answer_at(opened.then, fields)

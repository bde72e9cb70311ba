"""The page of tltf.demo, made with Gradio: inputs, an answer and what it rests on, and examples."""

import contextlib
import dataclasses
import functools
import pathlib
import types
from collections.abc import Callable
from typing import Any, cast

from tltf.config.command_options import DemoOptions
from tltf.data.images import small_pictures
from tltf.data.images.preprocessing import ImagePreprocessing
from tltf.evaluation import evaluators
from tltf.evaluation.report import naming, templating
from tltf.evaluation.report.report import Report, run_report
from tltf.models import loading
from tltf.models.prediction import Prediction
from tltf.models.transfer_model import TransferModel
from tltf.serving.demo import opening
from tltf.serving.demo.answers import shown_answer
from tltf.serving.demo.examples import Example, examples_of
from tltf.serving.demo.explanations import explainer_of

MOST_CLASSES = 10
"""Classes whose probabilities are shown, the most probable first."""
Explain = Callable[[tuple[str, ...], Prediction], str]
"""What an answer rests on, as HTML; of the values of the fields, and the answer to them."""


@dataclasses.dataclass(frozen=True)
class Trial:
    """A model that is tried on a page.

    Args:
        model: that answers.
        heading: of the page.
        about: what stands below the heading, in Markdown.
        examples: inputs to begin with; () for none.
        explain: shows what an answer rests on; None for no explanation.
    """

    model: TransferModel
    heading: str
    about: str
    examples: tuple[Example, ...] = ()
    explain: Explain | None = None

    def answer(self, values: tuple[str | None, ...]) -> Prediction | None:
        """The answer to a value per field; None where a field is empty."""
        given = tuple(value for value in values if value)
        if len(given) < len(values):
            return None
        found = self.model.predict([given if len(given) > 1 else given[0]])
        (prediction,) = cast("list[Prediction]", found)
        return prediction


class Asked:
    """What somebody asked last; the page has one for each of its visitors.

    An explanation takes longer than an answer, so that the next input may be answered before it is
    there: then it is not shown.
    """

    def __init__(self) -> None:
        self._last: tuple[tuple[str, ...], Prediction] | None = None

    def put(self, values: tuple[str | None, ...], prediction: Prediction | None) -> None:
        """Keeps an input with its answer; None where there was nothing to answer."""
        self._last = None
        if prediction is not None and not prediction.error:
            self._last = (cast("tuple[str, ...]", values), prediction)

    def explained(self, explain: Explain) -> str | None:
        """HTML of what the last answer rests on; empty without one, None where there is a newer one."""
        asked = self._last
        if asked is None:
            return ""
        shown = explain(*asked)
        return shown if self._last is asked else None


def serve(options: DemoOptions) -> None:
    """Shows the page until the command is interrupted.

    Raises:
        FlagError: gradio is not installed, or the port is not free.
        ModelError: the run cannot be loaded.
    """
    with opening.gradio_for_a_page() as (gradio, folder):
        page = build(trial_of(options, folder), gradio)
        opening.show(page, options, templating.render("explained.css", {}) + CSS)


def trial_of(options: DemoOptions, folder: pathlib.Path) -> Trial:
    """The Trial of a run.

    Args:
        options: of the command.
        folder: where pictures of examples are written.
    """
    model, report = loading.load_one_head(options.run, "tltf.demo"), run_report(options.run)
    heading = naming.title(report) if report else pathlib.Path(options.run).resolve().name
    return Trial(
        model,
        heading,
        _about(report),
        tuple(examples_of(model, options.run, options.examples, folder)),
        explainer_of(model, options.explainer),
    )


def _about(report: Report | None) -> str:
    """The headline metric of the run with its interval; empty where there is none."""
    role, metrics = report.main_split() if report else ("", None)
    if metrics is None:
        return ""
    said = evaluators.wording_for(metrics)
    value = said.value(metrics.scores.get(said.metric))
    bounds = templating.interval_text(metrics.intervals.get(said.metric), said.value)
    counted = f"{metrics.num_examples:,} examples" if metrics.num_examples is not None else ""
    name = f"{role[:1].upper()}{role[1:]} {said.title}"
    return ", ".join(
        filter(None, [f"{name} {value}" + (f" ({bounds})" if bounds else ""), counted])
    )


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


class _Outputs:
    """The components that show an answer, and then what it rests on."""

    def __init__(self, gradio: types.ModuleType, trial: Trial) -> None:
        self._gradio, self._trial = gradio, trial
        has_classes = bool(trial.model.class_names) and trial.model.core.head.target in (
            "class",
            "labels",
        )
        text = gradio.Markdown(elem_classes="answer", min_height=40)
        probabilities = gradio.Label(
            label="Probabilities",
            num_top_classes=min(MOST_CLASSES, len(trial.model.class_names)),
            show_heading=False,
            visible=has_classes,
        )
        quantiles = gradio.Dataframe(
            headers=["quantile", "value"],
            label="Quantiles: the share of true values that are expected below",
            interactive=False,
            visible=not has_classes,
        )
        self._explanation = gradio.HTML(
            visible=trial.explain is not None, elem_classes="explanation", min_height=60
        )
        self._asked = gradio.State(Asked())
        self._components = [text, probabilities, quantiles, self._explanation]

    def answer_at(
        self, event: Callable[..., Any], fields: list[Any], is_in_api: bool = False
    ) -> None:
        """Answers the values of the fields at an event, and explains the answer once it is shown.

        Args:
            event: a listener of Gradio, which takes the function, its inputs and its outputs.
            fields: the components of the fields.
            is_in_api: whether programs may call it, as `/answer` and `/explain`.
        """
        shown = [{"api_visibility": opening.PRIVATE}] * 2
        if is_in_api:
            shown = [{"api_name": "answer"}, {"api_name": "explain"}]
        answered = event(self._respond, [self._asked, *fields], self._components, **shown[0])
        if self._trial.explain is not None:
            answered.then(
                self._explain, self._asked, self._explanation, show_progress="minimal", **shown[1]
            )

    def _respond(self, asked: Asked, *values: str | None) -> tuple[Any, ...]:
        """What the components show; the last one waits for `_explain`."""
        prediction = self._trial.answer(values)
        asked.put(values, prediction)
        if prediction is None:
            return "", None, None, ""
        shown = shown_answer(prediction)
        rows = [list(row) for row in shown.quantiles] or None
        waiting = WAITING if self._trial.explain and not prediction.error else ""
        return shown.text, shown.probabilities or None, rows, waiting

    def _explain(self, asked: Asked) -> Any:
        """What the last answer rests on; no change where a newer answer is there by now."""
        if self._trial.explain is None:
            return ""
        found = asked.explained(self._trial.explain)
        return self._gradio.skip() if found is None else found


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

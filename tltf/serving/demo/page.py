"""The page of tltf.demo, made with Gradio: inputs, an answer with probabilities, and examples."""

import dataclasses
import logging
import os
import pathlib
import tempfile
import time
import types
import warnings
from collections.abc import Callable
from typing import Any, cast

from tltf.config import call_strings
from tltf.config.command_options import DemoOptions
from tltf.console import signals
from tltf.data.images.preprocessing import ImagePreprocessing
from tltf.data.texts.preprocessing import TextPreprocessing
from tltf.errors import FlagError, StorageError
from tltf.evaluation import evaluators
from tltf.evaluation.report import naming, templating
from tltf.evaluation.report.report import Report, run_report
from tltf.models import loading
from tltf.models.prediction import Prediction
from tltf.models.transfer_model import TransferModel
from tltf.serving.demo.answers import shown_answer
from tltf.serving.demo.examples import Example, examples_of

EXTRA = "demo"
MOST_CLASSES = 10
"""Classes whose probabilities are shown, the most probable first."""
LARGEST_UPLOAD = "64mb"
LOCAL_HOSTS = ("127.0.0.1", "localhost", "::1")
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

    def answer(self, values: tuple[str | None, ...]) -> tuple[Prediction | None, str]:
        """`(prediction, explanation as HTML)` for a value per field; None where a field is empty."""
        given = tuple(value for value in values if value)
        if len(given) < len(values):
            return None, ""
        found = self.model.predict([given if len(given) > 1 else given[0]])
        (prediction,) = cast("list[Prediction]", found)
        if self.explain is None or prediction.error:
            return prediction, ""
        return prediction, self.explain(given, prediction)


def serve(options: DemoOptions) -> None:
    """Shows the page until the command is interrupted.

    Raises:
        FlagError: gradio is not installed, or the port is not free.
        ModelError: the run cannot be loaded.
    """
    with tempfile.TemporaryDirectory(prefix="tltf-demo-") as folder:
        os.environ["GRADIO_TEMP_DIR"] = folder  # uploads go with the page
        gradio = import_gradio()
        page = build(trial_of(options, pathlib.Path(folder)), gradio)
        print(f"{'page':<10} {open_page(page, options, folder)}  (Ctrl-C ends it)", flush=True)
        try:
            while not signals.is_end_requested():
                time.sleep(0.5)
        except KeyboardInterrupt:  # how it is meant to end
            pass
        finally:
            page.close(verbose=False)


def import_gradio() -> types.ModuleType:
    """Gradio, which then sends no numbers about its use to its makers.

    Raises:
        FlagError: it is not installed.
    """
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
    logging.getLogger("httpx").setLevel(logging.WARNING)  # it would tell of each of its requests
    try:
        import gradio
    except ModuleNotFoundError as error:
        raise call_strings.missing_extra(error, EXTRA) from error
    return gradio


def trial_of(options: DemoOptions, folder: pathlib.Path) -> Trial:
    """The Trial of a run.

    Args:
        options: of the command.
        folder: where pictures of examples are written.
    """
    model, report = loading.load(options.run), run_report(options.run)
    heading = naming.title(report) if report else pathlib.Path(options.run).resolve().name
    return Trial(
        model,
        heading,
        _about(report),
        tuple(examples_of(model, options.run, options.examples, folder)),
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


def open_page(page: Any, options: DemoOptions, folder: str) -> str:
    """Starts the server of a page; returns its address.

    Raises:
        FlagError: the port is not free, or the host is not one of this machine.
        StorageError: no public address can be had.
    """
    if options.host not in LOCAL_HOSTS:
        what = f"--host={options.host}: everybody who reaches this machine can use the page"
        warnings.warn(what, stacklevel=2)
    gradio = import_gradio()
    fonts = ["system-ui", "sans-serif"]
    try:
        _, local, public = page.launch(
            server_name=options.host,
            server_port=options.port,
            share=options.share,
            prevent_thread_lock=True,
            quiet=True,
            ssr_mode=False,
            footer_links=[],
            max_file_size=LARGEST_UPLOAD,
            allowed_paths=[],
            blocked_paths=[],
            theme=gradio.themes.Default(font=fonts, font_mono=["ui-monospace", "monospace"]),
            css=CSS,
        )
    except OSError as error:
        what = f"the port cannot be used ({error})"
        raise FlagError(
            what, flag="port", fix="leave --port out, which finds a free one"
        ) from error
    if options.share and not public:
        page.close(verbose=False)
        raise StorageError("gradio.live gave no address", flag="share", fix="leave --share out")
    return public or local


TINY_PX = 64
"""Inputs of a smaller side are enlarged on the page, with their pixels as squares."""
CSS = """
.explanation img { max-width: 100% }
.tiny img { width: 100%; height: 100%; object-fit: contain; image-rendering: pixelated }
.answer p { font-size: 1.4rem }
footer { display: none !important }
"""


def build(trial: Trial, gradio: types.ModuleType) -> Any:
    """The gradio.Blocks of a trial."""
    prepared = trial.model.preprocessing
    is_image = trial.model.core.backbone.modality == "image"
    with gradio.Blocks(title=trial.heading, analytics_enabled=False) as page:
        gradio.Markdown(f"# {trial.heading}\n{trial.about}")
        with gradio.Row():
            with gradio.Column():
                fields = [_field(gradio, name, prepared) for name in prepared.fields]
                truth = gradio.Textbox(
                    label="True label of this example",
                    interactive=False,
                    visible=bool(trial.examples),
                )
                button = gradio.Button("Answer", variant="primary")
            with gradio.Column():
                shown = _Outputs(gradio, trial)
        respond = shown.responder(trial)
        button.click(respond, fields, shown.components, api_name="answer")
        for field in fields:
            if is_image:
                field.upload(lambda: "", None, truth, api_name=False)
                field.upload(respond, fields, shown.components, api_name=False)
                field.clear(lambda: "", None, truth, api_name=False)
            else:
                field.submit(respond, fields, shown.components, api_name=False)
                field.input(lambda: "", None, truth, api_name=False)
        if trial.examples:
            _add_examples(gradio, page, trial, [*fields, truth], fields, shown, respond)
    return page


def _field(
    gradio: types.ModuleType, name: str, prepared: ImagePreprocessing | TextPreprocessing
) -> Any:
    """The component of a field: a box for a text, or one to drop a picture in."""
    if not isinstance(prepared, ImagePreprocessing):
        return gradio.Textbox(label=name, lines=4, max_lines=12)
    return gradio.Image(  # the file as it is: the model decodes it by its own rules
        label=name,
        type="filepath",
        image_mode=None,
        sources=["upload", "clipboard"],
        height=300,
        elem_classes="tiny" if prepared.size_px < TINY_PX else None,
    )


class _Outputs:
    """The components that show an answer."""

    def __init__(self, gradio: types.ModuleType, trial: Trial) -> None:
        self._gradio = gradio
        self._has_classes = bool(trial.model.class_names) and trial.model.core.head.target in (
            "class",
            "labels",
        )
        self._text = gradio.Markdown(elem_classes="answer", min_height=40)
        count = min(MOST_CLASSES, len(trial.model.class_names))
        self._probabilities = gradio.Label(
            label="Probabilities",
            num_top_classes=count,
            show_heading=False,
            visible=self._has_classes,
        )
        self._quantiles = gradio.Dataframe(
            headers=["quantile", "value"],
            label="Quantiles: the share of true values that are expected below",
            interactive=False,
            visible=not self._has_classes,
        )
        self._explanation = gradio.HTML(
            label="What the answer rests on",
            visible=trial.explain is not None,
            elem_classes="explanation",
        )
        self.components = [
            self._text,
            self._probabilities,
            self._quantiles,
            self._explanation,
        ]

    def responder(self, trial: Trial) -> Callable[..., tuple[Any, ...]]:
        """The function that the page calls with the values of its fields."""

        def respond(*values: str | None) -> tuple[Any, ...]:
            prediction, explanation = trial.answer(values)
            if prediction is None:
                return "", None, None, ""
            shown = shown_answer(prediction)
            rows = [list(row) for row in shown.quantiles] or None
            return shown.text, shown.probabilities or None, rows, explanation

        return respond


def _add_examples(
    gradio: types.ModuleType,
    page: Any,
    trial: Trial,
    inputs: list[Any],
    fields: list[Any],
    shown: _Outputs,
    respond: Callable[..., tuple[Any, ...]],
) -> None:
    """Examples below the fields; one that is chosen is answered, and the first one when the page opens."""
    gradio.Examples(
        [[*example.values, example.label] for example in trial.examples],
        inputs,
        label="Examples of the test split, which the model was not trained on",
        examples_per_page=len(trial.examples),
        fn=lambda *values: respond(*values[:-1]),
        outputs=shown.components,
        run_on_click=True,
        cache_examples=False,
        api_name=False,
    )
    first = trial.examples[0]
    page.load(lambda: [*first.values, first.label], None, inputs, api_name=False).then(
        respond, fields, shown.components, api_name=False
    )

"""The door for Python and notebooks: `tltf.fit` trains on data that a program holds."""

import contextlib
import dataclasses
import functools
import logging
import os
import pathlib
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import keras

from tltf.config import call_strings, checks, defaults, options
from tltf.config.catalogs import FORMATS
from tltf.config.command_options import EvaluateOptions
from tltf.config.preset_options import NONE, QUICK, PresetOptions, TrainCommandOptions
from tltf.config.recipe import Recipe
from tltf.data.source import TEST, TRAIN, VALIDATION
from tltf.data.sources import in_memory
from tltf.data.sources.in_memory import MemoryRequest
from tltf.errors import FlagError, ModelError
from tltf.evaluation.report import terminal
from tltf.evaluation.report.report import Report
from tltf.evaluation.split_metrics import SplitMetrics
from tltf.experiments import notebook_page, rounds, run_evaluation, steps
from tltf.experiments.advice import automatic
from tltf.experiments.launch import Launch
from tltf.models import loading
from tltf.models.transfer_model import TransferModel
from tltf.runs import folder as runs_folder
from tltf.runs import layout


@dataclasses.dataclass(frozen=True, repr=False)
class RunReport:
    """The report of a run: its numbers, and the page that shows itself in a notebook.

    Args:
        report: the numbers.
        folder: the run folder, which has `report.html`.
    """

    report: Report
    folder: pathlib.Path

    @property
    def metrics(self) -> dict[str, float | None]:
        """Metric -> value on the split that the report is about: test, else validation."""
        return dict(self._main.scores)

    @property
    def _main(self) -> SplitMetrics:
        _, metrics = self.report.main_split()
        return metrics or SplitMetrics({})

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the page, which is one file, to `path`."""
        shutil.copyfile(self.folder / layout.REPORT_HTML, path)

    def __repr__(self) -> str:
        lines = [terminal.score_text(self._main)] if self._main.scores else ["no examples to judge"]
        lines += [f"{self.folder / layout.REPORT_HTML}"]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        return notebook_page.as_frame(self.folder / layout.REPORT_HTML)


@dataclasses.dataclass(frozen=True, repr=False)
class FitResult:
    """What `tltf.fit` gives: the model and its report.

    Args:
        report: of the run.
        folder: the run folder, the same as the command writes.
    """

    report: RunReport
    folder: pathlib.Path

    @functools.cached_property
    def model(self) -> TransferModel:
        """The trained model, as `tltf.load` gives it.

        Raises:
            ModelError: a cross-validation, which has a model per fold.
        """
        folds = layout.folds_of(self.folder)
        if not (self.folder / layout.MODEL).exists() and folds:
            what = f"{self.folder} is a cross-validation: it has {len(folds)} models"
            fix = (
                f"tltf.load({str(folds[0])!r}) is the model of one fold; split='holdout(test=0)' trains "
                "one model on all rows"
            )
            raise ModelError(what, fix=fix)
        return loading.load(self.folder)

    def export(self, folder: str | os.PathLike[str], version: int = 1) -> pathlib.Path:
        """Writes a SavedModel for TF Serving below `folder`, checks it in a clean process, and returns its path.

        Args:
            folder: made where missing; TF Serving takes it as the base path of a model.
            version: number of the folder below it.

        Raises:
            TltfError: the folder is taken, or the export differs from the model.
        """
        call = call_strings.pick(FORMATS, checks.EXPORT_FORMAT, "format")
        path: pathlib.Path = call.build(self.model, pathlib.Path(folder), version, True).finish()
        return path

    def __repr__(self) -> str:
        return f"FitResult({self.report!r})"

    def _repr_html_(self) -> str:
        return self.report._repr_html_()


def fit(
    data: Any,
    *,
    backbone: str = "usual",
    text: str = "",
    image: str = "",
    label: str = in_memory.LABEL,
    validation: Any = None,
    test: Any = None,
    class_names: Sequence[str] = (),
    root: str = "",
    output: str | os.PathLike[str] = "",
    callbacks: Sequence[keras.callbacks.Callback] = (),
    **flags: bool | float | str,
) -> FitResult:
    """Trains, evaluates and reports a transferred model on data that the program holds.

    The rows go through the same scan, splits and errors as those of files. The run folder is the one
    that `python -m tltf.train` writes, but for the data.

    >>> import tltf
    >>> texts = ["what a fine day", "a good film", "awful", "a bad day"] * 12
    >>> labels = ["good", "good", "bad", "bad"] * 12
    >>> texts = [f"{text} {number}" for number, text in enumerate(texts)]
    >>> result = tltf.fit((texts, labels), backbone="small_lstm", train_epochs=1)
    ... # doctest: +ELLIPSIS
    verdict ...
    >>> result.model.predict(["a fine film"])[0].label in ("good", "bad")
    True

    Args:
        data: a pandas DataFrame, or a dict of columns; a pair `(x, y)` of examples and labels, each a
            list, an array or a series; a `tf.data.Dataset` of such pairs; or a call string as
            --data takes it. Pictures are uint8 arrays [H, W] or [H, W, C], paths, encoded bytes or
            pictures of Pillow.
        backbone: the pretrained network, as --backbone takes it; `usual` is efficientnet_lite0 for
            pictures and minilm_l6 for texts, and `auto` tries some on the training rows.
        text: column of texts in a frame or a dict; `question|answer` are two texts per example.
        image: column of pictures.
        label: column of labels; `height|width` are several.
        validation: rows to choose on, of the same form as `data`; None draws them from `data`.
        test: rows to judge on; None draws them from `data`.
        class_names: names of labels that are whole numbers from 0.
        root: folder that paths of pictures are relative to; empty: the working directory.
        output: the run folder; empty: a temporary one, which is printed.
        callbacks: callbacks of Keras, called after tltf's own.
        flags: any flag of `python -m tltf.train` by its name, such as `method="lora(rank=8)"` or
            `budget_minutes=30`. Nothing is exported unless `export=True`. Presets but `quick` take data as a
            call string alone.

    Raises:
        FlagError: an unknown flag, or data or columns that are not there.
        DataError: rows that cannot be used.
        TltfError: as the stages of a run raise it.
    """
    source = None
    is_usual = backbone in (checks.USUAL, checks.AUTO)
    known = "" if is_usual else backbone
    if is_usual and not isinstance(data, str):
        is_image = _is_image(data, "", text, image)
        known = defaults.usual_backbone("image" if is_image else "text")
        tries_others = PresetOptions(**_preset_flags(flags)).name != NONE
        backbone = known if backbone == checks.USUAL and not tries_others else backbone
    if isinstance(data, str):
        text_of_data = data
    else:
        is_image = _is_image(data, known, text, image)
        request = _request(data, is_image, text, image, label, root, tuple(class_names))
        parts = {TRAIN: data, VALIDATION: validation, TEST: test}
        given = {role: part for role, part in parts.items() if part is not None}
        source = in_memory.make_call(
            [
                in_memory.make_part(part, role if len(given) > 1 else None, is_image, label)
                for role, part in given.items()
            ],
            request,
        )
        text_of_data = source.text
    folder = os.fspath(output) or tempfile.mkdtemp(prefix="tltf-")
    given_flags = {"export": False, **flags, "data": text_of_data, "backbone": backbone}
    chosen = options.make(TrainCommandOptions, **given_flags | {"output": folder})
    with _hide_retracing():
        recipe, launch = (
            checks.resolve(chosen, source=source),
            Launch(_typed(data, backbone, flags)),
        )
        if steps.is_asked_for(recipe):
            what = f"{recipe.source.name} has several steps, and this trains one model"
            fix = "python -m tltf.train, or step=1 in the data"
            raise FlagError(what, flag="data", fix=fix)
        report = _run(chosen, recipe, callbacks, launch, source is not None)
    path = pathlib.Path(folder)
    if report is None:
        raise FlagError("a dry run has no result", flag="dry_run", fix="leave it out")
    return FitResult(RunReport(report, path), path)


def _preset_flags(flags: Mapping[str, Any]) -> dict[str, Any]:
    """Those flags that say what is tried before a run."""
    return {name: flags[name] for name in options.flags_of(PresetOptions) if name in flags}


def _run(
    chosen: TrainCommandOptions,
    recipe: Recipe,
    callbacks: Sequence[keras.callbacks.Callback],
    launch: Launch,
    is_in_memory: bool,
) -> Report | None:
    """The run, or what a preset tries before it and makes of it.

    Raises:
        FlagError: trials, which are processes of their own, cannot read the data or call the callbacks.
    """
    if chosen.presets.name == NONE:
        own, recipe = automatic.choose_network(options.run_options(chosen), recipe)
        return rounds.run(own, recipe, callbacks, launch)
    from tltf.experiments.presets import preset_run  # brings the search, needed here alone

    if callbacks:
        what = "trains several times, also in processes of their own, which call no callbacks"
        raise FlagError(what, flag="preset", fix="leave callbacks or preset out")
    if is_in_memory and chosen.presets.name != QUICK:
        what = "tries trainings in processes of their own, which cannot read data of this program"
        fix = "preset='quick', or data as a call string, such as 'csv(path=all.csv)'"
        raise FlagError(what, flag="preset", fix=fix)
    return preset_run.run(chosen, recipe, launch)


def _typed(data: Any, backbone: str, flags: Mapping[str, bool | float | str]) -> str:
    """The call of `fit` with its flags; data in memory are named by their type."""
    first = repr(data) if isinstance(data, str) else f"<{type(data).__name__}>"
    given = {"backbone": backbone, **flags}
    return (
        f"tltf.fit({', '.join([first, *(f'{name}={value!r}' for name, value in given.items())])})"
    )


def judge(
    run: FitResult | str | os.PathLike[str],
    data: Any,
    *,
    text: str = "",
    image: str = "",
    label: str = "",
    class_names: Sequence[str] = (),
    root: str = "",
    output: str | os.PathLike[str] = "",
    **flags: bool | float | str,
) -> RunReport:
    """Judges a run on labelled examples that it has not seen, as `python -m tltf.evaluate` does.

    The report stands beside that of the run's own test split, and says how many of the examples the
    run was trained on.

    Args:
        run: what `tltf.fit` gave, or a run folder.
        data: labelled examples in any form that `tltf.fit` takes.
        text: column of texts in a frame or a dict; empty: the one that the run was trained on.
        image: column of pictures, likewise.
        label: column of labels, likewise.
        class_names: names of labels that are whole numbers from 0.
        root: folder that paths of pictures are relative to; empty: the working directory.
        output: folder of the report; empty: the next one in `evaluations` of the run folder.
        flags: any flag of `python -m tltf.evaluate` by its name, such as `rows="test"`.

    Raises:
        FlagError: an unknown flag, no run, or data or columns that are not there.
        DataError: rows that cannot be used, or of classes that the run does not know.
    """
    path = pathlib.Path(run.folder if isinstance(run, FitResult) else run)
    trained, source = runs_folder.read_options(path), None
    if not isinstance(data, str):
        written = call_strings.read_arguments(trained.data.data) if _is_table(data) else {}
        text, image = (text, image) if text or image else _columns(written)
        is_image = _is_image(data, trained.model.backbone, text, image)
        label = label or str(written.get("label", in_memory.LABEL))
        request = _request(data, is_image, text, image, label, root, tuple(class_names))
        source = in_memory.make_call([in_memory.make_part(data, None, is_image, label)], request)
    folder = pathlib.Path(output or run_evaluation.next_folder(os.fspath(path)))
    chosen = options.make(
        EvaluateOptions,
        **{
            **flags,
            "run": os.fspath(path),
            "data": source.text if source else data,
            "output": os.fspath(folder),
        },
    )
    call = source or checks.pick_source(chosen.data, chosen.output)
    with _hide_retracing():
        return RunReport(run_evaluation.run(chosen, call), folder)


def _columns(written: Mapping[str, Any]) -> tuple[str, str]:
    """`(text, image)`: the columns that a run was trained on, of the arguments of its --data."""
    return str(written.get("text", "")), str(written.get("image", ""))


@contextlib.contextmanager
def _hide_retracing() -> Iterator[None]:
    """A block in which TensorFlow's log has errors only: it warns of every graph that it traces anew."""
    logger = logging.getLogger("tensorflow")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)


def _is_image(data: Any, backbone: str, text: str, image: str) -> bool:
    """Whether examples are pictures: as the columns say, or the backbone, or the data's own type."""
    if text or image:
        return bool(image)
    call = checks.pick_backbone(backbone) if backbone else None
    if call and call.row:
        return call.row.modality == "image"
    examples = data[0] if isinstance(data, (tuple, list)) and data else None
    if hasattr(data, "element_spec"):
        return isinstance(data.element_spec, tuple) and data.element_spec[0].dtype != "string"
    first = next(iter(examples), None) if examples is not None else None
    return first is not None and not isinstance(first, str)


def _is_table(data: Any) -> bool:
    """Whether data has columns with names: a frame or a dict."""
    return isinstance(data, Mapping) or (hasattr(data, "iloc") and hasattr(data, "columns"))


def _request(
    data: Any,
    is_image: bool,
    text: str,
    image: str,
    label: str,
    root: str,
    class_names: tuple[str, ...],
) -> MemoryRequest:
    """Which columns are read.

    Raises:
        FlagError: a frame or a dict of which no column is named.
    """
    is_table = _is_table(data)
    if not text and not image:
        name = "image" if is_image else "text"
        columns = (
            list(map(str, data.columns if hasattr(data, "columns") else data)) if is_table else []
        )
        if is_table and name not in columns:
            raise FlagError(
                f"which column holds the {name}s? (columns: {', '.join(columns)})",
                flag="data",
                fix=f"tltf.fit(frame, {name}='COLUMN', label='COLUMN', ...)",
            )
        text, image = ("", name) if is_image else (name, "")
    return MemoryRequest(text, image, label, root, class_names)

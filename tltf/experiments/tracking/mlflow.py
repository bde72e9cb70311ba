"""MLflow: a run in a tracking store, with the model as a pyfunc that takes raw inputs."""

import contextlib
import logging
import os
import pathlib
import tempfile
import time
import urllib.parse
import warnings
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from tltf.config.flag_fields import flag_text
from tltf.data.source import Source
from tltf.errors import FlagError
from tltf.experiments.tracking import examples
from tltf.experiments.tracking.report_numbers import numbers_of
from tltf.experiments.tracking.tracker import EpochRow, FinishedRun, TrackedPlace, TrackedRun
from tltf.models import raw_inputs
from tltf.runs import layout
from tltf.runs.versions import installed_versions

if TYPE_CHECKING:
    from tltf.models.transfer_model import TransferModel

SETTINGS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_LOGGING_LEVEL": "ERROR",
}
"""What the environment says to MLflow where it does not say otherwise: a server that is gone must not
hold up each epoch for minutes, as its own retries would, and its notes must not stand between the
lines of a run."""
MODEL, MODEL_CODE = "model", pathlib.Path(__file__).with_name("mlflow_model.py")
PACKAGE = pathlib.Path(__file__).parents[2]
"""The folder of tltf."""
MOST_PARAMETERS = 100
"""Parameters that MLflow takes at once."""
MOST_LETTERS = 6000
"""Of a parameter's value."""
NEEDED = (
    "absl-py",
    "filelock",
    "jinja2",
    "keras",
    "keras-hub",
    "matplotlib",
    "numpy",
    "pandas",
    "pillow",
    "safetensors",
    "scikit-learn",
    "scipy",
    "tensorflow",
    "tqdm",
)
"""Packages that a logged model needs."""
NUM_EXAMPLES = 2
"""Inputs that a logged model has as its examples."""


def check(uri: str, experiment: str, model: bool) -> None:
    """Raises FlagError for arguments that no run can take."""
    if urllib.parse.urlsplit(uri).password:
        what = "a password in mlflow(uri=...) would be written into run.flags and the report"
        fix = "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or all of MLFLOW_TRACKING_URI, in the environment"
        raise FlagError(what, flag="track", fix=fix)
    if uri.startswith(("file:", ".", "/")):
        what = f"MLflow keeps no runs in a plain folder any more (received uri={uri})"
        raise FlagError(what, flag="track", fix="--track='mlflow(uri=sqlite:///mlflow.db)'")
    if not experiment:
        fix = "--track='mlflow(experiment=tltf)'"
        raise FlagError("mlflow(experiment=...) must not be empty", flag="track", fix=fix)


class MlflowTracker:
    """A run of MLflow.

    It gets the flags as parameters, the numbers of each epoch and of the report as metrics, the pages
    of the report and a table of the worst mistakes as artifacts, and the model. The model is a pyfunc:
    `mlflow.pyfunc.load_model(...).predict(frame)` takes a column of texts, or of the bytes of image
    files, and gives answers and probabilities. It brings tltf's own code, so that a machine needs only
    the packages that it lists. An epoch that is run again is a second value at the same step. The
    folds of a cross-validation are its child runs.

    Args:
        uri: the tracking store, such as `sqlite:///mlflow.db` or `https://HOST`; empty: what the
            environment's MLFLOW_TRACKING_URI says, else MLflow's own default, a database in the
            working directory.
        experiment: the name of the experiment; made where it is missing.
        model: whether the model is logged.
    """

    def __init__(self, uri: str = "", experiment: str = "tltf", model: bool = True) -> None:
        self.uri, self.experiment, self.logs_model = uri, experiment, model
        self._client: Any = None
        self._id = ""

    def start(self, run: TrackedRun) -> TrackedPlace:
        """Begins a run, or continues the one with the same id; one that is gone is begun anew."""
        with _quiet():
            import mlflow

            self.uri = _absolute(self.uri or mlflow.get_tracking_uri())
            self._client = mlflow.MlflowClient(self.uri)
            if not self._continues(run.id):
                self._id = self._new_run(run)
            experiment = self._client.get_run(self._id).info.experiment_id
        return TrackedPlace(self._id, _place_text(self.uri, experiment, self._id))

    def _continues(self, known_id: str) -> bool:
        """Whether a run that was begun before is there, which then runs on."""
        from mlflow.exceptions import MlflowException

        if not known_id:
            return False
        try:
            self._client.update_run(known_id, status="RUNNING")
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            return False
        self._id = known_id
        return True

    def _new_run(self, run: TrackedRun) -> str:
        """Makes a run with the flags as its parameters; returns its id."""
        from mlflow.entities import Param

        tags = {"mlflow.source.name": "tltf", "tltf.folder": str(run.folder.absolute())}
        if run.group_id:
            tags["mlflow.parentRunId"] = run.group_id
        made = self._client.create_run(self._experiment_id(), tags=tags, run_name=run.name)
        params = [Param(name, _text(value)) for name, value in run.flags.items()]
        for start in range(0, len(params), MOST_PARAMETERS):
            part = params[start : start + MOST_PARAMETERS]
            self._client.log_batch(made.info.run_id, params=part)
        return made.info.run_id

    def _experiment_id(self) -> str:
        found = self._client.get_experiment_by_name(self.experiment)
        if found:
            return found.experiment_id
        return self._client.create_experiment(self.experiment, _artifacts_of(self.uri))

    def log_epoch(self, row: EpochRow) -> None:
        """Adds the numbers of the epoch at its step."""
        self._metrics(row.numbers, row.number)

    def finish(self, finished: FinishedRun | None) -> None:
        """Sends what the report says, and the model; a run that has stopped is KILLED until it goes on."""
        with _quiet():
            if finished:
                self._send_report(finished)
                if self.logs_model and finished.model:
                    self._log_model(finished.model, finished.folder)
            self._client.set_terminated(self._id, "FINISHED" if finished else "KILLED")

    def _metrics(self, numbers: Mapping[str, float], step: int) -> None:
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        metrics = [Metric(_name(name), value, now, step) for name, value in numbers.items()]
        with _quiet():
            self._client.log_batch(self._id, metrics=metrics)

    def _send_report(self, finished: FinishedRun) -> None:
        self._metrics(numbers_of(finished.report), 0)
        for name in (layout.REPORT_HTML, layout.REPORT_JSON, layout.MODEL_CARD):
            if (finished.folder / name).exists():
                self._client.log_artifact(self._id, str(finished.folder / name))
        rows = examples.rows_of(finished.report)
        if rows:
            text = examples.markdown_of(rows, examples.COLUMNS)
            self._client.log_text(self._id, text, "mistakes.md")

    def _log_model(self, model: "TransferModel", folder: pathlib.Path) -> None:
        """Logs the run's model folder as a pyfunc, with its signature."""
        import mlflow
        from mlflow.models import infer_signature

        inputs = _example_frame(model)
        signature = None if inputs is None else infer_signature(inputs, model.predict(inputs))
        before = mlflow.get_tracking_uri()
        with tempfile.TemporaryDirectory() as place:
            code = pathlib.Path(place, MODEL_CODE.name)
            code.write_text(MODEL_CODE.read_text(encoding="utf-8"), encoding="utf-8")
            try:
                mlflow.set_tracking_uri(self.uri)
                with mlflow.start_run(run_id=self._id, nested=mlflow.active_run() is not None):
                    mlflow.pyfunc.log_model(
                        name=MODEL,
                        python_model=str(code),
                        artifacts={MODEL: str(folder / layout.MODEL)},
                        code_paths=[str(PACKAGE)],
                        pip_requirements=[
                            f"{name}=={version}"
                            for name, version in installed_versions(NEEDED).items()
                        ],
                        signature=signature,
                    )
            finally:
                mlflow.set_tracking_uri(before)


def _example_frame(model: "TransferModel") -> Any:
    """pandas.DataFrame of a few inputs of the run's own data, a column per field; None without data."""
    import pandas

    part: Source | None = next(iter(model.splits.values()), None)
    if part is None:
        return None
    few = part.take(np.arange(min(NUM_EXAMPLES, len(part))))
    if few.modality == "image":
        return pandas.DataFrame({name: raw_inputs.encode_column(few.column) for name in few.fields})
    return pandas.DataFrame({name: list(column.values) for name, column in few.fields.items()})


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """A block in which MLflow does what SETTINGS say, and neither it nor its database says more."""
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    database = logging.getLogger("alembic")
    level = database.level
    database.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        database.setLevel(level)


def _absolute(uri: str) -> str:
    """The URI of a store that means the same from every working directory."""
    path = uri.removeprefix("sqlite:///")
    is_relative = path != uri and path not in ("", ":memory:")
    return f"sqlite:///{os.path.abspath(os.path.expanduser(path))}" if is_relative else uri


def _artifacts_of(uri: str) -> str | None:
    """Where the files of an experiment in a database file go: beside it; None leaves it to the server."""
    path = uri.removeprefix("sqlite:///")
    return None if path == uri else (pathlib.Path(path).parent / "mlartifacts").as_uri()


def _place_text(uri: str, experiment: str, run_id: str) -> str:
    if uri.startswith("http"):
        return f"{uri.rstrip('/')}/#/experiments/{experiment}/runs/{run_id}"
    return f"mlflow ui --backend-store-uri {uri}"


def _text(value: bool | float | str | None) -> str:
    """A flag's value as a parameter, which is never empty."""
    return flag_text(value)[:MOST_LETTERS] or "empty"


def _name(name: str) -> str:
    """A name of a metric with the characters that MLflow takes."""
    return "".join(letter if letter.isalnum() or letter in "_-. :/" else "_" for letter in name)

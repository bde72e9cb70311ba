"""The names of all files in a run folder; no other file of tltf spells them."""

import pathlib
import re
import shlex
from collections.abc import Sequence

from tltf.console import streams

FLAGS = "run.flags"
"""Every flag of the run."""
STATUS, ORIGIN = "status.json", "origin.json"
"""How far the run is; what it was started from besides its flags."""
LOCK, LOCK_OWNER = ".lock", ".lock.owner"
CONSOLE_LOG = streams.LOG
"""What was printed after the reader of standard output had gone."""
METRICS = "metrics.jsonl"
"""One line per epoch."""
REPORT_HTML, REPORT_MARKDOWN, REPORT_JSON = "report.html", "report.md", "report.json"
COMPARISON_HTML, COMPARISON_JSON = "comparison.html", "comparison.json"
"""Runs beside each other."""
RANKING_HTML, RANKING_JSON = "ranking.html", "ranking.json"
"""Networks in the order of a score of their features."""
ADVICE, ADVICE_HTML, ADVICE_JSON = "advice", "advice.html", "advice.json"
PRESET_PLAN, PRESET_CHOICE = "preset_plan.json", "preset_choice.json"
"""In the folder of the advice: what a preset tries, and what it has chosen."""
"""In a run folder, the folder of the advice that it followed; the page about a data set, and the same as JSON."""
SEARCH = "search"
"""In a run folder, the folder of the search whose best trial the run is."""
SEARCH_FLAGS, SEARCH_JOURNAL, SEARCH_LOCK = "search.flags", "trials.journal", ".lock.search"
"""The flags of a search, its trials, and the lock of what only one process may do at a time."""
TRIALS, TRIAL_LOCK, SCORE = "trials", ".lock.trial", "score.json"
"""The folder of the trials' run folders; in each, the lock of its process, and how good it is on validation."""
SEARCH_JSON, BEST_FLAGS, RETRAINED = "search.json", "best.flags", "retrained"
"""What a search found, its best configuration, and the run of that on training and validation rows."""
EXPLANATIONS_HTML, EXPLANATIONS_ROWS = "explanations.html", "explanations.jsonl"
"""What answers rest on."""
UPDATE_JSON = "update.json"
"""What an update changed on the old and on the new test rows, and whether it was published."""
STEPS_HTML, STEPS_JSON = "steps.html", "steps.json"
"""How accurate the run of each step is on the test rows of every step."""
CARRIED = "carried.safetensors"
"""What a method leaves for the run that goes on from this one."""
MODEL_CARD = "model_card.md"
"""What the model is, for those who are given it."""
PREDICTIONS = "predictions.csv"
"""The model's answers on the test split."""
DATA_REPORT = "data_report.jsonl"
"""Faults, left-out rows and near duplicates in the data."""
SAMPLES = "samples.html"
"""Training examples as a network sees them, which tltf.check writes."""
TRAINED_ROWS = "trained_rows.bin"
"""Hashes of the rows that the run trained on."""
REFERENCE = "reference.safetensors"
"""What the model said of rows that it was not trained on, with which live rows are compared."""
MONITOR_STATE, MONITOR_HTML = "monitor.json", "monitor.html"
"""How far live rows were looked at, with what was found; the page about them."""
ADAPTER = "adapter.safetensors"
"""The trained variables alone, for methods that train few."""
MODEL, CORE, WEIGHTS, ASSETS = "model", "core.json", "core.safetensors", "assets"
"""The folder of the model, and the files in it."""
CHECKPOINTS, TENSORBOARD, WANDB, ROUNDS = "checkpoints", "tensorboard", "wandb", "rounds"
SNAPSHOTS = "snapshots"
"""The weights at the end of each fall of the learning rate."""
NETWORKS = (CHECKPOINTS, MODEL, SNAPSHOTS)
"""The folders of weights, which are removed where a network is not kept."""
STEPS, MEMORY = "steps", "memory"
"""The runs of the steps of a sequence; which rows each of them leaves to later ones."""
DISTILLED = "distilled"
"""In the folder of an ensemble, the run of a network that learned its answers."""
TASKS = "tasks"
"""The folder with a folder per task of a run of several heads: its report and predictions."""
PROJECTOR_FEATURES, PROJECTOR_LABELS = "features.tsv", "labels.tsv"
PROJECTOR_PICTURES = "pictures.png"
"""What TensorBoard's embedding projector shows; in the folder TENSORBOARD."""
TRACKED_RUNS = "tracked_runs.json"
"""Call string of a tracker -> the id that the run has there, by which it is continued."""
EXPORT, EVALUATIONS, COMPARISONS = "export", "evaluations", "comparisons"
EXPLANATIONS = "explanations"
"""Folders of numbered versions."""
MONITOR = "monitor"
"""The folder of what tltf.monitor writes."""
FORMATS_JSON, FORMATS_MARKDOWN = "table.json", "table.md"
"""In the folder of the exports: the formats beside each other."""
EXPORT_FACTS = "tltf.json"
"""In an export: what a program must know to use it."""
SERVED_FORMAT = "saved_model"
"""The format whose versions lie in the folder of the exports itself, where TF Serving looks for them."""

OF_A_RUN = (FLAGS, STATUS, ORIGIN, LOCK, LOCK_OWNER, CONSOLE_LOG)
"""Files that mark a folder as a run's and describe the run."""
OF_A_TRAINING = (
    METRICS,
    ADAPTER,
    REPORT_HTML,
    REPORT_MARKDOWN,
    REPORT_JSON,
    MODEL_CARD,
    PREDICTIONS,
    DATA_REPORT,
    SAMPLES,
    TRAINED_ROWS,
    TRACKED_RUNS,
    REFERENCE,
    CARRIED,
    SCORE,
    STEPS_HTML,
    STEPS_JSON,
)
"""Files that a training writes and --overwrite removes."""
OF_A_TASK = (REPORT_HTML, REPORT_MARKDOWN, REPORT_JSON, PREDICTIONS, REFERENCE)
"""Files in the folder of each task of a run of several heads."""
FOLDERS_OF_A_TRAINING = {
    CHECKPOINTS: r"[0-9]+(\.[0-9]+)?(\.part)?",
    SNAPSHOTS: r"epoch_[0-9]+\.safetensors",
    MODEL: r"v[0-9]+|core\.json",
    MEMORY: r"[0-9]+\.json",
    WANDB: r"(offline-)?run-.+|latest-run|debug(-internal)?\.log|wandb-resume\.json",
}
"""Folder -> pattern of the names in it that a training writes."""


def folds_of(run: pathlib.Path) -> list[pathlib.Path]:
    """The run folders of the folds of a cross-validation, in their order; [] for other runs."""
    found = (path for path in (run / ROUNDS).glob("*") if path.name.isdecimal() and path.is_dir())
    return sorted(found, key=lambda path: int(path.name))


def steps_of(run: pathlib.Path) -> list[pathlib.Path]:
    """The run folders of the steps of a sequence, in their order; [] for other runs."""
    found = (path for path in (run / STEPS).glob("*") if path.name.isdecimal() and path.is_dir())
    return sorted(found, key=lambda path: int(path.name))


def trial_folder(search: pathlib.Path | str, number: int) -> pathlib.Path:
    """The run folder of a trial of a search, whose numbers count from 0."""
    return pathlib.Path(search) / TRIALS / f"{number:03d}"


def planned_flags(number: int) -> str:
    """The name of the flagfile of a run of an advice, whose numbers count from 1."""
    return f"plan_{number}.flags"


def task_folder(run: pathlib.Path | str, task: str) -> pathlib.Path:
    """The folder of a task of a run of several heads."""
    return pathlib.Path(run) / TASKS / task


def served_name(run: pathlib.Path | str) -> str:
    """The name under which a server has the model of a run: that of its folder, for a URL."""
    name = re.sub(r"[^A-Za-z0-9_.-]", "_", pathlib.Path(run).absolute().name).lstrip("._-")
    return name or "model"


def format_folder(
    exports: pathlib.Path | str, name: str, variant: Sequence[str] = ()
) -> pathlib.Path:
    """The folder of the versions of a format.

    Args:
        exports: the folder of the exports. TF Serving sees the numbers in it alone, so that the
            folders of other formats may lie beside them.
        name: of the format, as its call string has it.
        variant: arguments by which its exports differ, such as `int8`.
    """
    folder = pathlib.Path(exports)
    if name == SERVED_FORMAT:
        return folder
    return folder / re.sub(r"[^A-Za-z0-9_.-]", "_", "_".join([name, *variant]))


def next_version(exports: pathlib.Path | str) -> int:
    """One more than the largest version of any format, so that one number is one call of the export."""
    folder = pathlib.Path(exports)
    found = [*folder.glob("*"), *folder.glob("*/*")]
    return max((int(path.name) for path in found if path.name.isdecimal()), default=0) + 1


def serve_command(export: pathlib.Path | str, run: pathlib.Path | str) -> str:
    """The command that serves an export with TF Serving.

    Args:
        export: the folder of its versions.
        run: the run folder, whose name the server gives to the model.
    """
    name = served_name(run)
    volume = shlex.quote(f"{pathlib.Path(export).absolute()}:/models/{name}")
    return f"docker run -p 8501:8501 -v {volume} -e MODEL_NAME={name} tensorflow/serving"

"""The names of what stands in a run folder; no other file spells them."""

from tltf.console import streams

FLAGS = "run.flags"
"""Every flag of the run."""
STATUS, ORIGIN = "status.json", "origin.json"
"""How far the run is; what it was begun with beside its flags."""
LOCK, LOCK_OWNER = ".lock", ".lock.owner"
CONSOLE_LOG = streams.LOG
"""What was printed after nobody read on."""
METRICS = "metrics.jsonl"
"""A line for each epoch."""
REPORT_HTML, REPORT_MARKDOWN, REPORT_JSON = "report.html", "report.md", "report.json"
PREDICTIONS = "predictions.csv"
"""The answers on the test split."""
DATA_REPORT = "data_report.jsonl"
"""Faults, left-out rows and near duplicates of the data."""
TRAINED_ROWS = "trained_rows.bin"
"""Hashes of the rows that were trained on."""
ADAPTER = "adapter.safetensors"
"""What was trained, where that is little."""
MODEL, CORE, WEIGHTS, ASSETS = "model", "core.json", "core.safetensors", "assets"
"""The folder of the model, and what stands in it."""
CHECKPOINTS, TENSORBOARD, ROUNDS = "checkpoints", "tensorboard", "rounds"
EXPORT, EVALUATIONS = "export", "evaluations"
"""Folders of numbered versions."""

OF_A_RUN = (FLAGS, STATUS, ORIGIN, LOCK, LOCK_OWNER, CONSOLE_LOG)
"""What says that a folder is a run's, and whose."""
OF_A_TRAINING = (
    METRICS,
    ADAPTER,
    REPORT_HTML,
    REPORT_MARKDOWN,
    REPORT_JSON,
    PREDICTIONS,
    DATA_REPORT,
    TRAINED_ROWS,
)
"""Files that a training writes and --overwrite removes."""
FOLDERS_OF_A_TRAINING = {
    CHECKPOINTS: r"[0-9]+(\.[0-9]+)?(\.part)?",
    MODEL: r"v[0-9]+|core\.json",
}
"""Folder -> the names in it that are tltf's."""

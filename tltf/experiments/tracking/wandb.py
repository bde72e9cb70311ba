"""Weights & Biases: a run there, or its files in RUN/wandb to be sent later."""

import os
from typing import Any

from tltf.errors import FlagError, choices_text
from tltf.experiments.tracking import examples
from tltf.experiments.tracking.report_numbers import numbers_of
from tltf.experiments.tracking.tracker import EpochRow, FinishedRun, TrackedPlace, TrackedRun
from tltf.runs import layout, model_folder

MODES = ("auto", "online", "offline")
INIT_TIMEOUT_S, FINISH_TIMEOUT_S = 30.0, 120.0
"""The most seconds that a run waits for an answer when it begins, and for what is left to be sent."""


def check(project: str, entity: str, mode: str, model: bool) -> None:
    """Raises FlagError for arguments that no run can take."""
    if mode not in MODES:
        what = f"wandb(mode=...) takes {choices_text(mode, MODES)} (received {mode})"
        raise FlagError(what, flag="track", fix="--track='wandb(mode=auto)'")
    if not project:
        fix = "--track='wandb(project=tltf)'"
        raise FlagError("wandb(project=...) must not be empty", flag="track", fix=fix)


class WandbTracker:
    """A run of Weights & Biases.

    It gets the flags as its configuration, the numbers of each epoch, the numbers of the report as
    its summary, the worst mistakes as pictures or as a table, and the pages of the report as an
    artifact. Its x-axis is the epoch, so an epoch that is run again stands twice at the same place.
    The folds of a cross-validation are a group.

    Args:
        project: where the run is listed.
        entity: the user or the team that the project belongs to; empty for the default one.
        mode: `online`; `offline`, which keeps the run in RUN/wandb until `wandb sync` sends it; or
            `auto`, which is what the environment's WANDB_MODE says, else offline where no key is
            known.
        model: whether the run's model folder is sent too, as an artifact.
    """

    def __init__(
        self, project: str = "tltf", entity: str = "", mode: str = "auto", model: bool = False
    ) -> None:
        self.project, self.entity, self.mode, self.sends_model = project, entity, mode, model
        self._run: Any = None

    def start(self, run: TrackedRun) -> TrackedPlace:
        """Begins a run, or continues the one with the same id."""
        import wandb

        mode = self._mode()
        settings = wandb.Settings(
            silent=True,
            console="off",
            save_code=False,
            init_timeout=INIT_TIMEOUT_S,
            finish_timeout=FINISH_TIMEOUT_S,
        )
        self._run = wandb.init(
            project=self.project,
            entity=self.entity or None,
            dir=os.environ.get("WANDB_DIR") or str(run.folder.absolute()),
            id=run.id or None,
            name=run.name,
            group=run.group or None,
            job_type="fold" if run.group else "train",
            config=dict(run.flags),
            allow_val_change=True,
            mode=mode,
            resume="allow",
            reinit="create_new",
            settings=settings,
        )
        self._run.define_metric("epoch")
        self._run.define_metric("*", step_metric="epoch")
        send = f"offline; to send it: wandb sync {os.path.dirname(self._run.dir)}"
        return TrackedPlace(self._run.id, send if self._run.offline else self._run.url)

    def _mode(self) -> str | None:
        """The mode for W&B; None leaves it to the environment. No key is asked for at the terminal."""
        import wandb

        if self.mode != "auto":
            return self.mode
        if os.environ.get("WANDB_MODE"):
            return None
        return "online" if wandb.login(prompt=False) else "offline"

    def log_epoch(self, row: EpochRow) -> None:
        """Adds the numbers of the epoch, with it as the place on the x-axis."""
        self._run.log({**row.numbers, "phase": row.phase, "epoch": row.number})

    def finish(self, finished: FinishedRun | None) -> None:
        """Sends what the report says; a run that has stopped is marked as failed until it goes on."""
        if finished:
            self._send_report(finished)
        self._run.finish(exit_code=0 if finished else 1)

    def _send_report(self, finished: FinishedRun) -> None:
        import wandb

        self._run.summary.update(numbers_of(finished.report))
        mistakes = _mistakes(finished)
        if mistakes is not None:
            self._run.log({"mistakes": mistakes})
        artifact = wandb.Artifact(f"report-{self._run.id}", "report")
        for name in (layout.REPORT_HTML, layout.REPORT_JSON, layout.MODEL_CARD):
            if (finished.folder / name).exists():
                artifact.add_file(str(finished.folder / name))
        self._run.log_artifact(artifact)
        if self.sends_model and finished.model:
            artifact = wandb.Artifact(f"model-{self._run.id}", "model")
            folder = finished.folder / layout.MODEL
            for name in model_folder.files_in(folder):
                artifact.add_file(str(folder / name), name=name)
            self._run.log_artifact(artifact)


def _mistakes(finished: FinishedRun) -> Any:
    """The worst mistakes as pictures with captions, or as a table; None without mistakes."""
    import wandb

    shown = list(examples.pictures_of(finished.report))
    if shown:
        return [wandb.Image(image, caption=caption) for caption, image in shown]
    rows = [list(row) for row in examples.rows_of(finished.report)]
    return wandb.Table(columns=list(examples.COLUMNS), data=rows) if rows else None

"""From options to a trained model.

`one_run.run` is what `python -m tltf.train` calls; a notebook calls the same functions.
"""

import contextlib
import dataclasses
import pathlib
import sys
import time
from collections.abc import Iterator
from typing import Any

import tensorflow as tf

from tltf.config import checks as config_checks
from tltf.config.options import Options, flag_text, flat
from tltf.config.recipe import Recipe
from tltf.data import fingerprint, label_kinds, loader, lookups, scan_report
from tltf.graphs.core import with_head
from tltf.methods.context import FitContext
from tltf.models import adapters, loading, saving
from tltf.models.adapters import Adapter
from tltf.models.trained import Trained
from tltf.runs import folder, layout, metrics_log
from tltf.training import datasets, disk_space
from tltf.training import fit as training_fit
from tltf.training.assembly import assemble
from tltf.training.callbacks.log_epochs import NoLog
from tltf.training.distribution import strategies
from tltf.training.fit import Fit
from tltf.training.plan import plan_text


def train(options: Options, recipe: Recipe | None = None) -> Trained:
    """A trained model; saved in RUN/model where --output is given.

    Args:
        options: Options; `data` and `backbone` must be given.
        recipe: what their call strings name; None: they are resolved here.

    Returns:
        Trained, with the options that were really used. After --dry_run its weights are
        as they were.
    """
    recipe = recipe or config_checks.resolve(options, needs_output=False)
    with folder.claim_folder(options.output) as run_folder:
        clock, strategy = _Clock(), strategies.start(options.runtime)
        trained, method = _assembled(options, recipe, run_folder, strategy, clock)
        if options.output.dry_run:
            _show_plan(trained, method, strategy)
            return trained
        logs = run_folder if folder.is_chief() else None
        if logs:
            _begin(trained, logs)
        if "logistic" in recipe.baselines:
            trained.frozen_features = datasets.frozen_features(trained)
        clock.lap("baseline")
        with _log_of(logs) as log, _named_files(trained):
            fit = _prepared_fit(trained, method, strategy, run_folder, log)
            fit.train()
        _take_over(trained, fit, clock, logs)
        if logs:
            saving.save(trained, logs)
            folder.write_status(logs, "trained")
        return trained


def _assembled(
    options: Options, recipe: Recipe, run_folder: Any, strategy: Any, clock: Any
) -> tuple[Trained, Any]:
    """`(Trained, Method)` before the first step."""
    with scan_report.write_on_failure(_report_folder(run_folder)):
        parts = loader.training_parts(options, recipe, options.data.near_duplicates)
    clock.lap("scan")
    trained, method = assemble(options, recipe, parts, strategy)
    clock.lap("build")
    trained.times_s = clock.laps
    return trained, method


def _show_plan(trained: Any, method: Any, strategy: Any) -> None:
    """What --dry_run prints."""
    with strategy.scope():
        context = FitContext(trained.class_names, load_model=loading.load)
        changed = method.prepare(trained.core, context)
    print(plan_text(trained, changed, method))
    method.release(changed)


def _begin(trained: Any, run_folder: Any) -> None:
    """Notes in the run folder what the run is begun with."""
    folder.begin(
        run_folder,
        trained.options,
        "python -m tltf.train --flagfile=run.flags --output=NEW",
        fingerprint.fingerprints(trained.splits),
    )
    scan_report.write(run_folder, trained.splits["train"].scan)


@contextlib.contextmanager
def _log_of(logs: Any) -> Iterator[Any]:
    """A block with the log of a run folder, or with one that keeps nothing."""
    log = metrics_log.MetricsLog(logs / layout.METRICS) if logs else NoLog()
    try:
        yield log
    finally:
        log.close()


@contextlib.contextmanager
def _named_files(trained: Any) -> Iterator[Any]:
    """A block whose errors of TensorFlow name the file that cannot be decoded."""
    try:
        yield
    except tf.errors.OpError as error:
        found = (lookups.unreadable(part) for part in trained.splits.values())
        raise next(filter(None, found), error) from error


def _report_folder(run_folder: pathlib.Path | None) -> pathlib.Path | None:
    """Where faults of the data are listed: not in a finished run, whose report is of other data."""
    writes = run_folder and folder.is_chief() and folder.read_status(run_folder) != "finished"
    return run_folder if writes else None


def _prepared_fit(trained: Any, method: Any, strategy: Any, run_folder: Any, log: Any) -> Any:
    """The Fit, after what it needs and is going to do has been checked and shown."""
    options, is_writer = trained.options, folder.is_chief()
    feed = datasets.build(trained, strategy)
    fit = training_fit.Fit(
        trained.core, method, feed, options, strategy, log, run_folder, is_writer
    )
    weights_bytes = disk_space.num_bytes(trained.core.model.weights)
    fit.prepare(FitContext(feed.class_names, feed.fingerprint, loading.load))
    print(plan_text(trained, fit.core, method), file=sys.stderr)
    if run_folder and is_writer:
        needs = disk_space.needs_of(
            fit.core, method, options, "validation" in trained.splits, weights_bytes
        )
        disk_space.require(run_folder, needs)
    return fit


def _take_over(trained: Any, fit: Any, clock: Any, logs: Any) -> None:
    """Puts what a Fit has trained into the Trained."""
    trained.history, trained.plans = fit.history, fit.plans
    clock.lap("train")
    if logs:
        trained.adapter = _adapter(trained, fit)
        clock.lap("adapter")
    trained.core = fit.finish()
    trained.above = fit.above
    _tune_head(trained)
    clock.lap("train")
    trained.seconds_before = fit.clock.seconds_before
    clock.laps["train"] += trained.seconds_before
    if fit.clock.first_step_s:
        trained.times_s["first_step"] = fit.clock.first_step_s


def _tune_head(trained: Trained) -> None:
    """Lets the head choose on validation what it decides by."""
    part = trained.splits.get("validation")
    if trained.core.head.target == label_kinds.CLASS or part is None:
        return
    stated = trained.scores(part, trained.options.train.eval_batch_size)
    trained.core = with_head(trained.core, trained.core.head.tune(stated, part.labels))
    if trained.adapter:
        about = trained.adapter.about | {"head": trained.core.head_spec}
        trained.adapter = dataclasses.replace(trained.adapter, about=about)


def _adapter(trained: Trained, fit: Fit) -> Adapter | None:
    """What a run that trained little leaves; None for others."""
    found = adapters.of_training(fit.core, fit.moved)
    if not found:
        return None
    arrays, base = found
    return adapters.Adapter(arrays, _about(trained) | {"base_sha256": base})


def _about(trained: Trained) -> dict[str, Any]:
    """What an adapter file tells of the run."""
    options = trained.options
    return {
        "backbone": options.model.backbone,
        "backbone_weights": options.model.backbone_weights,
        "head": trained.core.head_spec,
        "method": options.train.method,
        "modality": trained.core.backbone.modality,
        "class_names": list(trained.class_names),
        "preprocessing": trained.preprocessing.to_config(),
        "flags": {name: flag_text(value) for name, value in flat(options).items()},
    }


def fit_parts(options: Options, parts: Any) -> Trained:
    """Trained on splits that are already there, without a run folder; for baselines.

    Args:
        options: Options.
        parts: role -> Source.
    """
    recipe = config_checks.resolve(options, needs_output=False)
    strategy = strategies.start(options.runtime)
    trained, method = assemble(options, recipe, parts, strategy)
    clock = _Clock()
    trained.times_s = clock.laps
    with _log_of(None) as log, _named_files(trained):
        fit = _prepared_fit(trained, method, strategy, None, log)
        fit.train()
    _take_over(trained, fit, clock, None)
    return trained


class _Clock:
    """Seconds by stage."""

    def __init__(self) -> None:
        self.laps, self._last = dict[str, float](), time.monotonic()

    def lap(self, name: str) -> None:
        now = time.monotonic()
        self.laps[name] = self.laps.get(name, 0.0) + now - self._last
        self._last = now

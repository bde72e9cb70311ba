"""Trains a model from options.

`one_run.run` is what `python -m tltf.train` calls; a notebook calls the same functions.
"""

import contextlib
import dataclasses
import os
import pathlib
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import tensorflow as tf

from tltf.backbones import run_weights
from tltf.config import checks as config_checks
from tltf.config.call_strings import Call
from tltf.config.catalogs import Row
from tltf.config.flag_fields import flag_text
from tltf.config.options import Options, flag_values
from tltf.config.recipe import Recipe
from tltf.console import lines
from tltf.data import fingerprint, loader, lookups, scan_report
from tltf.data.source import Source, Splits
from tltf.graphs.core import Core
from tltf.methods.method import Method
from tltf.models import adapters, saving
from tltf.models.adapters import Adapter
from tltf.models.transfer_model import TransferModel
from tltf.runs import carried, folder, layout, metrics_log
from tltf.runs.carried import Carried
from tltf.training import datasets, disk_space, head_tuning, plan, served_precision
from tltf.training.assembly import assemble, context_of, count_tokens
from tltf.training.callbacks.log_epochs import EpochLog, EveryLog
from tltf.training.course import Course
from tltf.training.distribution import strategies
from tltf.training.fit import Fit
from tltf.training.result import TrainingResult

OpenLog = Callable[[pathlib.Path, Options], EpochLog]
"""Opens a log of a run's epochs, given its folder and its options with every `auto` resolved."""


def train(
    options: Options,
    recipe: Recipe | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    *,
    shows_plan: bool = True,
    open_log: OpenLog | None = None,
) -> TrainingResult:
    """Trains a model, which is saved in RUN/model where --output is given.

    Args:
        options: Options; `data` and `backbone` must be given.
        recipe: Recipe of these options; None resolves it here.
        callbacks: more callbacks for `fit`, which each phase calls after its own.
        shows_plan: whether the plan is printed before the first step.
        open_log: opens another log beside metrics.jsonl, once the run has begun; in the process that
            writes the run folder only.

    Returns:
        TrainingResult, whose model has the options that were really used. After --dry_run the
        weights of the model are untrained.
    """
    recipe = recipe or config_checks.resolve(options, needs_output=False)
    with folder.claim_folder(options.output) as run_folder:
        clock, strategy = _Clock(), strategies.start(options.runtime)
        with scan_report.write_on_failure(_report_folder(run_folder)):
            parts = loader.training_parts(options, recipe, options.data.near_duplicates)
        clock.lap("scan")
        trained, method = assemble(options, recipe, parts, strategy)
        tokens = count_tokens(trained)
        clock.lap("build")
        result = TrainingResult(trained, options, clock.laps, tokens=tokens)
        choices = plan.choices_text(trained, options, method, tokens)
        if options.output.dry_run:
            print(choices)
            _show_trained(trained, method, strategy)
            return result
        if shows_plan:
            lines.write(choices)
        logs = run_folder if folder.is_chief() else None
        if logs:
            _begin(trained, logs)
        result = _with_features(result)
        clock.lap("baseline")
        with _log_of(logs, trained.run_options, open_log) as log, _named_files(trained):
            if recipe.trackers:
                clock.lap("track")
            course = Course(trained.run_options.train, strategy.num_replicas_in_sync, callbacks)
            fit = _prepared_fit(trained, method, strategy, run_folder, log, course)
            if shows_plan:
                norm = trained.run_options.train.norm
                lines.say("trains", plan.trained_text(fit.core, method, norm))
            fit.train()
        result = _finish(result, fit, clock, has_adapter=logs is not None)
        if logs:
            saving.save(trained, logs, result.adapter)
            if method.carried:
                carried.write(logs, method.carried)
            folder.write_status(logs, "trained")
        return result


def _show_trained(trained: TransferModel, method: Method, strategy: tf.distribute.Strategy) -> None:
    """Prints what each phase would train, for --dry_run."""
    with strategy.scope():
        changed = method.prepare(trained.core, context_of(trained))
    norm = trained.run_options.train.norm
    print(*lines.wrap("disk", _disk_text(trained, changed, method)), sep="\n")
    print(*lines.wrap("trains", plan.trained_text(changed, method, norm)), sep="\n")
    print(plan.tables_text(changed, method, norm))
    method.release(changed)


def _disk_text(trained: TransferModel, core: Core, method: Method) -> str:
    """What a run writes at least, for --dry_run."""
    needs = disk_space.needs_of(
        core,
        method,
        trained.run_options,
        "validation" in trained.splits,
        disk_space.num_bytes(trained.core.model.weights),
    )
    sizes = {name: size for name, size in dataclasses.asdict(needs).items() if size}
    parts = [f"{lines.bytes_text(size)} {name}" for name, size in sizes.items()]
    return f"{lines.bytes_text(needs.total)} or more: {', '.join(parts)}"


def _with_features(result: TrainingResult) -> TrainingResult:
    """The result with the frozen features that baselines are fitted on, where they need them.

    They are computed before the method changes any layer.
    """
    trained = result.model
    names = (trained.recipe and trained.recipe.baselines) or ()
    is_needed = "logistic" in names and not datasets.is_probe_a_baseline(trained)
    if not is_needed and not {"probe", "oracle"} & set(names):
        return result
    return dataclasses.replace(result, frozen_features=datasets.frozen_features(trained))


def _begin(trained: TransferModel, run_folder: pathlib.Path) -> None:
    """Writes the options and the data of a run into its folder before the first step."""
    folder.begin(
        run_folder,
        trained.run_options,
        "python -m tltf.train --flagfile=run.flags --output=NEW",
        fingerprint.fingerprints(trained.splits),
    )
    scan_report.write(run_folder, trained.splits["train"].scan)


@contextlib.contextmanager
def _log_of(
    run_folder: pathlib.Path | None, options: Options, open_log: OpenLog | None = None
) -> Iterator[EpochLog]:
    """A block with the EpochLog of a run folder, or with one that keeps nothing."""
    logs = list[EpochLog]()
    if run_folder and open_log:
        logs.append(open_log(run_folder, options))
    if run_folder:
        logs.insert(0, metrics_log.MetricsLog(run_folder / layout.METRICS))
    log = EveryLog(logs)
    try:
        yield log
    finally:
        log.close()


@contextlib.contextmanager
def _named_files(trained: TransferModel) -> Iterator[None]:
    """A block in which an error of TensorFlow names the file that cannot be decoded."""
    try:
        yield
    except tf.errors.OpError as error:
        found = (lookups.find_unreadable(part) for part in trained.splits.values())
        raise next(filter(None, found), error) from error


def _report_folder(run_folder: pathlib.Path | None) -> pathlib.Path | None:
    """The folder for a list of the data's faults; None for a finished run, whose report stays."""
    writes = run_folder and folder.is_chief() and folder.read_status(run_folder) != "finished"
    return run_folder if writes else None


def _prepared_fit(
    trained: TransferModel,
    method: Method,
    strategy: tf.distribute.Strategy,
    run_folder: pathlib.Path | None,
    log: EpochLog,
    course: Course | None = None,
) -> Fit:
    """The Fit of a run, whose core is prepared, after the disk space that it needs was checked."""
    options, is_writer = trained.run_options, folder.is_chief()
    feed = datasets.build(trained, strategy)
    fit = Fit(trained.core, method, feed, options, strategy, log, run_folder, is_writer, course)
    weights_bytes = disk_space.num_bytes(trained.core.model.weights)
    fit.prepare(context_of(trained, feed.fingerprint, _left_before(trained)))
    if run_folder and is_writer:
        needs = disk_space.needs_of(
            fit.core, method, options, "validation" in trained.splits, weights_bytes
        )
        disk_space.require(run_folder, needs)
    return fit


def _left_before(trained: TransferModel) -> Carried | None:
    """What the method of this run has left in the run that --backbone names."""
    recipe, run = trained.recipe, trained.run_options.model.backbone
    if recipe is None or recipe.method is None or recipe.backbone or not run_weights.is_run(run):
        return None
    return carried.read(os.path.expanduser(run), recipe.method.name)


def _finish(result: TrainingResult, fit: Fit, clock: "_Clock", has_adapter: bool) -> TrainingResult:
    """The TrainingResult after a Fit has run its phases; its model becomes the trained one.

    Args:
        result: TrainingResult before the Fit.
        fit: Fit whose phases are over.
        clock: _Clock of the run.
        has_adapter: whether an Adapter is made of a small trained part; several heads have none.
    """
    trained, adapter = result.model, None
    clock.lap("train")
    if has_adapter and not trained.core.joint:
        adapter = _adapter(trained, fit)
        clock.lap("adapter")
    trained.core = fit.finish()
    trained.above = fit.above
    served_precision.to_float32(trained, fit.feed)
    if head_tuning.tune_head(trained) and adapter:
        about = adapter.about | {"head": trained.core.head_spec}
        adapter = dataclasses.replace(adapter, about=about)
    clock.lap("train")
    seconds_before = fit.clock.seconds_before
    clock.laps["train"] += seconds_before
    if fit.clock.first_step_s:
        clock.laps["first_step"] = fit.clock.first_step_s
    return dataclasses.replace(
        result,
        history=fit.history,
        probe=fit.record.probe,
        plans=tuple(fit.plans),
        seconds_before=seconds_before,
        adapter=adapter,
    )


def _adapter(trained: TransferModel, fit: Fit) -> Adapter | None:
    """The Adapter of a run that trained a small part of the weights; None for other runs."""
    found = adapters.extract(fit.core, fit.moved)
    if not found:
        return None
    arrays, base = found
    return adapters.Adapter(arrays, _about(trained) | {"base_sha256": base})


def _about(trained: TransferModel) -> dict[str, Any]:
    """The JSON-able dict in which an adapter file says how its run was trained."""
    options = trained.run_options
    return {
        "backbone": options.model.backbone,
        "backbone_weights": options.model.backbone_weights,
        "head": trained.core.head_spec,
        "method": options.train.method,
        "modality": trained.core.backbone.modality,
        "class_names": list(trained.class_names),
        "preprocessing": trained.preprocessing.to_config(),
        "flags": {name: flag_text(value) for name, value in flag_values(options).items()},
    }


def fit_parts(
    options: Options, parts: Splits | dict[str, Source], source: Call[Row] | None = None
) -> TrainingResult:
    """Trains a model on splits that are already there, without a run folder, e.g. for a baseline.

    Args:
        options: Options.
        parts: role -> Source.
        source: the call that the splits come from; None for that of --data.
    """
    recipe = config_checks.resolve(options, needs_output=False, source=source)
    strategy = strategies.start(options.runtime)
    trained, method = assemble(options, recipe, parts, strategy)
    clock = _Clock()
    with _named_files(trained):
        fit = _prepared_fit(trained, method, strategy, None, EveryLog())
        fit.train()
    return _finish(TrainingResult(trained, options, clock.laps), fit, clock, has_adapter=False)


class _Clock:
    """Measures the seconds of each stage of a run."""

    def __init__(self) -> None:
        self.laps, self._last = dict[str, float](), time.monotonic()

    def lap(self, name: str) -> None:
        """Adds the seconds since the last lap to those of a stage."""
        now = time.monotonic()
        self.laps[name] = self.laps.get(name, 0.0) + now - self._last
        self._last = now

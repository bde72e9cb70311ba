"""From options to a trained model.

`one_run.run` is what `python -m tltf.train` calls; a notebook calls the same functions.
"""

import dataclasses
import sys
import time

import tensorflow as tf

from tltf.config import checks as config_checks
from tltf.config.options import flag_text, flat
from tltf.data import fingerprint, label_kinds, loader, lookups, scan_report
from tltf.errors import FlagError
from tltf.graphs.core import with_head
from tltf.methods.context import FitContext
from tltf.models import adapters, loading, saving
from tltf.runs import folder, layout, metrics_log
from tltf.training import datasets, disk_space
from tltf.training import fit as training_fit
from tltf.training.assembly import assemble
from tltf.training.distribution import strategies
from tltf.training.plan import plan_text


def train(options):
    """A trained model; saved in RUN/model where --output is given.

    Args:
        options: Options; `data` and `backbone` must be given.

    Returns:
        Trained, with the options that were really used. After --dry_run its weights are
        as they were.
    """
    require(options, "data", "backbone")
    with folder.claim_folder(options.output) as run_folder:
        return _train(options, run_folder)


def _train(options, run_folder):
    is_writer = folder.is_chief()
    clock = _Clock()
    strategy = strategies.start(options.runtime)
    with scan_report.write_on_failure(_report_folder(run_folder)):
        parts = loader.training_parts(options, options.data.near_duplicates)
    clock.lap("scan")
    trained, method = assemble(options, parts, strategy)
    clock.lap("build")
    trained.times_s = clock.laps
    if options.output.dry_run:
        with strategy.scope():
            context = FitContext(trained.class_names, load_model=loading.load)
            changed = method.prepare(trained.core, context)
        print(plan_text(trained, changed, method))
        method.release(changed)
        return trained
    if run_folder and is_writer:
        folder.begin(
            run_folder,
            trained.options,
            "python -m tltf.train --flagfile=run.flags --output=NEW",
            fingerprint.fingerprints(parts),
        )
        scan_report.write(run_folder, parts["train"].scan)
    if "logistic" in config_checks.wanted_baselines(options.output.baseline):
        trained.frozen_features = datasets.frozen_features(trained)
    clock.lap("baseline")
    _fit(trained, method, strategy, run_folder, clock)
    if run_folder and is_writer:
        saving.save(trained, run_folder)
        folder.write_status(run_folder, "trained")
    return trained


def _report_folder(run_folder):
    """Where faults of the data are listed: not in a finished run, whose report is of other data."""
    writes = run_folder and folder.is_chief() and folder.read_status(run_folder) != "finished"
    return run_folder if writes else None


def require(options, *names):
    """Raises FlagError where a flag that is needed was not given."""
    given = flat(options)
    for name in names:
        if not given[name]:
            raise FlagError("must be given", flag=name, fix=f"--{name}=...; see --help")


def _fit(trained, method, strategy, run_folder, clock):
    options = trained.options
    is_writer = folder.is_chief()
    logs = run_folder and is_writer
    log = metrics_log.MetricsLog(run_folder / layout.METRICS) if logs else NoLog()
    feed = datasets.build(trained, strategy)
    fit = training_fit.Fit(
        trained.core, method, feed, options, strategy, log, run_folder, is_writer
    )
    weights_bytes = disk_space.num_bytes(trained.core.model.weights)
    fit.prepare(FitContext(feed.class_names, feed.fingerprint, loading.load))
    print(plan_text(trained, fit.core, method), file=sys.stderr)
    if logs:
        needs = disk_space.needs_of(fit.core, method, options, "validation" in trained.splits,
                                    weights_bytes)  # fmt: skip
        disk_space.require(run_folder, needs)
    try:
        fit.train()
    except tf.errors.OpError as error:
        found = (lookups.unreadable(part) for part in trained.splits.values())
        raise next(filter(None, found), error) from error
    finally:
        log.close()
    trained.history, trained.plans = fit.history, fit.plans
    clock.lap("train")
    if logs:
        trained.adapter = _adapter(trained, fit)
        clock.lap("adapter")
    trained.core = fit.finish()
    trained.above = fit.above
    _tune_head(trained)
    clock.lap("train")
    trained.seconds_before = fit.seconds_before
    clock.laps["train"] += trained.seconds_before
    if fit.first_step_s:
        trained.times_s["first_step"] = fit.first_step_s


def _tune_head(trained):
    """Lets the head choose on validation what it decides by."""
    part = trained.splits.get("validation")
    if trained.core.head.target == label_kinds.CLASS or part is None:
        return
    stated = trained.scores(part, trained.options.train.eval_batch_size)
    trained.core = with_head(trained.core, trained.core.head.tune(stated, part.labels))
    if trained.adapter:
        about = trained.adapter.about | {"head": trained.core.head_spec}
        trained.adapter = dataclasses.replace(trained.adapter, about=about)


def _adapter(trained, fit):
    """What a run that trained little leaves; None for others."""
    found = adapters.of_training(fit.core, fit.moved)
    if not found:
        return None
    arrays, base = found
    return adapters.Adapter(arrays, _about(trained) | {"base_sha256": base})


def _about(trained):
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


def fit_parts(options, parts):
    """Trained on splits that are already there, without a run folder; for baselines.

    Args:
        options: Options.
        parts: role -> Source.
    """
    strategy = strategies.start(options.runtime)
    trained, method = assemble(options, parts, strategy)
    clock = _Clock()
    trained.times_s = clock.laps
    _fit(trained, method, strategy, None, clock)
    return trained


class _Clock:
    """Seconds by stage."""

    def __init__(self):
        self.laps, self._last = {}, time.monotonic()

    def lap(self, name):
        now = time.monotonic()
        self.laps[name] = self.laps.get(name, 0.0) + now - self._last
        self._last = now


class NoLog:
    """Stands in for MetricsLog where no run folder is kept."""

    def write(self, row):
        """Forgets the row."""

    def close(self):
        """Nothing to close."""

"""From options to a trained model.

`one_run.run` is what `python -m tltf.train` calls; a notebook calls the same functions.
"""

import dataclasses
import sys
import time
import warnings

import keras
import tensorflow as tf

from tltf.config import call_strings, defaults
from tltf.config import checks as config_checks
from tltf.config.catalogs import METHODS
from tltf.config.options import flat, replace, shown
from tltf.data import label_kinds, loader, lookups, preprocessing, row_scan, scan_report
from tltf.errors import FlagError, printable
from tltf.graphs import dropout, freezing, functional, weight_transfer
from tltf.graphs.core import with_head
from tltf.methods.context import FitContext
from tltf.methods.rules import HEAD
from tltf.models import adapters, core_builder, loading, saving
from tltf.models.trained import Trained
from tltf.runs import folder, metrics_log
from tltf.training import datasets, disk_space
from tltf.training import fit as training_fit
from tltf.training.distribution import strategies


def train(options):
    """A trained model; saved in RUN/model where --output is given.

    Args:
        options: Options; `data` and `backbone` must be given.

    Returns:
        Trained, with the options that were really used. After --dry_run its weights are
        as they were.
    """
    require(options, "data", "backbone")
    with folder.claimed(options.output) as run_folder:
        return _train(options, run_folder)


def _train(options, run_folder):
    is_writer = folder.is_chief()
    clock = _Clock()
    strategy = strategies.start(options.runtime)
    with scan_report.when_it_fails(_report_folder(run_folder)):
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
            datasets.fingerprints(parts),
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


def assemble(options, parts, strategy):
    """`(Trained, Method)`: the untrained core, its preprocessing, and the options resolved.

    Args:
        options: Options.
        parts: role -> Source.
        strategy: tf.distribute.Strategy.
    """
    training, given = parts["train"], options
    if call_strings.parse(options.train.method, "method")[0] == "scratch":
        options = replace(options, backbone_weights="none")
    options = replace(options, head=core_builder.fitted_head(options.model.head, training))
    texts = training.column.values if training.modality == "text" else None
    with strategy.scope():
        core = core_builder.build(
            options.model, len(training.class_names), training.modality, texts
        )
    backbone_layers = functional.layers(list(core.backbone.taps.values()))
    dropout.set_rates(
        backbone_layers, options.train.backbone_dropout, options.train.stochastic_depth
    )
    situation = defaults.Situation(
        modality=training.modality,
        num_train=len(training),
        num_classes=len(training.class_names),
        is_pretrained=core.backbone.pretrained,
        has_validation="validation" in parts,
        num_replicas=strategy.num_replicas_in_sync,
        is_solvable=_unsolvable(core, options.train.loss) is None,
    )
    options = defaults.resolve(options, situation)
    prepared = preprocessing.build(core.backbone, training, options.model.text_length)
    options = replace(options, **_sizes(prepared))
    method = call_strings.pick(METHODS, options.train.method, "method").build()
    _require_loss(core, options.train, method.phases(core))
    _warn_of_norm(given.train.norm, method.phases(core))
    trained = Trained(core, prepared, training.class_names, options, parts, given=given)
    if texts is not None:
        trained.tokens = preprocessing.counts(prepared, texts)
    return trained, method


def _require_loss(core, train, phases):
    core.head.loss(train.loss, train.label_smoothing, train.focal_gamma)
    refusal = _unsolvable(core, train.loss)
    if refusal and any(phase.solver == "lbfgs" for phase in phases):
        raise refusal


def _warn_of_norm(norm, phases):
    """Says where --norm was given and phases do without it; `auto` leaves it to them."""
    tuned = [phase for phase in phases if phase.rules != (HEAD,)]
    others = {phase.norm for phase in tuned or phases if phase.norm not in ("", norm)}
    if norm == "auto" or not others:
        return
    why = "the head alone is trained" if not tuned else f"the method has norm={', '.join(others)}"
    warnings.warn(f"--norm={norm} is overruled: {why}", stacklevel=3)


def _unsolvable(core, loss):
    """Why solver=lbfgs cannot solve for this head, as the error to raise; None where it can."""
    fix = "solver=gradient in --method"
    if core.head.target != label_kinds.CLASS:
        what = "solver=lbfgs solves for one class a row, not for several labels or a number"
        return FlagError(what, flag="method", fix=fix)
    if [type(layer) for layer in core.groups[-1].layers] != [keras.layers.Dense]:
        what = "solver=lbfgs takes a head of one dense layer, without hidden layers and dropout"
        return FlagError(what, flag="method", fix=f"{fix}, or --head=classify")
    if loss != "cross_entropy":
        what = f"{loss} is no loss for solver=lbfgs, which solves for cross_entropy"
        return FlagError(what, flag="loss", fix=f"{fix}, or --loss=cross_entropy")
    return None


def require(options, *names):
    """Raises FlagError where a flag that is needed was not given."""
    given = flat(options)
    for name in names:
        if not given[name]:
            raise FlagError("must be given", flag=name, fix=f"--{name}=...; see --help")


def plan_text(trained, core, method):
    """What a run does: data, model, and the trainable table of each phase.

    Args:
        trained: Trained.
        core: what the method has prepared.
        method: methods.Method.
    """
    train, parts = trained.options.train, trained.splits
    counts = ", ".join(f"{len(part):,} {role}" for role, part in parts.items())
    phases = method.phases(core)
    how = (
        f"{train.train_epochs} epochs, batch {train.batch_size}, "
        f"{train.optimizer} at {train.learning_rate:g}, {train.schedule} schedule"
    )
    if all(phase.solver == "lbfgs" for phase in phases):
        how = "solved to convergence, the penalty chosen on validation"
    if all(phase.solver == "none" for phase in phases):
        how = "nothing is trained"
    lines = [
        f"data      {trained.options.data.data}: {counts}; {core.head.described(trained.class_names)}",
        *_scan_lines(trained.splits["train"].scan),
        f"backbone  {core.backbone.name}, head {core.head_spec}",
        f"method    {train.method}: {how}",
    ]
    if trained.tokens:
        lines += [f"texts     {trained.preprocessing.length} tokens: {trained.tokens}"]
    if core.backbone.transfer:
        lines += ["weights taken by name and shape:", weight_transfer.table(core.backbone.transfer)]
    for phase in phases:
        plan = freezing.apply(core.groups, phase.rules, phase.norm or train.norm)
        lines += [f"phase     {phase.name}", freezing.table_text(plan)]
    return "\n".join(lines)


def _scan_lines(scan):
    """What of the data is not used, and what is odd about the rest."""
    is_whole = scan["found"] == scan["used"]
    rows = [] if is_whole else [f"rows      {row_scan.counts(scan)}"]
    return rows + [f"warning   {printable(text)}" for text in scan["warnings"]]


def _fit(trained, method, strategy, run_folder, clock):
    options = trained.options
    is_writer = folder.is_chief()
    logs = run_folder and is_writer
    log = metrics_log.MetricsLog(run_folder / "metrics.jsonl") if logs else NoLog()
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
    stated = trained.stated(part, trained.options.train.eval_batch_size)
    trained.core = with_head(trained.core, trained.core.head.tuned(stated, part.labels))
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
        "flags": {name: shown(value) for name, value in flat(options).items()},
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


def _sizes(prepared):
    size_px = getattr(prepared, "size_px", None)
    return {"image_size_px": size_px} if size_px else {"text_length": prepared.length}


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

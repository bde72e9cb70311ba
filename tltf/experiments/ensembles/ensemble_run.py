"""Makes an ensemble of finished runs and publishes it as a run of its own."""

import dataclasses
import itertools
import pathlib
import shlex
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from tltf.config import call_strings, checks
from tltf.config import options as option_values
from tltf.config.call_strings import Call
from tltf.config.catalogs import FORMATS, HeadRow
from tltf.config.ensemble_options import MEAN, STACKING, EnsembleOptions
from tltf.config.options import Options
from tltf.config.recipe import Recipe
from tltf.console import lines
from tltf.data import fingerprint, run_data, scan_report, trained_rows
from tltf.data.source import TEST, VALIDATION, Splits
from tltf.errors import FlagError
from tltf.evaluation import evaluators
from tltf.evaluation.baseline_row import BEST_MEMBER, MEAN_OF_ALL, BaselineRow
from tltf.evaluation.report.ensemble_block import RULE_TITLES, EnsembleBlock, MemberRow, RuleRow
from tltf.evaluation.report.report import Report
from tltf.experiments import one_run
from tltf.experiments.ensembles import answers, candidates, distilled, rules
from tltf.experiments.ensembles.candidates import Library
from tltf.experiments.ensembles.rules import Fitted, HeldOut, ValidationRows
from tltf.experiments.launch import Launch
from tltf.experiments.one_run import Complete
from tltf.experiments.tracking.tracking import Tracking
from tltf.graphs import freezing
from tltf.heads.head import Head
from tltf.models import ensembles, saving
from tltf.models.ensembles import Member
from tltf.models.transfer_model import TransferModel
from tltf.runs import folder
from tltf.training import head_tuning
from tltf.training.result import TrainingResult

MOST_PAIRS = 200
"""Pairs of members whose disagreement is counted."""


def run(options: EnsembleOptions, more: Complete | None = None) -> Report:
    """Makes the ensemble that the options ask for, and returns its report.

    Args:
        options: those of the command.
        more: adds to the report what was known before.

    Raises:
        FlagError: the runs do not go together, or there are no validation rows to choose on.
        ModelError: a run cannot be read, or the export differs from the model.
        StorageError: the folder cannot be written.
    """
    start = time.monotonic()
    folders = [name for name in options.runs.split(",") if name]
    _require_new_folder(options.output, folders)
    output = option_values.make(output=options.output, overwrite=options.overwrite).output
    with folder.claim_folder(output), lines.quiet(options.quiet), Tracking() as tracking:
        library = candidates.read(folders, options.snapshots, options.eval_batch_size)
        _require_rows(library.splits, options)
        call = ensembles.head_call_of([model.core.only.call for model in library.models])
        rows = validation_rows(library, call.build())
        compared = rules.compare(rules.compared_names(options, rows.head), rows, options)
        fitted = rules.fit_rule(rules.choose(compared, options), rows, options)
        trained, order = assemble(library, fitted, call, options)
        if options.distill:
            distilled.require(trained)
        result, recipe = _begin(trained, library, fitted, options)
        result.times_s["train"] = time.monotonic() - start

        def complete(report: Report, stated: dict[str, Any]) -> Report:
            block = _block(library, fitted, compared, trained, order, options)
            report = _completed(report, stated, block, library, rows, options)
            return more(report, stated) if more else report

        launch = Launch(_command(options))
        report = one_run.publish(result, recipe, start, launch, tracking, complete)
        others = [library.candidates[at].run for at in order]
        trained_rows.write_union(pathlib.Path(options.output), others)
        if options.distill:
            best = library.models[_best(rows, options)].run_options
            distilled.train(options.distill, best, options.output, overwrite=options.overwrite)
        return report


def _require_new_folder(output: str, folders: Sequence[str]) -> None:
    for name in folders:
        if pathlib.Path(name).resolve() == pathlib.Path(output).resolve():
            raise FlagError(f"{name} is one of the runs", flag="output", fix="--output=NEW_FOLDER")


def _require_rows(splits: Splits, options: EnsembleOptions) -> None:
    """Raises FlagError where there is nothing to choose or to judge on."""
    if not splits.validation and options.combine != MEAN:
        what = "the runs have no validation split, on which members could be chosen"
        fix = "--combine=mean, or runs with --split='holdout(validation=.1)'"
        raise FlagError(what, flag="combine", fix=fix)
    if not splits.validation and not splits.test:
        what = "the runs have neither validation nor test rows to judge an ensemble on"
        raise FlagError(what, flag="runs", fix="runs with a test split")


def validation_rows(library: Library, head: Head) -> ValidationRows:
    """The rows on which members are chosen; the test rows stand for them under a plain mean without them.

    Args:
        library: of all candidates.
        head: of the ensemble.
    """
    role = VALIDATION if library.splits.validation else TEST
    part = library.splits[role]
    scores = np.asarray(library.scores[role], np.float64)
    return ValidationRows(head, scores, np.asarray(part.labels), part.split_groups())


def assemble(
    library: Library, fitted: Fitted, call: Call[HeadRow], options: EnsembleOptions
) -> tuple[TransferModel, list[int]]:
    """`(model, places)`: the ensemble, and the places of its members among the candidates.

    Args:
        library: of all candidates.
        fitted: how they are combined.
        call: of the ensemble's head.
        options: those of the command.
    """
    places = list(range(len(library.candidates)))
    if fitted.shares is not None:
        places = [at for at in np.argsort(-fitted.shares, kind="stable") if fitted.shares[at] > 0]
    members = []
    for at in places:
        model = library.candidates[at].load()
        members.append(Member(library.candidates[at].name, model.core, model.preprocessing))
    names = library.models[0].class_names
    rule = ensembles.WEIGHTED if fitted.regression is None else ensembles.STACKED
    core, preprocessing = ensembles.join(members, rule, call, len(names))
    if fitted.regression is not None:
        ensembles.set_weights(core, fitted.regression.kernel, fitted.regression.bias)
    elif fitted.shares is not None:
        ensembles.set_weights(core, fitted.shares[places])
    chosen = _run_options(library, fitted, call, len(places), options)
    recipe = _recipe(library, call, options)
    trained = TransferModel(core, preprocessing, names, chosen, library.splits, recipe)
    if library.splits.validation:
        head_tuning.tune_head(trained)
    return trained, places


def _run_options(
    library: Library,
    fitted: Fitted,
    call: Call[HeadRow],
    num_members: int,
    options: EnsembleOptions,
) -> Options:
    """The options of the new run: those of the first candidate, but for what an ensemble has of its own."""
    return option_values.replace(
        library.models[0].run_options,
        backbone=f"ensemble of {num_members}",
        method=RULE_TITLES[fitted.name],
        head=call.text,
        output=options.output,
        title=options.title,
        calibrate=options.calibrate,
        abstain="none",
        baseline="none",
        augment="",
        track="none",
        explain=options.explain,
        export=options.export,
        export_format=checks.EXPORT_FORMAT,
        eval_batch_size=options.eval_batch_size,
        overwrite=options.overwrite,
        resume="never",
    )


def _recipe(library: Library, call: Call[HeadRow], options: EnsembleOptions) -> Recipe:
    """The calls of the data of the runs, and of what is written."""
    first = library.candidates[0].run
    own = run_data.own_recipe(library.models[0].run_options, str(first))
    formats = [call_strings.pick(FORMATS, checks.EXPORT_FORMAT, "format")] if options.export else []
    explainer = checks.pick_explainer(options.explain, None)
    return Recipe(own.source, own.split, call, formats=tuple(formats), explainer=explainer)


def _begin(
    trained: TransferModel, library: Library, fitted: Fitted, options: EnsembleOptions
) -> tuple[TrainingResult, Recipe]:
    """Writes the model and what the run was made of; returns what is published."""
    run = pathlib.Path(options.output)
    prints = fingerprint.fingerprints(library.splits)
    folder.begin(run, trained.run_options, _command(options), prints)
    scan_report.write(run, library.splits["train"].scan)
    saving.save(trained, run)
    folder.write_status(run, "trained")
    plan = freezing.plan(trained.core.groups, [("head/.*", 1.0)])
    result = TrainingResult(trained, trained.run_options, {}, plans=(plan,))
    if trained.recipe is None:
        raise ValueError("an ensemble has a recipe")
    return result, trained.recipe


def _command(options: EnsembleOptions) -> str:
    """The command that makes the same ensemble again."""
    usual, given = option_values.flag_values(EnsembleOptions()), option_values.flag_values(options)
    flags = [
        f"--{name}={value}"
        for name, value in given.items()
        if value != usual[name] and name not in ("runs", "output", "overwrite", "quiet")
    ]
    runs = [name for name in options.runs.split(",") if name]
    return shlex.join(["python", "-m", "tltf.ensemble", *runs, *flags, "--output=NEW"])


def _best(rows: ValidationRows, options: EnsembleOptions) -> int:
    """The place of the candidate that is best on the validation rows."""
    shares = rules.fit_rule(rules.BEST, rows, options).shares
    return 0 if shares is None else int(np.argmax(shares))


def _block(
    library: Library,
    fitted: Fitted,
    compared: Sequence[HeldOut],
    trained: TransferModel,
    order: Sequence[int],
    options: EnsembleOptions,
) -> EnsembleBlock:
    """What the report says of the candidates."""
    rows = validation_rows(library, trained.core.head)
    best = _best(rows, options)
    part = library.splits[library.judged]
    some = part.take(np.arange(min(len(part), answers.TIMED_ROWS)))
    batches = trained.dataset(some, options.eval_batch_size)
    took = answers.milliseconds(trained.core.model, batches, len(some), trained.core.outputs)
    shown = [*order, *(at for at in range(len(library.candidates)) if at not in order)]
    own = _given(trained, trained.judged[library.judged])
    members = [_member_row(library, fitted, at, trained, own) for at in shown]
    given = [_given(trained, library.scores[library.judged][at]) for at in order]
    pairs = list(itertools.combinations([answer for answer in given if answer], 2))[:MOST_PAIRS]
    differ = [np.mean([a != b for a, b in zip(*pair, strict=True)]) for pair in pairs]
    return EnsembleBlock(
        fitted.name,
        _command(options),
        members,
        [RuleRow(row.rule, row.loss, row.score) for row in compared],
        library.candidates[best].name,
        took,
        took / library.ms_per_example[best],
        float(np.mean(differ)) if differ else None,
        _shared_share(library, order, trained),
    )


def _given(trained: TransferModel, scores: np.ndarray) -> list[str]:
    """The answer to each row as a text; [] for numbers, of which no two are the same."""
    if not trained.class_names:
        return []
    head = trained.core.head.without_temperatures()
    return head.answers(scores, trained.class_names)


def _member_row(
    library: Library, fitted: Fitted, at: int, trained: TransferModel, own: Sequence[str]
) -> MemberRow:
    """The row of a candidate in the report."""
    candidate, model = library.candidates[at], library.models[at]
    judge = evaluators.evaluator_for(model.core.head)
    found = {}
    for role in (VALIDATION, TEST):
        if library.splits.get(role):
            stated = judge.candidate(model.core.head, library.scores[role][at])
            labels = np.asarray(library.splits[role].labels)
            found[role] = judge.measure(labels, stated, trained.class_names)
    metric = judge.wording.metric
    value = {role: metrics.scores.get(metric) for role, metrics in found.items()}
    given = _given(trained, library.scores[library.judged][at])
    pairs = zip(given, own, strict=True) if given else ()
    differs = [one != other for one, other in pairs]
    return MemberRow(
        candidate.name,
        str(candidate.run),
        model.run_options.train.method,
        None if fitted.shares is None else float(fitted.shares[at]),
        value.get(VALIDATION),
        value.get(TEST),
        found[TEST].intervals.get(metric) if TEST in found else None,
        float(np.mean(differs)) if differs else None,
        library.ms_per_example[at],
    )


def _shared_share(library: Library, order: Sequence[int], trained: TransferModel) -> float:
    """0..1: the share of the numbers of all members that stand once in place of several times."""
    combined = sum(int(np.prod(w.shape)) for w in trained.core.groups[-1].layers[0].weights)
    joint = trained.core.model.count_params() - combined
    apart = sum(library.models[at].core.model.count_params() for at in order)
    return max(0.0, 1.0 - joint / apart) if apart else 0.0


def _completed(
    report: Report,
    stated: dict[str, Any],
    block: EnsembleBlock,
    library: Library,
    rows: ValidationRows,
    options: EnsembleOptions,
) -> Report:
    """The report with the members, the rivals and how the ensemble was made."""
    what = f"ensemble of {block.num_members}"
    head = {name: text for name, text in report.run.items() if name in ("data", "head", "seed")}
    told = {"backbone": what, "method": RULE_TITLES[block.rule]}
    chosen = (
        [] if block.rule == MEAN else ["the members" if block.rule != STACKING else "the weights"]
    )
    return dataclasses.replace(
        report,
        command=block.command,
        run={"data": head.pop("data", ""), **told, **head},
        chosen_on_validation=[*chosen, *(report.chosen_on_validation or [])],
        baselines={**_rivals(report, stated, library, rows, options), **(report.baselines or {})},
        ensemble=block,
    )


def _rivals(
    report: Report,
    stated: dict[str, Any],
    library: Library,
    rows: ValidationRows,
    options: EnsembleOptions,
) -> dict[str, BaselineRow]:
    """The best candidate and the mean of all on the test rows, compared row by row with the ensemble."""
    if TEST not in stated:
        return {}
    best, part = _best(rows, options), library.splits[TEST]
    model, scores = library.models[best], library.scores[TEST]
    mean = np.mean(np.asarray(scores, np.float64), axis=0).astype(np.float32)
    averaged = rows.head.tune(rows.scores.mean(axis=0), rows.labels)
    name = library.candidates[best].name
    found = dict[str, BaselineRow]()
    for key, head, own, note in (
        (BEST_MEMBER, model.core.head, scores[best], f"{name}, the best candidate on validation"),
        (MEAN_OF_ALL, averaged, mean, f"the plain mean of all {len(scores)} candidates"),
    ):
        judge, labels = evaluators.evaluator_for(head), np.asarray(part.labels)
        candidate = judge.candidate(head, own)
        gain = judge.difference(labels, stated[TEST], candidate, seed=options.seed)
        test = judge.measure(labels, candidate, library.models[0].class_names, seed=options.seed)
        found[key] = BaselineRow(test, note=note, gain=gain)
    return found

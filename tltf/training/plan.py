"""The plan of a run in words, as it is printed before the first step."""

import itertools
from collections.abc import Iterator, Sequence

from tltf.config import call_strings, defaults
from tltf.config.call_strings import Call
from tltf.config.catalogs.row import HeadRow
from tltf.config.checks import USUAL
from tltf.config.options import Options, flag_values
from tltf.config.task_heads import TaskCalls
from tltf.console.lines import amount_text, wrap
from tltf.data import row_scan
from tltf.data.source import ScanCounts
from tltf.data.texts.preprocessing import TextPreprocessing, TokenCounts
from tltf.errors import printable
from tltf.graphs import freezing, weight_transfer
from tltf.graphs.core import Core
from tltf.graphs.freezing import Plan
from tltf.methods.method import Method, Phase
from tltf.models.transfer_model import TransferModel
from tltf.training import assembly, datasets

CHOSEN = {
    "train_epochs": "the epochs",
    "batch_size": "the batch",
    "optimizer": "the optimizer",
    "learning_rate": "the rate",
    "schedule": "the schedule",
}
"""Flag of a training in steps -> what it sets, in words."""
NEARLY_ALL = 0.9
"""The share of their weights from which groups count as trained, though their statistics are not."""
MOST_NAMED = 3
"""Phases of a training that are named one by one."""


def choices_text(
    trained: TransferModel, given: Options, method: Method, tokens: TokenCounts | None = None
) -> str:
    """The data, the network and the method, with what `auto` has chosen and why.

    Args:
        trained: TransferModel with its options and splits.
        given: the options before `auto` was replaced.
        method: Method.
        tokens: TokenCounts of the training texts; None for images.
    """
    parts, core = trained.splits, trained.core
    counts = ", ".join(f"{len(part):,} {role}" for role, part in parts.items())
    data = f"{trained.run_options.data.data}: {counts}"
    lines = wrap("data", printable(f"{data}; {core.head.describe(trained.class_names)}"))
    lines += _scan_lines(parts["train"].scan)
    head = head_text(trained.recipe.head, given.model.head) if trained.recipe else core.head_spec
    why = f" (usual for {core.backbone.modality}s)" if given.model.backbone == USUAL else ""
    lines += wrap("backbone", f"{core.backbone.name}{why}, head {head}")
    lines += wrap("method", _method_text(trained, given, method.phases(core)))
    chosen = " (auto)" if given.runtime.precision == "auto" else ""
    lines += wrap("precision", f"{trained.run_options.runtime.precision}{chosen}")
    if tokens and isinstance(trained.preprocessing, TextPreprocessing):
        chosen = " (auto)" if given.model.text_length is None else ""
        lines += wrap("texts", f"{trained.preprocessing.length} tokens{chosen}: {tokens}")
    lines += wrap("baseline", _baseline_text(trained, given))
    if core.backbone.transfer:
        lines += ["weights taken by name and shape:", weight_transfer.table(core.backbone.transfer)]
    return "\n".join(lines)


def trained_text(core: Core, method: Method, norm: str) -> str:
    """What each phase trains, such as `the head (1,155 of 22.6M), then everything (22.6M)`.

    Args:
        core: Core that the method has prepared.
        method: Method.
        norm: --norm.
    """
    phases = [phase for phase in method.phases(core) if phase.solver != "none"]
    texts = [_part_text(plan) for plan in _plans(core, phases, norm)]
    steps = [text for text, _ in itertools.groupby(texts)]
    if len(steps) > MOST_NAMED:
        steps = [steps[0], f"in {len(steps) - 1} phases more and more, in the end {steps[-1]}"]
    return ", then ".join(steps)


def tables_text(core: Core, method: Method, norm: str) -> str:
    """For each phase the table of what it trains; see `trained_text` for the arguments."""
    phases = method.phases(core)
    lines = list[str]()
    for phase, plan in zip(phases, _plans(core, phases, norm), strict=True):
        lines += [f"{'phase':<10} {phase.name}", freezing.table_text(plan)]
    return "\n".join(lines)


def head_text(call: Call[HeadRow], given: str) -> str:
    """The call string of a head with those arguments only that were given and are not the defaults.

    Args:
        call: of the head, with what the data has added.
        given: as --head has it.
    """
    if isinstance(call, TaskCalls):
        return given
    usual = call.row.args if call.row else {}
    _, written = call_strings.parse(given, "head")
    own = {
        name: call.kwargs[name]
        for name in written
        if name in call.kwargs and not _is_same(call.kwargs[name], usual.get(name))
    }
    return call_strings.render(call.name, own) if own else call.name


def _is_same(value: object, other: object) -> bool:
    if isinstance(value, list) and isinstance(other, tuple):
        return tuple(value) == other
    return value == other


def _plans(core: Core, phases: Sequence[Phase], norm: str) -> Iterator[Plan]:
    for phase in phases:
        yield freezing.plan(core.groups, phase.rules, phase.norm_policy(norm))


def _part_text(plan: Plan) -> str:
    """The part of the network that a plan trains, with the number of its weights."""
    *groups, head = freezing.table(plan)
    trained = [row for row in groups if row["trained"]]
    count = f"{amount_text(plan.num_trainable)} of {amount_text(plan.num_total)}"
    if not trained:
        return f"the head ({count})"
    size = sum(row["parameters"] for row in trained)
    is_whole = sum(row["trained"] for row in trained) >= NEARLY_ALL * size
    if is_whole and len(trained) == len(groups) and head["trained"]:
        is_all = plan.num_trainable == plan.num_total
        return f"everything ({amount_text(plan.num_total) if is_all else count})"
    names = [row["group"] for row in trained]
    where = names[0] if len(names) == 1 else f"{names[0]} to {names[-1]}"
    what = where if is_whole else f"a part of {where}"
    return f"{'the head and ' if head['trained'] else ''}{what} ({count})"


def _method_text(trained: TransferModel, given: Options, phases: Sequence[Phase]) -> str:
    """The method, why `auto` chose it, and the numbers of its steps."""
    train = trained.run_options.train
    text = train.method
    if given.train.method == "auto":
        text += f" (auto: {defaults.why_method(assembly.situation_of(trained, given))})"
    if all(phase.solver == "none" for phase in phases):
        return f"{text}: nothing is trained"
    if all(phase.solver == "lbfgs" for phase in phases):
        return f"{text}: solved to convergence, the penalty chosen on validation"
    if all(phase.solver == "method" for phase in phases):
        is_chosen = call_strings.name_of(train.method) == "probe"
        how = "chosen among light heads by cross-validation" if is_chosen else "in closed form"
        return f"{text}: {how}"
    before = flag_values(given)
    chosen = [what for name, what in CHOSEN.items() if before[name] in (None, "auto")]
    falls = f" with {train.snapshots} falls" if train.snapshots else ""
    text += (
        f": {train.train_epochs} epochs, batch {train.batch_size}, {train.optimizer} at "
        f"{train.learning_rate:g}, {train.schedule} schedule{falls}"
    )
    if len(chosen) == len(CHOSEN):
        return f"{text}; auto chose all of these"
    named = " and ".join(filter(None, [", ".join(chosen[:-1]), *chosen[-1:]]))
    return f"{text}; auto chose {named}" if chosen else text


def _baseline_text(trained: TransferModel, given: Options) -> str:
    """The baselines that are measured, and what they cost."""
    names = trained.run_options.output.baseline
    chosen = " (auto)" if given.output.baseline == "auto" else ""
    if "logistic" not in names:
        return f"{names or 'none'}{chosen}" if names != "none" or chosen else "none"
    if datasets.is_probe_a_baseline(trained):
        return f"{names}{chosen}: the probe's own test score, before fine-tuning"
    num = sum(map(len, trained.splits.values()))
    return f"{names}{chosen}: a linear model on the frozen features of {num:,} examples"


def _scan_lines(scan: ScanCounts) -> list[str]:
    """Lines on the rows that are not used, and on what is odd about the others."""
    lines = [] if scan.found == scan.used else wrap("rows", row_scan.counts_text(scan))
    for text in scan.warnings:
        lines += wrap("warning", printable(text))
    return lines

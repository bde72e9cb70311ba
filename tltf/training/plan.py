"""The plan of a run in words, as it is printed before the first step."""

from tltf.data import row_scan
from tltf.data.source import ScanCounts
from tltf.data.texts.preprocessing import TextPreprocessing, TokenCounts
from tltf.errors import printable
from tltf.graphs import freezing, weight_transfer
from tltf.graphs.core import Core
from tltf.methods.method import Method
from tltf.models.transfer_model import TransferModel


def plan_text(
    trained: TransferModel, core: Core, method: Method, tokens: TokenCounts | None = None
) -> str:
    """The data, the model, and for each phase the table of what is trained.

    Args:
        trained: TransferModel with its options and splits.
        core: Core that the method has prepared.
        method: Method.
        tokens: TokenCounts of the training texts; None for images.
    """
    train, parts = trained.run_options.train, trained.splits
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
        f"data      {trained.run_options.data.data}: {counts}; {core.head.describe(trained.class_names)}",
        *_scan_lines(trained.splits["train"].scan),
        f"backbone  {core.backbone.name}, head {core.head_spec}",
        f"method    {train.method}: {how}",
    ]
    if tokens and isinstance(trained.preprocessing, TextPreprocessing):
        lines += [f"texts     {trained.preprocessing.length} tokens: {tokens}"]
    if core.backbone.transfer:
        lines += ["weights taken by name and shape:", weight_transfer.table(core.backbone.transfer)]
    for phase in phases:
        plan = freezing.plan(core.groups, phase.rules, phase.norm_policy(train.norm))
        lines += [f"phase     {phase.name}", freezing.table_text(plan)]
    return "\n".join(lines)


def _scan_lines(scan: ScanCounts) -> list[str]:
    """Lines on the rows that are not used, and on what is odd about the others."""
    is_whole = scan.found == scan.used
    rows = [] if is_whole else [f"rows      {row_scan.counts_text(scan)}"]
    return rows + [f"warning   {printable(text)}" for text in scan.warnings]

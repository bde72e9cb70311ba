"""What a head chooses on the validation split when the training is done: thresholds and temperatures.

They are numbers of the head, so that whatever computes its scores has them: the report, predictions,
exports and adapters. Nothing of them is in the loss that was trained.
"""

import inspect
import warnings

import numpy as np

from tltf.config import call_strings
from tltf.config.call_strings import Call
from tltf.config.catalogs import HeadRow, Row
from tltf.config.train_options import TrainOptions
from tltf.data import label_kinds
from tltf.data.source import VALIDATION, Source, Splits
from tltf.errors import FlagError
from tltf.graphs.core import Core, replace_head
from tltf.heads import abstention, temperature
from tltf.heads.head import Head
from tltf.models import task_models
from tltf.models.transfer_model import TransferModel

TEMPERATURE, AUTO = "temperature", "auto"
"""Values of --calibrate beside `none`."""


def tune_head(trained: TransferModel) -> bool:
    """Lets the head choose on validation what it decides by; returns whether it did.

    The thresholds of labels come first, then the temperatures, which move them, and then the
    threshold of being sure, on the calibrated probabilities. Of several heads each chooses by itself.
    """
    if trained.core.joint:
        return _tune_tasks(trained)
    part, core = trained.splits.get(VALIDATION), trained.core
    if part is None or not _chooses(trained, part):
        return False
    labels = np.asarray(part.labels)
    logits = trained.known_logits.get(VALIDATION)
    if logits is None:
        logits = trained.logits(part, trained.eval_batch_size)
    trained.known_logits[VALIDATION] = logits
    head: Head = core.head.tune(trained.scores_of(logits), part.labels)
    if _calibrates(trained, part):
        is_wanted = trained.run_options.train.calibrate == TEMPERATURE
        head = head.calibrate(logits, labels, part.split_groups(), is_wanted=is_wanted)
        trained.core = replace_head(core, head)
    rule = _rule(trained)
    if rule:
        head = head.abstain(rule, trained.scores_of(logits), labels)
        _warn_if_never_sure(head, trained)
    trained.core = replace_head(core, head)
    return True


def _tune_tasks(trained: TransferModel) -> bool:
    """Lets each of several heads choose; the network is computed once for all of them."""
    models = task_models.models_of_tasks(trained)
    if not any(
        (part := model.splits.get(VALIDATION)) and _chooses(model, part)
        for model in models.values()
    ):
        return False
    task_models.know_logits(trained, VALIDATION)
    models = task_models.models_of_tasks(trained)
    for model in models.values():
        tune_head(model)
    task_models.take_heads(trained, models)
    return True


def choices(trained: TransferModel) -> list[str]:
    """The names of what the head of a trained model chose on the validation split."""
    if trained.recipe is None:
        return []
    given, head = trained.recipe.head.build(), trained.core.head
    names = [given.choice] if given.choice else []
    if head.temperatures and not given.temperatures:
        names.append("the temperatures" if len(head.temperatures) > 1 else "the temperature")
    if head.abstains and not given.abstains:
        names.append("the threshold of being sure")
    return names


def require(
    core: Core, train: TrainOptions, rule: Call[Row] | None, parts: Splits | dict[str, Source]
) -> None:
    """Checks that the head can choose what the flags ask for, before time is spent.

    Args:
        core: Core.
        train: the options of the training.
        rule: the call of --abstain; None for none.
        parts: role -> Source.

    Raises:
        FlagError: the head or the validation split does not allow --calibrate=temperature or
            --abstain.
    """
    num_rows = len(parts.get(VALIDATION) or ())
    if train.calibrate == TEMPERATURE:
        if not _can_calibrate(core):
            what = (
                f"the head {core.head_spec} has no probabilities that a temperature can calibrate"
            )
            raise FlagError(what, flag="calibrate", fix="--calibrate=none")
        _require_validation("calibrate", num_rows)
    if rule is None:
        return
    if core.head.target != label_kinds.CLASS or not _takes(core.only.call, "sure_from"):
        what = f"a model can be unsure of one class per row, and the head {core.head_spec} predicts others"
        raise FlagError(what, flag="abstain", fix="--abstain=none")
    _require_validation("abstain", num_rows)
    chosen: abstention.Rule = rule.build()
    if num_rows < chosen.least_rows:
        raise FlagError(
            f"{rule.text} takes {chosen.least_rows:,} validation rows or more, and there are "
            f"{num_rows:,}: with fewer the model could never be sure",
            flag="abstain",
            fix="a larger share in --split='holdout(validation=.3)', or a rule that promises less",
        )


def _require_validation(flag: str, num_rows: int) -> None:
    if not num_rows:
        raise FlagError(
            "takes a validation split, on which it chooses, and the data has none",
            flag=flag,
            fix=f"--split='holdout(validation=.2)', or --{flag}=none",
        )


def _chooses(trained: TransferModel, part: Source) -> bool:
    """Whether the head has anything to choose, for which validation must be computed."""
    of_kind = trained.core.head.target != label_kinds.CLASS
    return of_kind or _calibrates(trained, part) or _rule(trained) is not None


def _calibrates(trained: TransferModel, part: Source) -> bool:
    wanted = trained.run_options.train.calibrate
    is_enough = wanted == AUTO and len(part) >= temperature.LEAST_ROWS
    return (wanted == TEMPERATURE or is_enough) and _can_calibrate(trained.core)


def _can_calibrate(core: Core) -> bool:
    """Whether the head has probabilities that temperatures change, and its call can hold these."""
    names = ("temperature", "temperatures")
    return core.head.can_calibrate and any(_takes(core.only.call, name) for name in names)


def _takes(call: Call[HeadRow], name: str) -> bool:
    """Whether the call of a head takes an argument; one from outside of tltf may not."""
    if call.row:
        return name in call.row.args
    return name in inspect.signature(call_strings.load_outside(call.target)).parameters


def _rule(trained: TransferModel) -> abstention.Rule | None:
    call = trained.recipe and trained.recipe.abstention
    return call.build() if call else None


def _warn_if_never_sure(head: Head, trained: TransferModel) -> None:
    if not (getattr(head, "sure_from", None) or 0) >= abstention.NEVER:
        return
    warnings.warn(
        f"no threshold on {len(trained.splits[VALIDATION]):,} validation rows keeps "
        f"--abstain='{trained.run_options.train.abstain}', so the model is sure of nothing; fix: a "
        "rule that promises less, or more validation rows",
        stacklevel=2,
    )

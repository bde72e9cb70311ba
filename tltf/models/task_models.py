"""A model of several heads as one model per task, on the same layers, for all that takes one head."""

import dataclasses
from collections.abc import Mapping

import numpy as np

from tltf.data.source import Source, Splits
from tltf.errors import FlagError, choices_text
from tltf.graphs.core import Core
from tltf.models import core_builder
from tltf.models.transfer_model import TransferModel


def models_of_tasks(trained: TransferModel) -> dict[str, TransferModel]:
    """Task -> the model with its head alone, whose splits are the rows with a label of it.

    Outputs that the model of all tasks has computed already are those of the models of one task too.

    Args:
        trained: a model of several heads.
    """
    return {task: _model_of(trained, task) for task in trained.core.heads}


def chosen_model(trained: TransferModel, task: str, thing: str) -> TransferModel:
    """The model of one head: that of a task of a run of several, or the model itself.

    Args:
        trained: a model of one head or of several.
        task: of --task; empty for a run of one head.
        thing: what takes one head, for the error.

    Raises:
        FlagError: the run has several heads and no task is named, or has no such task.
    """
    tasks = list(trained.core.heads) if trained.core.joint else []
    if not tasks and not task:
        return trained
    if not tasks:
        what = f"{task!r} is named, and the run has one head, which needs no name"
        raise FlagError(what, flag="task", fix="leave --task out")
    if not task:
        what = f"{thing} takes one head, and the run has several ({', '.join(tasks)})"
        raise FlagError(what, flag="task", fix=f"--task={tasks[0]}")
    if task not in tasks:
        what = f"the run has no task {task!r} (choices: {choices_text(task, tasks)})"
        raise FlagError(what, flag="task", fix=f"--task={tasks[0]}")
    return _model_of(trained, task)


def _model_of(trained: TransferModel, task: str) -> TransferModel:
    own, recipe = trained.core.heads[task], trained.recipe
    known = {
        role: _rows_with_label(trained.splits[role], task, _part(trained.core, logits, task))
        for role, logits in trained.known_logits.items()
    }
    return TransferModel(
        trained.core.of_task(task),
        trained.preprocessing,
        own.class_names,
        trained.options,
        Splits({role: part.of_task(task) for role, part in trained.splits.items()}),
        recipe and dataclasses.replace(recipe, head=own.call),
        known_logits=known,
    )


def _part(core: Core, logits: np.ndarray, task: str) -> np.ndarray:
    """float32[N, K]: the logits of a task among those of all tasks side by side."""
    return core.only.head.parts(logits)[task]


def _rows_with_label(part: Source, task: str, logits: np.ndarray) -> np.ndarray:
    is_known = part.label_fields[task].is_known
    return logits if is_known is None else logits[is_known]


def know_logits(trained: TransferModel, *roles: str) -> None:
    """Computes the outputs of all tasks on some splits in one pass, and keeps them in the model.

    Args:
        trained: a model of several heads.
        roles: of the splits; those that are not there are passed over.
    """
    for role in roles:
        part = trained.splits.get(role)
        if part and role not in trained.known_logits:
            trained.known_logits[role] = trained.logits(part, trained.eval_batch_size)


def take_heads(trained: TransferModel, models: Mapping[str, TransferModel]) -> None:
    """Gives a model of several heads the heads of its models of one task, e.g. with chosen thresholds.

    Args:
        trained: the model, whose core is replaced.
        models: task -> model, as `models_of_tasks` gives them.
    """
    heads = {task: model.core.only for task, model in models.items()}
    trained.core = core_builder.with_heads(trained.core, heads)

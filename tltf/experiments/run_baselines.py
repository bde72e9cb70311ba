"""The baselines of a run: simpler models, trained on the rows that the run was trained on."""

import dataclasses
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from scipy import special

from tltf.config import options
from tltf.config.checks import AUTO, WITHOUT_SOURCE
from tltf.config.paths import HEAD_STARTS
from tltf.console import lines
from tltf.data.source import TARGET, TRAIN, Source
from tltf.evaluation import classical, evaluators
from tltf.evaluation.baseline_row import (
    CLASSICAL,
    LIGHT_HEAD,
    ORACLE,
    BaselineRow,
)
from tltf.evaluation.evaluators.evaluator import Evaluator
from tltf.heads.light import choice, families
from tltf.heads.light.light_model import FrozenRows
from tltf.models.transfer_model import TransferModel
from tltf.runs import folder as run_folder
from tltf.training import training
from tltf.training.result import TrainingResult


def measure(
    result: TrainingResult, stated: Mapping[str, Any], names: Sequence[str]
) -> dict[str, BaselineRow] | None:
    """Name -> row of each baseline: a constant one, and those that were asked for.

    These are heads on frozen features, a classifier without a network, and networks that began elsewhere.
    """
    trained = result.model
    parts, seed = trained.splits, trained.run_options.runtime.seed
    if "test" not in parts:
        return None
    labels = {
        role: np.asarray(part.labels) for role, part in parts.items() if part.labels is not None
    }
    class_names, judge = trained.class_names, evaluators.evaluator_for(trained.core.head)
    rows: dict[str, BaselineRow] = {}

    def add(name: str, row: BaselineRow, other: Any) -> None:
        gain = judge.difference(labels["test"], stated["test"], other, seed=seed)
        rows[name] = dataclasses.replace(row, gain=gain)

    constant = judge.constant(labels["train"], labels["test"], class_names, seed=seed)
    add(judge.constant_name, *constant)
    if result.probe is not None:
        add(judge.linear_name, *_probe(result, result.probe, judge, labels["test"]))
    elif result.frozen_features and "logistic" in names:
        pairs = {role: (result.frozen_features[role], labels[role]) for role in labels}
        given = pairs["train"], pairs.get("validation"), pairs["test"]
        groups = None if "validation" in pairs else parts["train"].split_groups()
        add(judge.linear_name, *judge.linear(*given, class_names, seed=seed, groups=groups))
    if "probe" in names:
        add(LIGHT_HEAD, *_light_head(result, judge, labels))
    if "oracle" in names and TARGET in labels:
        add(ORACLE, *_light_head(result, judge, labels, TARGET))
    if "classical" in names:
        add(CLASSICAL, *_classical(trained, judge, labels))
    is_scratch = (
        trained.recipe and trained.recipe.method and trained.recipe.method.name == "scratch"
    )
    if "scratch" in names and is_scratch:
        lines.say("baseline", "scratch is what this run itself is, so it is not measured again")
    elif "scratch" in names:
        add("scratch", *_scratch(result, judge))
    if WITHOUT_SOURCE in names:
        add(WITHOUT_SOURCE, *_without_source(result, judge))
    return rows


def _light_head(
    result: TrainingResult,
    judge: Evaluator[Any],
    labels: Mapping[str, np.ndarray],
    role: str = TRAIN,
) -> tuple[BaselineRow, Any]:
    """`(row, candidate)` of what --method=probe would train; the head answers with one class.

    Args:
        result: of the training, with the frozen features.
        judge: of the head.
        labels: role -> labels.
        role: of the rows that it is trained on; TARGET for the oracle, which knows their labels.
    """
    trained, features = result.model, result.frozen_features
    num_classes, seed = len(trained.class_names), trained.run_options.runtime.seed
    targets = np.eye(num_classes)[labels[role]]
    groups = trained.splits[role].split_groups()
    rows = FrozenRows(features[role], targets, np.ones(len(targets)), groups)
    found = choice.choose(families.pick(AUTO), rows, seed)
    stated = special.softmax(found.model.logits(features["test"]), axis=1).astype(np.float32)
    candidate = judge.candidate(trained.core.head, stated)
    row = BaselineRow(
        judge.measure(labels["test"], candidate, trained.class_names, seed=seed),
        chosen={"num_tried": len(found.candidates), "num_train": len(targets)},
        note=f"{found.candidate.text}: the best of {len(found.candidates)} light heads on the frozen "
        f"features by cross-validation on {role}, with {found.candidate.accuracy:.1%} right there",
    )
    return row, candidate


def _classical(
    trained: TransferModel, judge: Evaluator[Any], labels: Mapping[str, np.ndarray]
) -> tuple[BaselineRow, Any]:
    """`(row, candidate)` of a classifier that uses no pretrained network."""
    parts, seed, names = trained.splits, trained.run_options.runtime.seed, trained.class_names
    lines.say("baseline", "a classifier without a pretrained network, for comparison")
    began, train, test = time.monotonic(), parts["train"], parts["test"]
    if train.modality == "text":
        given = train.texts(), labels["train"], test.texts()
        found = classical.of_texts(*given, len(names), seed)
    else:
        features = [classical.picture_features(_pictures(trained, part)) for part in (train, test)]
        found = classical.of_pictures(features[0], labels["train"], features[1], len(names), seed)
    candidate = judge.candidate(trained.core.head, found.probabilities)
    row = BaselineRow(
        judge.measure(labels["test"], candidate, names, seed=seed),
        note=found.note,
        time_s=time.monotonic() - began,
    )
    return row, candidate


def _pictures(trained: TransferModel, part: Source) -> Iterator[np.ndarray]:
    """Batches of pictures as the network sees them, float32[B, S, S, C], 0..255."""
    for batch in trained.dataset(part, trained.eval_batch_size):
        inputs = batch[0] if isinstance(batch, tuple) else batch
        yield inputs["image"].numpy()


def _probe(
    result: TrainingResult, stated: np.ndarray, judge: Evaluator[Any], labels: np.ndarray
) -> tuple[BaselineRow, Any]:
    """`(row, candidate)` of the head that the method solved for before it trained the network."""
    trained, tried = result.model, [row for row in result.history if "penalty" in row]
    candidate = judge.candidate(trained.core.head, stated)
    seed = trained.run_options.runtime.seed
    row = BaselineRow(
        judge.measure(labels, candidate, trained.class_names, seed=seed),
        chosen={
            "is_probe": True,
            "grid": [row["penalty"] for row in tried],
            "num_train": len(trained.splits["train"]),
        },
        note="the probe from which fine-tuning started: logistic regression on the frozen features, "
        "fitted on train, penalty from validation",
    )
    return row, candidate


def _scratch(result: TrainingResult, judge: Evaluator[Any]) -> tuple[BaselineRow, Any]:
    """`(row, candidate)` of the same run from random weights, with all weights trained."""
    norm = result.given.train.norm
    if norm == "frozen":  # the statistics of random weights mean nothing
        norm = "auto"
    lines.say("baseline", "the same network from random weights, for comparison")
    chosen = options.replace(result.given, method="scratch", norm=norm)
    return _trained_anew(result, judge, chosen, "from random weights, everything trained")


def _without_source(result: TrainingResult, judge: Evaluator[Any]) -> tuple[BaselineRow, Any]:
    """`(row, candidate)` of the same run from where the run that --backbone names had begun."""
    given = result.given
    start = run_folder.read_options(given.model.backbone).model
    lines.say("baseline", f"the same run from {start.backbone}, without its source, for comparison")
    begun = {"backbone": start.backbone, "backbone_weights": start.backbone_weights}
    if given.model.head_weights not in HEAD_STARTS:
        begun["head_weights"] = ""
    chosen = options.replace(given, **begun)
    return _trained_anew(result, judge, chosen, f"from {start.backbone}, without its source")


def _trained_anew(
    result: TrainingResult, judge: Evaluator[Any], chosen: options.Options, how: str
) -> tuple[BaselineRow, Any]:
    """`(row, candidate)` of a run with other options on the same rows, its inputs of the same size.

    Args:
        result: of the run.
        judge: of its head.
        chosen: the other options.
        how: what differs, in words.
    """
    trained = result.model
    own = options.flag_values(trained.run_options)
    sizes = {name: own[name] for name in ("image_size_px", "text_length")}
    chosen = options.replace(chosen, **sizes, output="", baseline="none")
    source = trained.recipe.source if trained.recipe else None
    with lines.indented():
        fitted = training.fit_parts(chosen, trained.splits, source)
    other, test = fitted.model, trained.splits["test"]
    used = other.run_options.train
    candidate = judge.candidate(other.core.head, other.scores(test, other.eval_batch_size))
    row = BaselineRow(
        judge.measure(
            np.asarray(test.labels), candidate, trained.class_names, seed=chosen.runtime.seed
        ),
        note=f"the same flags {how}: {used.train_epochs} epochs, {used.optimizer} at {used.learning_rate:g}",
        time_s=fitted.times_s["train"],
    )
    return row, candidate

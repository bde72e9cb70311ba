"""Ranks networks by scores of their frozen features."""

import dataclasses
import functools
import math
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from tltf.config import checks
from tltf.config.options import replace
from tltf.config.rank_options import RankOptions
from tltf.console import lines
from tltf.data import label_kinds, loader
from tltf.data.source import Source
from tltf.errors import DataError, FlagError
from tltf.evaluation import transferability
from tltf.experiments.ranking import candidates
from tltf.experiments.ranking.candidates import Candidate, CandidateFeatures
from tltf.heads.light import choice, families
from tltf.heads.light.light_model import FrozenRows
from tltf.heads.solving import standard_inputs

TITLES = {
    "probe": "light head",
    "log_me": "LogME",
    "h_score": "H-score",
    "nearest": "nearest 5",
    "leep": "LEEP",
    "nce": "NCE",
}
"""Name of a score -> what it is called."""


@dataclasses.dataclass(frozen=True)
class RankedNetwork:
    """A network with its scores.

    Args:
        candidate: the network, its size, and where features are taken.
        scores: name of a score -> its value; higher is better, nan where rows are too few for it. leep and
            nce are there where the network still has its own output layer.
        score_seconds: name of a score -> the time that it took on the features.
        ms_per_example: of a pass through the network.
        num_parameters: numbers in the network.
        num_features: width of its features.
        licence: of its weights.
    """

    candidate: Candidate
    scores: dict[str, float]
    score_seconds: dict[str, float]
    ms_per_example: float
    num_parameters: int
    num_features: int
    licence: str


@dataclasses.dataclass(frozen=True)
class Ranking:
    """Networks in the order of a score, the best first.

    Args:
        networks: at least one.
        sort_by: the score that orders them.
        data: the call string of the data.
        num_rows: training rows that were looked at.
        num_classes: classes of the data.
        notes: what a reader must know, in sentences.
    """

    networks: list[RankedNetwork]
    sort_by: str
    data: str
    num_rows: int
    num_classes: int
    notes: list[str]

    def to_json(self) -> dict[str, Any]:
        """Plain JSON, as ranking.json holds it."""
        found = dataclasses.asdict(self)
        for row, network in zip(found["networks"], self.networks, strict=True):
            row["flags"] = network.candidate.flags
        return found


def run(options: RankOptions) -> Ranking:
    """Ranks the networks that the options name.

    Raises:
        FlagError: the labels are not one class a row, or a network does not take the rows.
        DataError: the data cannot be read, or the weights of every network are out of reach.
    """
    first = replace(options, backbone=options.ranking.backbones.split("|")[0].strip())
    recipe = checks.resolve(first, needs_output=False)
    if recipe.label_kind != label_kinds.CLASS:
        what = f"ranks networks for one class a row, not for {recipe.head.text}"
        raise FlagError(what, flag="head", fix="--head=classify")
    rows = drawn_rows(loader.training_parts(first, recipe)["train"], options)
    networks, notes = list[RankedNetwork](), list[str]()
    for found in candidates.tried_features(
        options, recipe, rows, candidates.backbones_of(options, rows.modality)
    ):
        if isinstance(found, str):
            notes.append(found)
            lines.say("network", found)
            continue
        networks.append(score(found, rows, options.runtime.seed))
        lines.say("network", _told(networks[-1]))
    if not networks:
        raise candidates.none_tried(notes)
    sort_by = options.ranking.sort_by
    networks.sort(key=lambda one: -_known(one, sort_by))
    return Ranking(
        networks,
        sort_by,
        recipe.source.text,
        len(rows),
        len(rows.class_names),
        [*notes, *_notes(networks, sort_by)],
    )


def drawn_rows(rows: Source, options: RankOptions) -> Source:
    """At most --rows training rows, drawn by the seed, of each class its share and at least two."""
    most, labels = options.ranking.rows, np.asarray(rows.labels)
    if len(rows) <= most:
        return rows
    random, chosen = np.random.default_rng(options.runtime.seed), []
    for name in np.unique(labels):
        places = np.flatnonzero(labels == name)
        count = max(min(2, len(places)), round(most * len(places) / len(rows)))
        chosen.append(random.choice(places, min(count, len(places)), replace=False))
    return rows.take(np.sort(np.concatenate(chosen)))


def score(found: CandidateFeatures, rows: Source, seed: int) -> RankedNetwork:
    """The scores of a network, each with the time that it took."""
    scores, seconds = dict[str, float](), dict[str, float]()
    for name, compute in scores_of(found, rows, seed).items():
        began = time.perf_counter()
        scores[name] = compute()
        seconds[name] = time.perf_counter() - began
    return RankedNetwork(
        found.candidate,
        scores,
        seconds,
        found.ms_per_example,
        found.num_parameters,
        found.features.shape[1],
        found.licence,
    )


def scores_of(found: CandidateFeatures, rows: Source, seed: int) -> dict[str, Callable[[], float]]:
    """Name of a score -> what computes it, for the scores that a network has; none is computed yet.

    log_me, h_score and nearest see standardised features: a network whose features have very different scales is
    otherwise judged by its few largest ones (docs/measured.md). The linear model of log_me has no bias, so its targets
    are centered too.
    """
    features, labels, groups = found.features, np.asarray(rows.labels), rows.split_groups()
    targets = np.eye(len(rows.class_names))[labels]
    standard = functools.cache(lambda: _standardised(features))
    given: dict[str, Callable[[], float]] = {
        "probe": lambda: probe_accuracy(features, targets, groups, seed),
        "log_me": lambda: transferability.log_me(standard(), targets - targets.mean(axis=0)),
        "h_score": lambda: transferability.h_score(standard(), labels),
        "nearest": lambda: transferability.nearest(standard(), labels, groups),
    }
    if (source := found.source) is not None:
        given["leep"] = lambda: transferability.leep(source, labels)
        given["nce"] = lambda: transferability.nce(source.argmax(axis=1), labels)
    return given


def _standardised(features: np.ndarray) -> np.ndarray:
    """float64[N, d]: each feature with mean 0 and deviation 1, constant ones as 0."""
    rows = np.asarray(features, np.float64)
    count = len(rows)
    mean, deviation = standard_inputs.moments(rows, np.arange(count), np.full(count, 1 / count))
    return (rows - mean) / standard_inputs.scales(deviation)


def probe_accuracy(
    features: np.ndarray, targets: np.ndarray, groups: np.ndarray, seed: int
) -> float:
    """The accuracy of the tuned light head on rows that it was not fitted on; nan for too few rows.

    Args:
        features: float[N, d].
        targets: float[N, C], 1 at the class of a row and 0 elsewhere.
        groups: [N], equal for rows that stay together, so that none is judged by its copy.
        seed: of the folds.
    """
    rows = FrozenRows(features, targets, np.ones(len(features)), groups)
    try:
        return choice.choose(families.pick("auto"), rows, seed).candidate.accuracy
    except DataError:
        return math.nan


def _told(network: RankedNetwork) -> str:
    scores = ", ".join(f"{name} {value:.3g}" for name, value in network.scores.items())
    return f"{name_of(network.candidate)}: {scores}"


def name_of(candidate: Candidate) -> str:
    """`efficientnet_lite0, 96 px, stage_3`."""
    size = f"{candidate.image_size_px} px" if candidate.image_size_px else ""
    tap = candidate.tap if candidate.tap != candidates.LAST else ""
    return ", ".join(filter(None, [candidate.backbone, size, tap]))


def _known(network: RankedNetwork, name: str) -> float:
    """A score of a network; the lowest number where it could not be computed."""
    value = network.scores[name]
    return -math.inf if math.isnan(value) else value


def _notes(networks: list[RankedNetwork], sort_by: str) -> list[str]:
    """Which scores agree with the order, and which name another network."""
    firsts = dict[str, list[str]]()
    for name in TITLES:
        if not all(name in one.scores for one in networks):
            continue
        best = max(networks, key=lambda one: _known(one, name))
        if name != sort_by and best is not networks[0]:
            firsts.setdefault(name_of(best.candidate), []).append(TITLES[name])
    return [
        f"By {' and '.join(titles)} the first would be {first}." for first, titles in firsts.items()
    ]

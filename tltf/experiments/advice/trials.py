"""What the networks of advice reach with a light head, and what opponents without pretraining reach on the same rows."""

import dataclasses
import time
from collections.abc import Iterator

import numpy as np

from tltf.config.advise_options import CHEAP_BACKBONES, SMALL_SIDE_PX, AdviseOptions
from tltf.config.options import flag_values, make, replace, run_options
from tltf.config.rank_options import RankOptions
from tltf.config.recipe import Recipe
from tltf.console import lines
from tltf.data import pipeline
from tltf.data.images.preprocessing import ImagePreprocessing
from tltf.data.source import Source
from tltf.errors import DataError, FlagError
from tltf.evaluation import classical, held_out
from tltf.evaluation.held_out import Difference
from tltf.experiments.advice.data_facts import DataFacts
from tltf.experiments.ranking import candidates, ranking
from tltf.experiments.ranking.candidates import Candidate, CandidateFeatures
from tltf.heads.light.light_model import FrozenRows

RANDOM, CLASSICAL = "random weights", "classical"
"""The opponents of a pretrained network."""
BATCH = 128
PENALTIES = (0.1, 1.0)
"""Of words of texts: fewer than the baseline tries, and in two folds, since that took longer than the networks; it had 69.4 %
of 1,000 film reviews right, and so has 69.6 %."""


@dataclasses.dataclass(frozen=True)
class TriedNetwork:
    """A network with what a light head reaches on it.

    Args:
        candidate: the network, and the side of its input.
        accuracy: 0..1, on rows that the head was neither fitted nor chosen on.
        ms_per_example: of a pass through the network, decoding and all.
        head_s: seconds that the heads of all folds took.
        num_parameters: numbers in the network.
        num_features: width of its features.
        licence: of its weights.
        distance: of the rows from its pretraining rows, see `source_distance`; None where it cannot tell.
        token_text: how its tokenizer fits the texts; empty for images.
        below_best: how much more often the best network is right; None for that itself.
    """

    candidate: Candidate
    accuracy: float
    ms_per_example: float
    head_s: float
    num_parameters: int
    num_features: int
    licence: str
    distance: float | None
    token_text: str = ""
    below_best: Difference | None = None

    @property
    def name(self) -> str:
        """`efficientnet_lite0, 96 px`."""
        return ranking.name_of(self.candidate)

    @property
    def is_as_good(self) -> bool:
        """Whether it cannot be told from the best: the difference is at most one standard error."""
        gap = self.below_best
        return gap is None or gap.value <= (gap.high - gap.value) / 1.96


@dataclasses.dataclass(frozen=True)
class Opponent:
    """A classifier without a pretrained network.

    Args:
        name: RANDOM or CLASSICAL.
        title: what it is, in words.
        accuracy: 0..1, on the same folds.
        gain: how much more often the best network's light head is right.
    """

    name: str
    title: str
    accuracy: float
    gain: Difference


@dataclasses.dataclass(frozen=True)
class JudgedFeatures:
    """Features of the rows, and which rows a light head on them has right.

    Args:
        network: of the features.
        rows: the features with the labels.
        right: bool[N].
    """

    network: TriedNetwork
    rows: FrozenRows
    right: np.ndarray


def rank_options(options: AdviseOptions, facts: DataFacts) -> RankOptions:
    """The options by which `tltf.rank` tries the networks."""
    names = options.advice.backbones
    if names == "auto":
        names = "|".join(CHEAP_BACKBONES[facts.modality])
    given, sizes = flag_values(run_options(options)), options.advice.image_sizes_px
    return make(
        RankOptions, **given, backbones=names, image_sizes_px=sizes, rows=options.advice.rows
    )


def sizes_to_try(options: AdviseOptions, facts: DataFacts) -> list[str]:
    """The values of --image_sizes_px that are tried one after the other, the later ones with the best network alone."""
    given, size = options.advice.image_sizes_px, options.model.image_size_px
    is_small = 0 < facts.largest_side_px < SMALL_SIDE_PX
    if given == "auto" and size is None and is_small:
        return [str(SMALL_SIDE_PX), "auto"]
    return [given]


def networks(
    options: AdviseOptions, recipe: Recipe, facts: DataFacts, rows: Source, until: float
) -> Iterator[JudgedFeatures | str]:
    """Each network that is tried, or why one was not.

    Args:
        options: of the command.
        recipe: what their call strings name.
        facts: of the data.
        rows: the rows that are looked at.
        until: time.monotonic() after which no other network is begun, once there is one.
    """
    best: TriedNetwork | None
    ranked, best = rank_options(options, facts), None
    for sizes in sizes_to_try(options, facts):
        own = replace(ranked, image_sizes_px=sizes)
        texts = candidates.backbones_of(own, rows.modality)
        for text in [best.candidate.backbone] if best else texts:
            if best and time.monotonic() > until:
                yield f"{text} was not tried{_at(sizes)}, as the time for advice is spent."
                continue
            for found in candidates.tried_features(
                own, recipe, rows, [text], measures_distance=True
            ):
                if isinstance(found, str):
                    yield found
                    continue
                judged = judge(found, rows, options.runtime.seed)
                if best is None or judged.network.accuracy > best.accuracy:
                    best = judged.network
                yield judged


def _at(sizes: str) -> str:
    return "" if sizes == "auto" else f" at {sizes} px"


def judge(found: CandidateFeatures, rows: Source, seed: int) -> JudgedFeatures:
    """Which rows a light head on some features has right.

    Raises:
        DataError: too few rows.
    """
    given, began = frozen_rows(found.features, rows), time.perf_counter()
    right = held_out.is_right(given, held_out.folds_of(given, seed), seed)
    network = TriedNetwork(
        found.candidate,
        float(right.mean()),
        found.ms_per_example,
        time.perf_counter() - began,
        found.num_parameters,
        found.features.shape[1],
        found.licence,
        found.distance,
        found.token_text,
    )
    lines.say("network", f"{network.name}: {network.accuracy:.1%} right with a light head")
    return JudgedFeatures(network, given, right)


def frozen_rows(features: np.ndarray, rows: Source) -> FrozenRows:
    """Features with the labels of their rows; rows of equal content stay together."""
    targets = np.eye(len(rows.class_names))[np.asarray(rows.labels)]
    return FrozenRows(features, targets, np.ones(len(rows)), rows.split_groups())


def opponents(
    options: AdviseOptions, recipe: Recipe, facts: DataFacts, rows: Source, best: JudgedFeatures
) -> Iterator[Opponent | str]:
    """What the best network must beat, or why it was not measured: its own random weights, and no network."""
    candidate = best.network.candidate
    own = replace(
        rank_options(options, facts),
        backbone_weights="none",
        image_sizes_px="auto",
        image_size_px=candidate.image_size_px or None,
    )
    title = f"{candidate.backbone} from random weights, a light head"
    lines.say("opponent", title)
    seed = options.runtime.seed
    (found,) = candidates.features_of(own, recipe, rows, [candidate.backbone])
    given = frozen_rows(found.features, rows)
    right = held_out.is_right(given, held_out.folds_of(given, seed), seed)
    yield Opponent(RANDOM, title, float(right.mean()), held_out.compare(best.right, right))
    is_text = rows.modality == "text"
    title = "words of the texts (TF-IDF)" if is_text else "edges and colours of the pictures"
    lines.say("opponent", title)
    try:
        right = _of_texts(rows, best.rows, seed) if is_text else _of_pictures(rows, seed)
        yield Opponent(CLASSICAL, title, float(right.mean()), held_out.compare(best.right, right))
    except (DataError, FlagError) as error:
        yield f"{title} could not be measured: {error.what}."


def _of_texts(rows: Source, given: FrozenRows, seed: int) -> np.ndarray:
    """bool[N]: which rows logistic regression on TF-IDF has right that was fitted on the other folds."""
    folds, labels, texts = held_out.folds_of(given, seed), np.asarray(rows.labels), rows.texts()
    right = np.zeros(len(labels), bool)
    for fold in range(held_out.NUM_FOLDS):
        held, rest = np.flatnonzero(folds == fold), np.flatnonzero(folds != fold)
        train, judged = ([texts[int(place)] for place in places] for places in (rest, held))
        num_classes = len(rows.class_names)
        found = classical.of_texts(
            train, labels[rest], judged, num_classes, seed, penalties=PENALTIES, most_folds=2
        )
        right[held] = found.probabilities.argmax(axis=1) == labels[held]
    return right


def _of_pictures(rows: Source, seed: int) -> np.ndarray:
    """bool[N]: the same for a light head on edges and colours."""
    prepared = ImagePreprocessing(classical.SIDE_PX, 3)
    batches = pipeline.build(rows, prepared, batch_size=BATCH, cache_bytes=0)
    features = classical.picture_features(batch[0]["image"].numpy() for batch in batches)
    given = frozen_rows(features, rows)
    return held_out.is_right(given, held_out.folds_of(given, seed), seed)

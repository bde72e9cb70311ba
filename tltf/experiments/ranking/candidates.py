"""The networks that are ranked, and what each of them gives for the rows."""

import dataclasses
import time
from collections.abc import Iterator

import keras
import numpy as np
from scipy import special

from tltf.caching import frozen_outputs
from tltf.caching.frozen_outputs import NotCached
from tltf.config import call_strings, checks
from tltf.config.call_strings import Call
from tltf.config.catalogs import BACKBONES, METHODS
from tltf.config.catalogs.row import BackboneRow
from tltf.config.options import replace
from tltf.config.rank_options import RankOptions
from tltf.config.recipe import Recipe
from tltf.data.source import Source
from tltf.errors import DataError, FlagError, StorageError
from tltf.experiments.ranking import source_distance
from tltf.graphs.frozen_prefix import BOUNDARY
from tltf.heads.pooling import pool
from tltf.methods import imagenet_names
from tltf.models.forward import ForwardPass
from tltf.models.transfer_model import TransferModel
from tltf.training import assembly
from tltf.training.distribution import strategies

TIMED_ROWS, TIMED_PASSES = 64, 2
"""Rows that a network is timed on, and passes over them, of which the fastest counts."""
PACKAGED = "packaged"
"""What `BackboneRow.weights` says of weights that a package holds."""


@dataclasses.dataclass(frozen=True)
class Candidate:
    """Where the features of a network are taken.

    Args:
        backbone: its call string.
        image_size_px: side of its input; 0 for texts.
        tap: `last` for what a head takes by default; else a stage of an image network, or a pooling of texts.
    """

    backbone: str
    image_size_px: int
    tap: str

    @property
    def flags(self) -> dict[str, str | int]:
        """The flags of a run on these features, by name."""
        found: dict[str, str | int] = {"backbone": self.backbone}
        if self.image_size_px:
            found["image_size_px"] = self.image_size_px
        if self.tap != LAST:
            name = "features" if self.image_size_px else "pooling"
            found["head"] = f"classify({name}={self.tap})"
        return found


LAST = "last"


@dataclasses.dataclass(frozen=True)
class CandidateFeatures:
    """What a candidate gives for the rows, and what that costs.

    Args:
        candidate: the candidate.
        features: float32[N, d].
        ms_per_example: of a pass through the network at this size, decoding and all.
        num_parameters: numbers in the network.
        licence: of its weights; empty where it is not known.
        source: float[N, Z], what the network says of its own classes; None where it has no output layer.
        distance: of the rows from what the network was pretrained on, see `source_distance`; None where it
            was not asked for, or the network cannot tell.
        token_text: how its tokenizer fits the texts; empty for images.
    """

    candidate: Candidate
    features: np.ndarray
    ms_per_example: float
    num_parameters: int
    licence: str
    source: np.ndarray | None = None
    distance: float | None = None
    token_text: str = ""


def backbones_of(options: RankOptions, modality: str) -> list[str]:
    """The call strings of the networks to rank.

    Raises:
        FlagError: there is none for such rows.
    """
    if options.ranking.backbones != "auto":
        return [text.strip() for text in options.ranking.backbones.split("|") if text.strip()]
    found = [
        name
        for name, row in BACKBONES.items()
        if row.modality == modality and PACKAGED in row.weights
    ]
    if not found:
        raise FlagError(f"no packaged network takes {modality}s", flag="backbones")
    return found


def features_of(
    options: RankOptions,
    recipe: Recipe,
    rows: Source,
    texts: list[str],
    *,
    measures_distance: bool = False,
) -> Iterator[CandidateFeatures]:
    """The features of each network, size and tap, one network after the other.

    Args:
        options: of the command.
        recipe: what their call strings name.
        rows: the rows with their labels.
        texts: the call strings of the networks.
        measures_distance: whether the distance of the rows from the pretraining rows is measured.

    Raises:
        FlagError: a network does not take the rows, or a size.
    """
    strategy = strategies.start(options.runtime)
    probe = call_strings.pick(METHODS, "probe", "method")
    for text in texts:
        for size in sizes_of(options, text):
            own = replace(
                options, backbone=text, image_size_px=size, method="probe", baseline="none"
            )
            call = checks.pick_backbone(text)
            if call and size:
                checks.require_size(call, size)
            chosen = dataclasses.replace(recipe, backbone=call, method=probe, baselines=())
            trained, _ = assembly.assemble(own, chosen, {"train": rows}, strategy)
            distance = source_distance.measure(trained, rows) if measures_distance else None
            for found in _of_network(trained, rows, text, options.ranking.taps, call):
                yield dataclasses.replace(found, distance=distance)
            keras.backend.clear_session()


def tried_features(
    options: RankOptions,
    recipe: Recipe,
    rows: Source,
    texts: list[str],
    *,
    measures_distance: bool = False,
) -> Iterator[CandidateFeatures | str]:
    """As `features_of`, but for a network whose weights are out of reach a sentence that says so.

    Args:
        options: as of `features_of`.
        recipe: likewise.
        rows: likewise.
        texts: likewise.
        measures_distance: likewise.

    Raises:
        FlagError: a network does not take the rows, or a size.
    """
    for text in texts:
        try:
            yield from features_of(
                options, recipe, rows, [text], measures_distance=measures_distance
            )
        except StorageError as error:
            yield f"{text} was not tried: {error.what}."


def none_tried(notes: list[str]) -> DataError:
    """The error of a command for which no network could be tried.

    Args:
        notes: what `tried_features` said of them.
    """
    what = f"no network could be tried: {' '.join(notes)}"
    return DataError(what, flag="backbones", fix="--backbones=NAME")


def sizes_of(options: RankOptions, text: str) -> list[int | None]:
    """The sides of the input at which a network is ranked; [None] for its own."""
    given = [part.strip() for part in options.ranking.image_sizes_px.split(",") if part.strip()]
    if given == ["auto"]:
        return [options.model.image_size_px]
    if not all(part.isdecimal() and int(part) > 0 for part in given) or not given:
        what = f"takes whole numbers joined with commas (received {options.ranking.image_sizes_px})"
        raise FlagError(what, flag="image_sizes_px", fix="--image_sizes_px=96,160")
    return [int(part) for part in given]


def _of_network(
    trained: TransferModel, rows: Source, text: str, taps: str, call: Call[BackboneRow] | None
) -> Iterator[CandidateFeatures]:
    backbone = trained.core.backbone
    names = tap_names(trained) if taps == "all" else [LAST]
    model = trained.feature_model() if names == [LAST] else _model_of_taps(trained, names)
    before = ms_per_example(trained, model, rows)
    found = _outputs(trained, model, rows)
    cost = min(before, ms_per_example(trained, model, rows))  # other work may slow one of them
    count = sum(int(np.prod(weight.shape)) for layer in backbone.layers for weight in layer.weights)
    licence = call.row.licence if call and call.row else ""
    for name, features in zip(names, found, strict=True):
        candidate = Candidate(text, backbone.image_size_px, name)
        source = _own_classes(trained, features) if name == LAST else None
        tokens = str(assembly.count_tokens(trained) or "")
        yield CandidateFeatures(
            candidate, features, cost, count, licence, source, token_text=tokens
        )


def _own_classes(trained: TransferModel, features: np.ndarray) -> np.ndarray | None:
    """float[N, 1000]: the probabilities of ImageNet's classes; None where the network has lost its output layer."""
    if trained.core.backbone.modality != "image":
        return None
    try:
        output = imagenet_names.output_layer(trained.core)
    except FlagError:
        return None
    found: np.ndarray = special.softmax(output.logits(features), axis=1)
    return found


def tap_names(trained: TransferModel) -> list[str]:
    """The stages of an image network, or the poolings of a text network; `last` stands for the usual one."""
    taps = trained.core.backbone.taps
    if trained.core.backbone.modality == "image":
        return [*list(taps)[:-1], LAST]
    return [LAST, "average", "first", *(["pooled"] if "pooled" in taps else [])]


def _model_of_taps(trained: TransferModel, names: list[str]) -> keras.Model:
    """The model from the core's inputs to the pooled features of each tap, in the order of the names."""
    backbone, outputs = trained.core.backbone, {}
    for number, name in enumerate(names):
        is_stage = backbone.modality == "image" and name != LAST
        pooling = "auto" if is_stage or name == LAST else name
        pooled = pool(backbone.taps, backbone.modality, pooling, (name,) if is_stage else ())
        outputs[f"{BOUNDARY}{number}"] = pooled
    return keras.Model(backbone.inputs, outputs)


def _outputs(trained: TransferModel, model: keras.Model, rows: Source) -> list[np.ndarray]:
    """float32[N, d] of each output, from the cache where it is kept."""
    if trained.run_options.cache.cache:
        reading = frozen_outputs.Reading(rows, trained.preprocessing, trained.takes_any_length)
        try:
            arrays = trained.feature_cache.table(model, reading).arrays(np.float32)
            return [np.asarray(arrays[name]) for name in model.output]
        except NotCached:
            pass
    data = trained.dataset(rows, trained.eval_batch_size)
    return [ForwardPass(model, name)(data) for name in model.output]


def ms_per_example(trained: TransferModel, model: keras.Model, rows: Source) -> float:
    """Milliseconds of a row, from its file or text to its features, in batches of up to TIMED_ROWS rows."""
    few = rows.take(np.arange(min(TIMED_ROWS, len(rows))))
    forward = ForwardPass(model, list(model.output)[-1])
    forward(trained.dataset(few, len(few)))  # traces the graph
    found = list[float]()
    for _ in range(TIMED_PASSES):
        began = time.perf_counter()
        forward(trained.dataset(few, len(few)))
        found.append(time.perf_counter() - began)
    return 1000 * min(found) / len(few)

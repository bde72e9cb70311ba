"""Whether an explanation is one: what happens to the output when the parts that it names are deleted.

Deletion and insertion: Petsiuk et al. 2018, arXiv:1806.07421, algorithm 1. Parts of an input are hidden in the
order of their values, the largest first, and the area under the explained output falls below that of a
random order; or they are shown alone in that order, and the area rises above it. Departs: the output is
the explained one, before softmax, so that every head has it; parts are the cells of a grid, or words; and
what is hidden is blurred in both curves, or has the tokens of a mask.
"""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf
from PIL import Image

from tltf.data.texts.preprocessing import TextPreprocessing
from tltf.data.texts.words import parts_of
from tltf.evaluation.explanations import baselines
from tltf.evaluation.explanations.explainer import explained_outputs
from tltf.evaluation.explanations.explanation import Explanation
from tltf.evaluation.explanations.model_explainer import ExplainedRows
from tltf.models.served_model import ServedModel

CELLS = 14
"""Cells on a side of the grid in which a picture is hidden."""
NUM_SHARES = 11
"""Points of a curve, from nothing to everything, in equal steps."""
NUM_RANDOM = 3
"""Random orders whose areas are averaged."""
NEVER = 2.0
"""The place of what is never hidden, such as the tokens around a text."""


@dataclasses.dataclass(frozen=True)
class Areas:
    """The mean of the explained output over the points of each curve.

    Args:
        deletion: float64[N]; the lower, the better the order.
        insertion: float64[N]; the higher, the better the order.
    """

    deletion: np.ndarray
    insertion: np.ndarray


@dataclasses.dataclass(frozen=True)
class Faithfulness:
    """Areas of an explainer beside those of random orders of the same inputs.

    Args:
        own: of the explainer's order.
        random: means over NUM_RANDOM random orders.
    """

    own: Areas
    random: Areas

    def p_values(self) -> tuple[float, float]:
        """Of deletion and of insertion: the one-sided Wilcoxon signed-rank test against random orders."""
        gains = self.random.deletion - self.own.deletion, self.own.insertion - self.random.insertion
        return _p_value(gains[0]), _p_value(gains[1])

    def __str__(self) -> str:
        texts = []
        for name, p in zip(("deletion", "insertion"), self.p_values(), strict=True):
            own, random = getattr(self.own, name), getattr(self.random, name)
            better = (own < random) if name == "deletion" else (own > random)
            texts.append(
                f"{name} {own.mean():.3g}, random {random.mean():.3g} "
                f"(better in {better.mean():.0%}, p = {p:.1g})"
            )
        return "; ".join(texts)


def _p_value(gains: np.ndarray) -> float:
    from scipy import stats

    if not np.any(gains):
        return 1.0
    return float(stats.wilcoxon(gains, alternative="greater").pvalue)


def measure(
    model: ServedModel,
    rows: ExplainedRows,
    explanations: Sequence[Explanation],
    batch_size: int,
    seed: int = 0,
) -> Faithfulness:
    """The Faithfulness of explanations of some rows.

    Args:
        model: whose answers they are.
        rows: what was explained.
        explanations: one for each row, with all parts of its text.
        batch_size: passes that are computed together.
        seed: of the random orders.
    """
    generator = np.random.default_rng(seed)
    elements = _elements(model, rows, explanations)
    own = areas(model, rows, [_places(row, row.values, generator) for row in elements], batch_size)
    others = []
    for _ in range(NUM_RANDOM):
        orders = [_places(row, generator.random(len(row.values)), generator) for row in elements]
        others.append(areas(model, rows, orders, batch_size))
    return Faithfulness(
        own,
        Areas(
            np.mean([other.deletion for other in others], axis=0),
            np.mean([other.insertion for other in others], axis=0),
        ),
    )


@dataclasses.dataclass(frozen=True)
class _Elements:
    """The parts of one input.

    Args:
        values: float[K], of the explanation.
        owners: int[h, w] or int[L]: the part that a pixel or a token belongs to; -1 for none.
    """

    values: np.ndarray
    owners: np.ndarray


def _elements(
    model: ServedModel, rows: ExplainedRows, explanations: Sequence[Explanation]
) -> list[_Elements]:
    """The parts of each row: cells of a grid, or words."""
    prepared = model.preprocessing
    if not isinstance(prepared, TextPreprocessing):
        side = model.core.backbone.image_size_px
        return [_cells(found.heat, side) for found in explanations if found.heat is not None]
    length = int(rows.tensors["token_ids"].shape[1])
    texts = parts_of(prepared, rows.texts)
    found = []
    for parts, explanation in zip(texts, explanations, strict=True):
        owners, values = np.full(length, -1), list[float]()
        for part, explained in zip(parts, explanation.parts or (), strict=True):
            if explained.value is not None:
                owners[part.first : part.end] = len(values)
                values.append(explained.value)
        found.append(_Elements(np.array(values), owners))
    return found


def _cells(heat: np.ndarray, side: int) -> _Elements:
    """The cells of a picture of side x side pixels with the mean values in them."""
    count = min(CELLS, side)
    image = Image.fromarray(np.asarray(heat, np.float32))
    values = np.asarray(image.resize((count, count), Image.Resampling.BOX))
    edges = np.arange(side) * count // side
    return _Elements(values.ravel(), edges[:, None] * count + edges[None, :])


def _places(row: _Elements, values: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """float32 of the shape of `owners`: the place, 0 to below 1, at which each is hidden.

    Equal values are in a random order.
    """
    order = np.lexsort((generator.random(len(values)), -values))
    places = np.empty(len(values) + 1, np.float32)
    places[order] = np.arange(len(values)) / max(len(values), 1)
    places[-1] = NEVER
    return places[row.owners]


def areas(
    model: ServedModel, rows: ExplainedRows, orders: Sequence[np.ndarray], batch_size: int
) -> Areas:
    """The Areas of rows whose parts are hidden in some order.

    Args:
        model: whose outputs they are.
        rows: N rows.
        orders: for each row float[h, w] or float[L], the place of each pixel or token, 0 to below 1.
        batch_size: passes that are computed together.
    """
    hide, places = _hider(model, rows), np.stack(orders)
    shares = np.linspace(0.0, 1.0, NUM_SHARES)
    row_of = np.repeat(np.arange(len(orders)), NUM_SHARES)
    share_of = np.tile(shares, len(orders)).astype(np.float32)
    results = np.empty((2, len(row_of)))
    for start in range(0, len(row_of), batch_size):
        part = slice(start, start + batch_size)
        own = row_of[part]
        share = share_of[part].reshape(-1, *[1] * (places.ndim - 1))
        is_later = places[own] >= share
        for kind, is_hidden in enumerate((~is_later, is_later & (places[own] != NEVER))):
            outputs = explained_outputs(
                model.core, model.core.model, hide(own, is_hidden), rows.chosen[own]
            )
            results[kind, part] = outputs.numpy()
    deletion, insertion = results.reshape(2, len(orders), NUM_SHARES).mean(axis=2)
    return Areas(deletion, insertion)


def _hider(
    model: ServedModel, rows: ExplainedRows
) -> Callable[[np.ndarray, np.ndarray], dict[str, tf.Tensor]]:
    """The function of rows int[B] and of what is hidden of them, bool[B, ...], to inputs of the core."""
    prepared = model.preprocessing
    if isinstance(prepared, TextPreprocessing):
        ids = rows.tensors["token_ids"].numpy()
        hidden_ids = baselines.of_tokens(ids, prepared, "auto")

        def hide_words(own: np.ndarray, is_hidden: np.ndarray) -> dict[str, tf.Tensor]:
            shown = np.where(is_hidden, hidden_ids[own], ids[own])
            taken = {name: tf.gather(tensor, own) for name, tensor in rows.tensors.items()}
            return {**taken, "token_ids": tf.constant(shown)}

        return hide_words
    ((name, tensor),) = rows.tensors.items()
    pixels = tensor.numpy()
    blurred = baselines.of_images(pixels, "blurred")

    def hide_cells(own: np.ndarray, is_hidden: np.ndarray) -> dict[str, tf.Tensor]:
        return {name: tf.constant(np.where(is_hidden[..., None], blurred[own], pixels[own]))}

    return hide_cells

"""Integrated gradients: what each pixel or token adds to an output, in shares that sum up to all of it."""

import dataclasses
from collections.abc import Callable
from typing import ClassVar

import numpy as np
import tensorflow as tf

from tltf.data.texts.preprocessing import TextPreprocessing
from tltf.errors import FlagError, ModelError
from tltf.evaluation.explanations import baselines
from tltf.evaluation.explanations.explainer import (
    Attribute,
    Attributions,
    Explainer,
    Tensors,
    explained_outputs,
)
from tltf.graphs import functional
from tltf.graphs.split_graph import split_at
from tltf.models.served_model import ServedModel

FIRST_STEPS = 16
"""Points on the path of the first attempt."""
POINT = "tltf_embedded_"
"""The prefix of the names of what the token embeddings give."""
Outputs = Callable[[list[tf.Tensor], np.ndarray], tf.Tensor]
"""`(points float32[B, ...] of rows int[B], these rows)` -> the explained outputs float32[B]."""


@dataclasses.dataclass(frozen=True)
class IntegratedGradients(Explainer):
    """(x - x') times the mean gradient of the output on the straight line from x' to x.

    Sundararajan et al. 2017, arXiv:1703.01365, equation 1. By the axiom of completeness the values sum
    up to F(x) - F(x'). The mean is a Gauss-Legendre quadrature, whose number of points is doubled from
    16 until the values do so, for each input on its own. Values of a pixel's channels are summed up, and so
    are those of a token's dimensions.

    For images x is the pixels. For texts it is what the layers give that take the token ids; x' is what
    they give for the same text with every token replaced by the mask (or, without a mask, by the
    unknown word, or padding), while the tokens at its start and its end stay.

    Args:
        baseline: x'. For images: auto, which is blurred; blurred; black; white; grey; mean, the mean
            colour of the picture. For texts: auto; mask; pad, the token of padding.
        tolerance: the most by which the sum may be off, as a share of F(x) - F(x').
        most_steps: points after which the doubling ends, and the error stays as it is.

    Raises:
        FlagError: an unknown baseline, or a number out of its range.
    """

    baseline: str = "auto"
    tolerance: float = 0.01
    most_steps: int = 512

    modalities: ClassVar[tuple[str, ...]] = ("image", "text")
    is_signed: ClassVar[bool] = True

    def __post_init__(self) -> None:
        known = list(dict.fromkeys([*baselines.OF_IMAGES, *baselines.OF_TEXTS]))
        if self.baseline not in known:
            what = f"there is no baseline {self.baseline!r} (choices: {', '.join(known)})"
            raise FlagError(what, flag="explainer", fix="baseline=auto")
        if not self.tolerance > 0:
            raise FlagError(
                f"tolerance must be above 0 (received {self.tolerance})", flag="explainer"
            )
        if self.most_steps < 1:
            raise FlagError(
                f"most_steps must be above 0 (received {self.most_steps})", flag="explainer"
            )

    def attach(self, model: ServedModel, batch_size: int) -> Attribute:
        """The method for one model.

        Raises:
            FlagError: a baseline of the other modality.
            ModelError: nothing that can be differentiated takes the token ids.
        """
        modality = model.core.backbone.modality
        choices = baselines.OF_IMAGES if modality == "image" else baselines.OF_TEXTS
        if self.baseline not in choices:
            what = (
                f"baseline={self.baseline} is not for {modality}s (choices: {', '.join(choices)})"
            )
            raise FlagError(what, flag="explainer", fix="baseline=auto")
        return (self._of_images if modality == "image" else self._of_texts)(model, batch_size)

    def _of_images(self, model: ServedModel, batch_size: int) -> Attribute:
        core = model.core
        (name,) = core.backbone.inputs

        def attribute(tensors: Tensors, chosen: np.ndarray) -> Attributions:
            def outputs(points: list[tf.Tensor], rows: np.ndarray) -> tf.Tensor:
                return explained_outputs(core, core.model, {name: points[0]}, chosen[rows])

            pixels = tf.cast(tensors[name], tf.float32)
            start = baselines.of_images(pixels.numpy(), self.baseline)
            return self._integrated(_Paths(outputs, [tf.constant(start)], [pixels], batch_size))

        return attribute

    def _of_texts(self, model: ServedModel, batch_size: int) -> Attribute:
        core, prepared = model.core, model.preprocessing
        if not isinstance(prepared, TextPreprocessing):
            raise ModelError("a model of texts has no tokenizer")
        token_ids = core.backbone.inputs["token_ids"]
        embedded = [
            tensor
            for tensor in functional.outputs_of_consumers(core.model, token_ids)
            if "float" in tensor.dtype and len(tensor.shape) == 3
        ]
        if not embedded:
            raise ModelError("no layer makes vectors of the token ids")
        names = [f"{POINT}{number}" for number in range(len(embedded))]
        parts = split_at(core.model, dict(zip(names, embedded, strict=True)))

        def attribute(tensors: Tensors, chosen: np.ndarray) -> Attributions:
            hidden = baselines.of_tokens(tensors["token_ids"].numpy(), prepared, self.baseline)
            ends = parts.below(tensors, training=False)
            starts = parts.below({**tensors, "token_ids": tf.constant(hidden)}, training=False)

            def outputs(points: list[tf.Tensor], rows: np.ndarray) -> tf.Tensor:
                taken = {key: tf.gather(tensor, rows) for key, tensor in tensors.items()}
                vectors = dict(zip(names, points, strict=True))
                return explained_outputs(core, parts.above, taken | vectors, chosen[rows])

            ways = [starts[name] for name in names], [ends[name] for name in names]
            return self._integrated(_Paths(outputs, *ways, batch_size))

        return attribute

    def _integrated(self, paths: "_Paths") -> Attributions:
        """The Attributions along some paths."""
        every = np.arange(paths.num_rows)
        reached, begun = paths.outputs_at(paths.ends), paths.outputs_at(paths.starts)
        values = np.zeros(tuple(paths.ends[0].shape[:-1]), np.float32)
        errors, steps = np.full(len(every), np.inf, np.float32), np.zeros(len(every), np.int64)
        left, count = every, min(FIRST_STEPS, self.most_steps)
        while len(left):
            values[left] = paths.integrated(left, count)
            sums = values[left].reshape(len(left), -1).sum(axis=1, dtype=np.float64)
            errors[left] = completeness_errors(sums, reached[left] - begun[left])
            steps[left] = count
            left = left[errors[left] > self.tolerance] if 2 * count <= self.most_steps else left[:0]
            count *= 2
        return Attributions(values, reached, begun, errors, steps)


def completeness_errors(sums: np.ndarray, differences: np.ndarray) -> np.ndarray:
    """float[B]: |sum - difference| / |difference|: by how much values fail to sum up to F(x) - F(x')."""
    smallest = np.finfo(np.float32).tiny
    return np.abs(sums - differences) / np.maximum(np.abs(differences), smallest)


@dataclasses.dataclass(frozen=True)
class _Paths:
    """Straight lines from inputs in which nothing is seen to those that are explained.

    Args:
        outputs: the explained outputs at points.
        starts: float[B, ...] each.
        ends: of the same shapes; the first one's last axis is summed up in attributions.
        batch_size: points that are computed together.
    """

    outputs: Outputs
    starts: list[tf.Tensor]
    ends: list[tf.Tensor]
    batch_size: int

    @property
    def num_rows(self) -> int:
        """B."""
        return int(self.ends[0].shape[0])

    def outputs_at(self, points: list[tf.Tensor]) -> np.ndarray:
        """float32[B]: the explained outputs at `starts` or `ends`."""
        parts = self._chunks(np.arange(self.num_rows))
        return np.concatenate([self.outputs(_take(points, rows), rows).numpy() for rows in parts])

    def integrated(self, rows: np.ndarray, count: int) -> np.ndarray:
        """float32[R, ...]: the integrated gradients of some rows, int[R], with `count` points each."""
        places, weights = np.polynomial.legendre.leggauss(count)
        places, weights = (places + 1) / 2, weights / 2  # from [-1, 1] to [0, 1]
        each = np.repeat(np.arange(len(rows)), count)
        share, weight = np.tile(places, len(rows)), np.tile(weights, len(rows))
        totals = [np.zeros((len(rows), *end.shape[1:]), np.float32) for end in self.ends]
        for part in self._chunks(np.arange(len(each))):
            own, first = np.unique(each[part], return_index=True)
            gradients = self._gradients(rows[each[part]], share[part])
            for total, gradient in zip(totals, gradients, strict=True):
                weighted = gradient * _column(weight[part], gradient.ndim)
                total[own] += np.add.reduceat(weighted, first, axis=0)
        ways = [
            (end - start).numpy()
            for start, end in zip(_take(self.starts, rows), _take(self.ends, rows), strict=True)
        ]
        return sum((way * total).sum(axis=-1) for way, total in zip(ways, totals, strict=True))

    def _gradients(self, rows: np.ndarray, share: np.ndarray) -> list[np.ndarray]:
        """float32[P, ...] each: the gradients at a share float[P] of the way of some rows, int[P]."""
        points = [
            start + (end - start) * _column(share, len(end.shape))
            for start, end in zip(_take(self.starts, rows), _take(self.ends, rows), strict=True)
        ]
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(points)
            explained = self.outputs(points, rows)
        return [
            np.zeros(point.shape, np.float32) if gradient is None else gradient.numpy()
            for point, gradient in zip(points, tape.gradient(explained, points), strict=True)
        ]

    def _chunks(self, rows: np.ndarray) -> list[np.ndarray]:
        """Rows in parts of at most `batch_size`."""
        return np.split(rows, range(self.batch_size, len(rows), self.batch_size))


def _take(tensors: list[tf.Tensor], rows: np.ndarray) -> list[tf.Tensor]:
    """Some rows of tensors, as float32."""
    return [tf.cast(tf.gather(tensor, rows), tf.float32) for tensor in tensors]


def _column(values: np.ndarray, num_axes: int) -> np.ndarray:
    """float32[P, 1, ...] of float[P], with so many axes."""
    return values.reshape(-1, *[1] * (num_axes - 1)).astype(np.float32)

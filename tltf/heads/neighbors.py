"""A head that answers with the classes of the nearest of the training examples that it holds."""

import dataclasses
from typing import Any

import keras
from keras import ops

from tltf.errors import FlagError, ModelError
from tltf.heads.classify import Classify, checked_limits
from tltf.heads.head import checked_fields
from tltf.heads.light.light_model import SHARPNESS, SHORTEST, SMALLEST_SHARE


def neighbors(
    count: int = 5,
    rows: int = 0,
    pooling: str = "auto",
    features: tuple[str, ...] = (),
    temperature: float | None = None,
    sure_from: float | None = None,
    set_from: float | None = None,
) -> "NearestNeighbors":
    """The head that --method='probe(family=neighbors)' makes; see `classify` for the other arguments.

    Args:
        count: how many of the nearest examples are counted, at least 1.
        rows: number of the examples that are held; 0 before a method has put them there.
        pooling: see `classify`.
        features: see `classify`.
        temperature: see `classify`.
        sure_from: see `classify`.
        set_from: see `classify`.

    Raises:
        FlagError: a number out of its range, or an unknown pooling.
    """
    if count < 1 or rows < 0 or (rows and count > rows):
        raise FlagError(
            f"count must be from 1 to rows (received count={count}, rows={rows})", flag="head"
        )
    limits = checked_limits(temperature, sure_from, set_from)
    fields = checked_fields(pooling, (), "relu", 0.0, features)
    return NearestNeighbors(**fields, **limits, count=count, rows=rows)


@dataclasses.dataclass(frozen=True)
class NearestNeighbors(Classify):
    """A classification head without trained weights, see `light_model.Neighbors`.

    Args:
        count: how many of the nearest examples are counted.
        rows: number of the examples that are held.
    """

    count: int = 5
    rows: int = 0

    def attach(
        self, taps: dict[str, keras.KerasTensor], modality: str, num_classes: int
    ) -> tuple[keras.KerasTensor, list[keras.Layer]]:
        """See `Head`.

        Raises:
            ModelError: the head holds no examples yet.
        """
        if not self.rows:
            raise ModelError(
                "the head neighbors holds examples that only a method can put there",
                flag="head",
                fix="--head=classify --method='probe(family=neighbors)'",
            )
        features, layers = self.before_output(taps, modality)
        bank = Bank(
            self.rows, self.count, num_classes, dtype="float32", name=f"{self.name}_neighbors"
        )
        return bank(features), [*layers, bank]


class Bank(keras.layers.Layer):
    """Stored examples, and the logarithms of the shares of classes among the nearest of them.

    Args:
        rows: N.
        count: how many of the nearest are counted.
        num_classes: C.
    """

    def __init__(self, rows: int, count: int, num_classes: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.rows, self.count, self.num_classes = rows, count, num_classes

    def build(self, input_shape: tuple[None, int]) -> None:
        """Makes the variables, none of which is trained: see `light_model.Neighbors`."""
        shapes = {
            "center": (input_shape[-1],),
            "bank": (self.rows, input_shape[-1]),
            "targets": (self.rows, self.num_classes),
            "factor": (),
        }
        for name, shape in shapes.items():
            setattr(self, name, self.add_weight(shape, "zeros", trainable=False, name=name))

    def call(self, features: keras.KerasTensor) -> keras.KerasTensor:
        """float32[B, C] for float32[B, d]."""
        given = features - self.center
        length = ops.sqrt(ops.maximum(ops.sum(given * given, axis=1, keepdims=True), SHORTEST**2))
        cosines = ops.matmul(given / length, ops.transpose(self.bank))
        chosen, nearest = ops.top_k(cosines, self.count)
        parts = ops.expand_dims(ops.softmax(chosen / SHARPNESS, axis=-1), -1)
        shares = ops.sum(parts * ops.take(self.targets, nearest, axis=0), axis=1)
        return self.factor * ops.log(ops.maximum(shares, SMALLEST_SHARE))

    def compute_output_shape(self, input_shape: tuple[None, int]) -> tuple[None, int]:
        """`(B, C)`."""
        return input_shape[0], self.num_classes

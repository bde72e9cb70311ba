"""A teacher's answers to texts that it reads otherwise than the network that learns from it.

With another tokenizer, or where texts are cut to another length for it, the teacher cannot take this
network's tokens, so it answers the rows before the training, once, and a layer looks its answers up by
what this network reads of a row. Rows that this network reads alike have one answer: it cannot tell
them apart.
"""

import dataclasses
import hashlib
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tltf.graphs.backbone import Backbone

_SEED = 20260101
"""Of the factors of the keys, which must be the same wherever keys are compared."""


@dataclasses.dataclass(frozen=True)
class TextAnswers:
    """A teacher's answers to N rows.

    Args:
        token_ids: int32[N, L], what the learning network reads of the rows.
        mask: bool[N, L], true on tokens.
        logits: float32[N, C] of the teacher.
        features: float32[N, d], its pooled features.
    """

    token_ids: np.ndarray
    mask: np.ndarray
    logits: np.ndarray
    features: np.ndarray


def reads_otherwise(
    own: Backbone, teacher: Backbone, own_length: int = 0, teacher_length: int = 0
) -> bool:
    """Whether both take texts, but not the same tokens of the same text.

    Args:
        own: the learning network.
        teacher: the other one.
        own_length: tokens that texts are cut to for the learning network; 0 where that is not known.
        teacher_length: the same for the teacher.
    """
    if own.modality != "text" or teacher.modality != "text":
        return False
    if own_length and teacher_length and own_length != teacher_length:
        return True
    if set(own.inputs) != set(teacher.inputs) or type(own.tokenizer) is not type(teacher.tokenizer):
        return True
    if own.tokenizer is None:
        return False
    vocabularies = [list(one.tokenizer.get_vocabulary()) for one in (own, teacher)]
    return vocabularies[0] != vocabularies[1]


def no_answers(classes: int, width: int) -> TextAnswers:
    """Answers to no row, for a graph that will not run."""
    none, no_row = np.zeros((1, 1), np.int32), np.zeros((1, 1), bool)
    answers = np.zeros((1, classes), np.float32), np.zeros((1, width), np.float32)
    return TextAnswers(none, no_row, *answers)


def keys_of(token_ids: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
    """int64[B]: a number for each row of int[B, L] tokens, whatever the padding behind them.

    It is the sum of tokens times random factors modulo 2^64, so that two of a million different
    rows have the same one with a probability of about 1e-7.
    """
    length = tf.shape(token_ids)[1]
    factors = tf.random.stateless_uniform(
        [length], [_SEED, 0], minval=None, maxval=None, dtype=tf.int64
    )
    ids = (tf.cast(token_ids, tf.int64) + 1) * tf.cast(mask, tf.int64)
    return tf.reduce_sum(ids * factors, axis=1)


class KeptAnswers(keras.layers.Layer):
    """A layer that looks up a teacher's answers to rows by their tokens.

    It gives float32[B, C + d + 1]: logits, features, and 1 for a row that is known, 0 for another, whose
    answers are zeros.

    Args:
        answers: the answers.
    """

    def __init__(self, answers: TextAnswers, **options: Any) -> None:
        super().__init__(dtype="float32", trainable=False, **options)
        keys = keys_of(tf.constant(answers.token_ids), tf.constant(answers.mask)).numpy()
        self._keys, first = np.unique(keys, return_index=True)
        ones = np.ones((len(first), 1), np.float32)
        self._rows = np.concatenate([answers.logits[first], answers.features[first], ones], axis=1)
        with tf.init_scope():
            self._tensors = tf.constant(self._keys), tf.constant(self._rows)

    def get_config(self) -> dict[str, Any]:
        """The name and a digest of all answers, by which two such layers can be told apart."""
        digest = hashlib.sha256(self._keys.tobytes() + self._rows.tobytes()).hexdigest()
        return {"name": self.name, "digest": digest}

    def call(self, tensors: list[tf.Tensor]) -> tf.Tensor:
        """The answers to `[token_ids, mask]`, int[B, L] each."""
        keys, rows = self._tensors
        wanted = keys_of(*tensors)
        places = tf.minimum(tf.searchsorted(keys, wanted), len(self._keys) - 1)
        is_known = tf.cast(tf.gather(keys, places) == wanted, tf.float32)
        return tf.gather(rows, places) * is_known[:, None]

    def compute_output_shape(self, shapes: list[tuple[int | None, ...]]) -> tuple[int | None, int]:
        """`(B, C + d + 1)`."""
        return shapes[0][0], self._rows.shape[1]


def recall(backbone: Backbone, answers: TextAnswers, name: str) -> dict[str, keras.KerasTensor]:
    """`logits`, `features` and `is_known` float32[B, 1] of a teacher, from the inputs of a backbone.

    Args:
        backbone: the learning network.
        answers: the teacher's answers.
        name: name of the layer.
    """
    classes = answers.logits.shape[1]
    inputs = [backbone.inputs["token_ids"], backbone.inputs["padding_mask"]]
    found = KeptAnswers(answers, name=name)(inputs)
    return {
        "logits": found[:, :classes],
        "features": found[:, classes:-1],
        "is_known": found[:, -1:],
    }

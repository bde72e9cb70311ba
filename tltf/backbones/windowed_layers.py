"""Layers that read a sequence in windows, as a network read it that was trained on windows of one size.

Such a network had blanks before each text that is shorter than its window. Here texts are padded behind,
and what the network knows after a number of blanks is kept as weights, a row for each number. So
a short text gives what the network gives for it behind blanks, whatever it is padded to here.
"""

from typing import Any

import keras
from keras import ops

_HIDDEN = -1e9
"""The logit of a place that has no share in an average."""
Shape = tuple[int | None, ...]


class _Windowed(keras.layers.Layer):
    """What the layers have in common.

    Args:
        window: number of places in a window.
        options: the arguments of a Keras layer.
    """

    def __init__(self, window: int, **options: Any) -> None:
        super().__init__(**options)
        self.window = window

    def get_config(self) -> dict[str, Any]:
        """The arguments of this layer."""
        return {**super().get_config(), "window": self.window}

    def _cut(self, tensor: keras.KerasTensor) -> keras.KerasTensor:
        """[B * W, window, ...]: a tensor [B, L, ...] with zeros behind it, in W windows."""
        behind = [[0, 0], [0, self.window - 1], *[[0, 0]] * (len(tensor.shape) - 2)]
        count = (ops.shape(tensor)[1] + self.window - 1) // self.window
        padded = ops.pad(tensor, behind)[:, : count * self.window]
        return ops.reshape(padded, (-1, self.window, *tensor.shape[2:]))

    def _blanks(self, tokens: keras.KerasTensor) -> keras.KerasTensor:
        """float[B * W, window + 1]: 1 at the number of blanks of a window, from 0 or 1 at its places."""
        count = self.window - ops.sum(ops.cast(tokens, "int32"), axis=1)
        return ops.one_hot(count, self.window + 1, dtype=self.compute_dtype)


class WindowedLSTM(_Windowed):
    """An LSTM (Hochreiter & Schmidhuber 1997) that begins anew in each window.

    `start_hidden` and `start_cell`, float32[window + 1, units], are its state after so many blanks.

    Args:
        units: width of the state.
        window: number of places in a window.
        options: the arguments of a Keras layer.
    """

    def __init__(self, units: int, window: int, **options: Any) -> None:
        super().__init__(window, **options)
        self.units = units
        self.lstm = keras.layers.LSTM(
            units, return_sequences=True, name="lstm", dtype=self.dtype_policy
        )

    def build(self, sequence_shape: Shape, padding_mask_shape: Shape) -> None:
        """Makes the weights."""
        self.lstm.build((None, self.window, sequence_shape[-1]))
        shape = (self.window + 1, self.units)
        self.start_hidden = self.add_weight(shape, "zeros", name="start_hidden")
        self.start_cell = self.add_weight(shape, "zeros", name="start_cell")

    def call(
        self, sequence: keras.KerasTensor, padding_mask: keras.KerasTensor, training: bool = False
    ) -> keras.KerasTensor:
        """float[B, L, units]: the state at each place, from [B, L, d] and [B, L], 1 at tokens."""
        length = ops.shape(sequence)[1]
        blanks = self._blanks(self._cut(padding_mask))
        start = [ops.matmul(blanks, self.start_hidden), ops.matmul(blanks, self.start_cell)]
        states = self.lstm(self._cut(sequence), initial_state=start, training=training)
        together = ops.reshape(states, (ops.shape(sequence)[0], -1, self.units))
        return together[:, :length]

    def compute_output_shape(self, sequence_shape: Shape, padding_mask_shape: Shape) -> Shape:
        """The shape of the states."""
        return (*sequence_shape[:2], self.units)

    def get_config(self) -> dict[str, Any]:
        """The arguments of this layer."""
        return {**super().get_config(), "units": self.units}


class WindowedAttention(_Windowed):
    """The average of the states of a window by a learned attention, and the mean over windows by their tokens.

    In a window it is sum_t a_t x_t with a = softmax(x w) over blanks and tokens: Felbo et al. 2017,
    arXiv:1708.00524, section 3.1. `blank_average`, float32[window + 1, d], is that average over so many blanks alone,
    and `blank_logit`, float32[window + 1], the logarithm of the sum of exp(x w) over them.
    """

    def build(self, sequence_shape: Shape, padding_mask_shape: Shape) -> None:
        """Makes the weights."""
        width, count = int(sequence_shape[-1] or 0), self.window + 1
        start = keras.initializers.RandomUniform(
            -0.05, 0.05
        )  # made here, so that --seed decides it
        self.kernel = self.add_weight((width, 1), start, name="kernel")
        self.blank_average = self.add_weight((count, width), "zeros", name="blank_average")
        self.blank_logit = self.add_weight((count,), "zeros", name="blank_logit")

    def call(
        self, sequence: keras.KerasTensor, padding_mask: keras.KerasTensor
    ) -> keras.KerasTensor:
        """float32[B, d] from [B, L, d] and [B, L], 1 at tokens; zeros for a text without tokens."""
        sequence, kernel, average, logit = (
            ops.cast(x, "float32")
            for x in (sequence, self.kernel, self.blank_average, self.blank_logit)
        )
        states = self._cut(sequence)
        tokens = ops.cast(self._cut(padding_mask), "float32")
        blanks = ops.cast(self._blanks(tokens), "float32")
        logits = ops.where(tokens > 0, ops.squeeze(ops.matmul(states, kernel), -1), _HIDDEN)
        of_blanks = ops.where(blanks[:, :1] > 0, _HIDDEN, ops.matmul(blanks, logit[:, None]))
        shares = ops.softmax(ops.concatenate([of_blanks, logits], axis=1), axis=1)
        averages = shares[:, :1] * ops.matmul(blanks, average)
        averages += ops.sum(shares[:, 1:, None] * states, axis=1)
        counts = ops.sum(tokens, axis=1, keepdims=True)
        rows = (ops.shape(sequence)[0], -1)
        total = ops.sum(ops.reshape(averages * counts, (*rows, sequence.shape[-1])), axis=1)
        return total / ops.maximum(ops.sum(ops.reshape(counts, rows), axis=1, keepdims=True), 1.0)

    def compute_output_shape(self, sequence_shape: Shape, padding_mask_shape: Shape) -> Shape:
        """The shape of the average."""
        return (sequence_shape[0], sequence_shape[-1])

    def compute_output_spec(
        self, sequence: keras.KerasTensor, padding_mask: keras.KerasTensor
    ) -> keras.KerasTensor:
        """The average, float32 at every precision."""
        return keras.KerasTensor((sequence.shape[0], sequence.shape[-1]), "float32")

"""The moving average of weights."""

import keras


class Average(keras.callbacks.Callback):
    """Puts the averages of the weights in their place, before the end of an epoch is judged.

    a_t = d a_(t-1) + (1 - d) w_t, a_1 = w_1: the optimizer's `use_ema`. Keras's SwapEMAWeights
    swaps by sums, which rounds the weights that training goes on from; this one copies. The callback
    `restorer()`, which must come after those that judge, puts the weights back.
    """

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Swaps weights and averages."""
        optimizer = getattr(self.model.optimizer, "inner_optimizer", self.model.optimizer)
        averages = optimizer._model_variables_moving_average
        for variable, average in zip(optimizer._trainable_variables, averages, strict=True):
            weights = variable.numpy()
            variable.assign(average.numpy())
            average.assign(weights)

    def restorer(self) -> keras.callbacks.Callback:
        """The callback that puts the weights back."""
        return keras.callbacks.LambdaCallback(on_epoch_end=self.on_epoch_end)

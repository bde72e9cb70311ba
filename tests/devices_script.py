"""Trains the tiny core over one or two logical devices and prints each step's loss as JSON.

    python -m tests.devices_script NUM_DEVICES none|clipnorm|global_clipnorm [auto|multi_worker [NORM]]

Dropout is off: it differs by design between one device and two.
"""

import json
import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def main(arguments):
    """Prints {"devices", "losses", "norm"}."""
    import numpy as np

    from tests import tiny
    from tltf.config.options import make
    from tltf.methods import fine_tuning as methods
    from tltf.training import fit
    from tltf.training.distribution import strategies

    num_devices, clip, kind, norm = [*arguments, *["auto", "frozen"][len(arguments) - 2 :]]
    alone = "mirrored" if num_devices == "2" else "one_device"
    flags = {
        "strategy": alone if kind == "auto" else kind,
        "logical_devices": int(num_devices) if kind == "auto" else 1,
        "method": "full",
        "train_epochs": 4,
        "batch_size": 8,
        "eval_batch_size": 8,
        "optimizer": "sgd",
        "learning_rate": 0.5,
        "schedule": "constant",
        "warmup_fraction": 0.0,
        "weight_decay": 0.0,
        "norm": norm,
        "keep": "last",
    }
    if clip != "none":
        flags[clip] = 0.05
    options = make(**flags)
    strategy = strategies.start(options.runtime)
    with strategy.scope():
        core = tiny.core(tiny.image_backbone(dropout=0.0))
    seen = Losses()
    run = fit.Fit(core, methods.full(), data(), options, strategy, seen)
    watched = run._callbacks
    run._callbacks = lambda *given: [*watched(*given), seen.callback()]
    run()
    norm = float(np.sqrt(sum(np.square(v.numpy()).sum() for v in core.model.weights)))
    print(
        json.dumps({"devices": strategy.num_replicas_in_sync, "losses": seen.steps, "norm": norm})
    )


class Losses:
    """A log that also notes the loss of every step."""

    def __init__(self):
        self.steps = []

    def write(self, row):
        """Forgets an epoch's row."""

    def callback(self):
        """The callback: the running mean of Keras turned back into each step's loss."""
        import keras

        steps = self.steps

        class Note(keras.callbacks.Callback):
            def on_epoch_begin(self, epoch, logs=None):
                self.total = 0.0

            def on_train_batch_end(self, batch, logs=None):
                total = float(logs["loss"]) * (batch + 1)
                steps.append(total - self.total)
                self.total = total

        return Note()


def data():
    """40 images in 5 batches of 8, the same order in each epoch."""
    import numpy as np
    import tensorflow as tf

    from tltf.training.feed import Feed

    rng = np.random.default_rng(0)
    labels = (np.arange(40) % 3).astype("int32")
    images = rng.uniform(0, 60, (40, 8, 8, 3)).astype("float32") + 90 * labels[:, None, None, None]
    rows = {"image": images}, {"label": labels}, {"label": np.ones(40, "float32")}
    options = tf.data.Options()
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
    dataset = tf.data.Dataset.from_tensor_slices(rows).batch(8).with_options(options)
    return Feed(lambda first, number: dataset.repeat(number), 40)


if __name__ == "__main__":
    main(sys.argv[1:])

"""Trains over two logical devices, where the gradient of one of them is not finite in one step.

    python -m tests.loss_scale_script tltf|keras [merging]

Prints {"weights": the dense kernel on each device, "skipped", "scale"} as JSON. With `merging` the
devices meet in a cross-replica context, as they do on GPUs without collectives of their own.
"""

import json
import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def main(arguments):
    """Prints the line."""
    import keras
    import numpy as np
    import tensorflow as tf

    from tltf.config.options import make
    from tltf.training.distribution import strategies
    from tltf.training.optimizers import finite
    from tltf.training.optimizers import optimizer as optimizers_optimizer

    strategies.split_cpu(2)
    meeting = tf.distribute.ReductionToOneDevice() if "merging" in arguments else None
    devices = [device.name for device in tf.config.list_logical_devices("CPU")]
    strategy = tf.distribute.MirroredStrategy(devices, cross_device_ops=meeting)
    options = make(optimizer="sgd", momentum=0.0, weight_decay=0.0)
    with strategy.scope():
        model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1, name="dense")])
        inner = optimizers_optimizer.build(options.train, {}, 0.125, is_scaled=True).inner_optimizer
        kind = {"tltf": finite.LossScale, "keras": keras.optimizers.LossScaleOptimizer}
        optimizer = kind[arguments[0]](inner)
        model.compile(optimizer, loss="mse", jit_compile=False)
        optimizer.build(model.trainable_variables)
    model.set_weights([np.ones((4, 1)), np.zeros(1)])
    x, y = np.ones((24, 4), "float32"), np.zeros((24, 1), "float32")
    x[12] = np.inf  # second step, second device: Keras asks the first one only
    model.fit(x, y, batch_size=8, verbose=0, shuffle=False)
    values = strategy.experimental_local_results(model.layers[-1].kernel.value)
    print(
        json.dumps(
            {
                "weights": [value.numpy().tolist() for value in values],
                "skipped": int(optimizer.num_skipped.numpy()) if arguments[0] == "tltf" else None,
                "scale": float(optimizer.dynamic_scale.numpy()),
                "broken": optimizer.broken.read(3) if arguments[0] == "tltf" else None,
            }
        )
    )


if __name__ == "__main__":
    main(sys.argv[1:])

"""Trains an embedding's used rows over one or two logical devices; prints the table as JSON.

python -m tests.rows_script NUM_DEVICES sgd|adam
"""

import json
import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def main(num_devices, kind):
    """Prints {"devices", "table", "slots"}."""
    import keras
    import tensorflow as tf

    from tests.training.optimizers import embedding_rows_test as cases
    from tests.training.optimizers.optimizer_test import options
    from tltf.config.options import make
    from tltf.training.distribution import strategies
    from tltf.training.optimizers import optimizer as optimizers_optimizer

    name = "mirrored" if num_devices == "2" else "one_device"
    chosen = make(strategy=name, logical_devices=int(num_devices))
    strategy = strategies.start(chosen.runtime)
    flags = {"optimizer": kind, "momentum": 0.9, "global_clipnorm": 0.05, "weight_decay": 0.01}
    with strategy.scope():
        network = cases.model()
        rows = cases.found(network)
        optimizer = optimizers_optimizer.build(options(**flags), {}, 0.1, rows)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        network.compile(optimizer, loss={"label": loss}, jit_compile=False)
        optimizer.build(network.trainable_variables)
    ids = tf.data.Dataset.from_tensor_slices(({"token_ids": list(cases.BATCHES)}, [[0, 1]] * 3))
    network.fit(ids.map(lambda x, y: (x, {"label": y})), epochs=2, verbose=0, shuffle=False)
    print(
        json.dumps(
            {
                "devices": strategy.num_replicas_in_sync,
                "table": network.trainable_variables[0].numpy().tolist(),
                "slots": [list(v.shape) for v in optimizer.variables if len(v.shape) == 2],
            }
        )
    )


if __name__ == "__main__":
    main(*sys.argv[1:])

"""ADAPT's own DANN on features of a file: a side of domain_adaptation.py, which uses nothing of tltf.

    python domain_adaptation_peer.py CASES.npz

It needs `pip install adapt`. Case number i of the file has the arrays source_i float32[N, d], labels_i int[N], target_i
float32[M, d], test_i float32[K, d] and answers_i int[K]. The networks have the form of those of dann in tltf, one hidden layer and a
classifier of domains with one, but 256 units in each, where dann has 64. Features are standardised by the source, and there are as many
steps of as many rows; everything else is ADAPT's default, a lambda of 0.1 among it, where dann's weight is 1. Prints JSON, a line for each case: accuracy, and
the seconds of training and prediction.
"""

import json
import sys
import time

import keras
import numpy as np
from adapt.feature_based import DANN
from keras import layers

UNITS, STEPS, BATCH_SIZE = 256, 800, 64


def accuracy_of(arrays, number):
    """The share of the test rows that DANN has right after it was trained on case `number`."""
    source, labels, target, test, answers = (
        arrays[f"{name}_{number}"] for name in ("source", "labels", "target", "test", "answers")
    )
    keras.utils.set_random_seed(number)
    mean, deviation = source.mean(axis=0), source.std(axis=0) + 1e-3
    source, target, test = ((part - mean) / deviation for part in (source, target, test))
    num_classes = int(labels.max()) + 1
    model = DANN(
        encoder=keras.Sequential([layers.Dense(UNITS, activation="relu")]),
        task=keras.Sequential([layers.Dense(num_classes, activation="softmax")]),
        discriminator=keras.Sequential(
            [layers.Dense(UNITS, activation="relu"), layers.Dense(1, activation="sigmoid")]
        ),
        loss="categorical_crossentropy",
        optimizer=keras.optimizers.Adam(1e-3),
        verbose=0,
        random_state=number,
    )
    epochs = max(round(STEPS * BATCH_SIZE / max(len(source), len(target))), 1)
    answered = np.eye(num_classes, dtype="float32")[
        labels
    ]  # it gives labels the shape of predictions
    model.fit(source, answered, target, epochs=epochs, batch_size=BATCH_SIZE)
    return float((np.asarray(model.predict(test)).argmax(axis=1) == answers).mean())


def main():
    """Trains and judges every case."""
    with np.load(sys.argv[1]) as arrays:
        for number in range(sum(name.startswith("source_") for name in arrays)):
            began = time.perf_counter()
            found = accuracy_of(arrays, number)
            print(json.dumps({"accuracy": found, "s": time.perf_counter() - began}), flush=True)


if __name__ == "__main__":
    main()

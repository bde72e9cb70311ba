"""The reference for results.py: fine-tunes BERT as the Keras guides do, without tltf's training.

    python tools/plain_keras.py --seed=0

The network is MiniLM, average pooling over the tokens that are not padding, and a softmax layer.
`model.fit` trains it with Adam at 5e-5 in batches of 32 for 3 epochs, on texts of 48 tokens that
are tokenized once. The data and the split are those of tltf. The script prints one JSON line with
accuracy, train_s and total_s.
"""

import argparse
import json
import time

import keras
import keras_hub
import numpy as np
import tensorflow as tf

from tltf.data import loader, splits
from tltf.files import assets


def main():
    """Trains and prints the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=0, help="seed of the split and of training")
    parser.add_argument(
        "--data",
        default="vader(domain=movie, num_train=2000, num_test=2000)",
        help="call string of the data, as in tltf.train",
    )
    parser.add_argument("--epochs", type=int, default=3, help="passes over the training rows")
    parser.add_argument("--length", type=int, default=48, help="tokens that a text is cut to")
    chosen = parser.parse_args()
    keras.utils.set_random_seed(chosen.seed)
    source = loader.load(chosen.data, seed=chosen.seed)
    parts = splits.split(source, "holdout", chosen.seed)
    start = time.monotonic()
    model, preprocessor = build(preset_folder(), chosen.length)
    train = batches(parts["train"], preprocessor, chosen.seed)
    model.fit(train, epochs=chosen.epochs, verbose=0)
    train_s = time.monotonic() - start
    _, accuracy = model.evaluate(batches(parts["test"], preprocessor), verbose=0)
    line = {"accuracy": accuracy, "train_s": train_s, "total_s": time.monotonic() - start}
    print(json.dumps(line))


def preset_folder():
    """The folder of the packaged MiniLM."""
    return str(next(assets.fetch("minilm_l6").rglob("config.json")).parent)


def build(folder, length):
    """`(compiled model, preprocessor)`."""
    backbone = keras_hub.models.BertBackbone.from_preset(folder)
    tokenizer = keras_hub.models.BertTokenizer.from_preset(folder)
    preprocessor = keras_hub.models.BertTextClassifierPreprocessor(
        tokenizer, sequence_length=length
    )
    mask = backbone.input["padding_mask"]
    sequence = backbone.output["sequence_output"]
    features = keras.layers.GlobalAveragePooling1D()(sequence, mask=mask)
    outputs = keras.layers.Dense(2, activation="softmax")(features)
    model = keras.Model(backbone.input, outputs)
    loss = "sparse_categorical_crossentropy"
    model.compile(keras.optimizers.Adam(5e-5), loss=loss, metrics=["accuracy"])
    return model, preprocessor


def batches(part, preprocessor, seed=None):
    """A dataset of batches of 32; with a seed the rows are shuffled."""
    inputs = preprocessor(tf.constant(list(part.column.values)))
    dataset = tf.data.Dataset.from_tensor_slices((inputs, np.asarray(part.labels)))
    if seed is not None:
        dataset = dataset.shuffle(len(part), seed=seed)
    return dataset.batch(32).prefetch(tf.data.AUTOTUNE)


if __name__ == "__main__":
    main()

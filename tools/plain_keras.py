"""The reference for results.py: BERT fine-tuned as the Keras guides do it, without tltf's training.

    python tools/plain_keras.py --seed=0

MiniLM, average pooling over the tokens that are not padding, a softmax layer, Adam at 5e-5,
batches of 32, 3 epochs, 48 tokens, tokenized once, `model.fit`. The data and the split are
those of tltf. Prints one JSON line: accuracy, train_s, total_s.
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
    """Trains and prints the line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--data", default="vader(domain=movie, num_train=2000, num_test=2000)")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--length", type=int, default=48)
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
    """Batches of 32; shuffled where there is a seed."""
    inputs = preprocessor(tf.constant(list(part.column.values)))
    dataset = tf.data.Dataset.from_tensor_slices((inputs, np.asarray(part.labels)))
    if seed is not None:
        dataset = dataset.shuffle(len(part), seed=seed)
    return dataset.batch(32).prefetch(tf.data.AUTOTUNE)


if __name__ == "__main__":
    main()

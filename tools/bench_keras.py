"""A side of bench_transfer.py: a plain Keras script, written like the guides of Keras and KerasHub.

A frozen backbone is called with training=False (the guide "Transfer learning & fine-tuning"); a
backbone of which at least the last layers are trained is not (the guides of KerasHub). The script
calls `model.fit` on a tf.data pipeline, which resizes images; texts are padded to the full length.
Time is counted from the first read to the last step.
"""

import pathlib
import time

import bench_work
import keras
import keras_hub
import numpy as np
import plain_keras
import tensorflow as tf

from tltf.backbones import builder

IMAGE_CLASSES = 10


def main():
    """Trains, evaluates and prints the result."""
    work = bench_work.read_work()
    keras.utils.set_random_seed(work.seed)
    keras.config.set_dtype_policy(work.precision)
    is_text = work.modality == "text"
    model, dataset = text_side(work) if is_text else image_side(work)
    start = time.monotonic()
    model.compile(
        keras.optimizers.Adam(work.learning_rate),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    model.fit(dataset("train"), epochs=work.epochs, verbose=0)
    seconds = time.monotonic() - start
    _, accuracy = model.evaluate(dataset("test"), verbose=0)
    bench_work.print_row(seconds=seconds, accuracy=accuracy)


def image_side(work):
    """`(model, function role -> tf.data.Dataset)` for images."""
    inputs = keras.Input((work.image_size_px, work.image_size_px, 3))
    features = image_backbone(work)(inputs, training=False)
    features = keras.layers.GlobalAveragePooling2D()(features)
    batches = from_arrays if work.has_arrays else from_folder
    model = keras.Model(inputs, head(features, work, IMAGE_CLASSES))
    return model, lambda role: batches(work, role).prefetch(tf.data.AUTOTUNE)


def from_folder(work, role):
    """Batches of images from a folder of files."""
    batches = keras.utils.image_dataset_from_directory(
        pathlib.Path(work.data, role),
        image_size=(work.image_size_px, work.image_size_px),
        batch_size=work.batch_size,
        shuffle=role == "train",
        seed=work.seed,
        verbose=0,
    )
    if work.is_cached and role == "train":
        batches = batches.cache().shuffle(1000, seed=work.seed)
    return batches


def from_arrays(work, role):
    """Batches of images from arrays uint8[N, H, W, 1]."""
    size = (work.image_size_px, work.image_size_px)
    with np.load(work.data) as arrays:
        images, labels = arrays[f"x_{role}"], arrays[f"y_{role}"]

    def prepare(image, label):
        return tf.image.resize(tf.image.grayscale_to_rgb(image), size), label

    rows = tf.data.Dataset.from_tensor_slices((images, labels))
    rows = rows.map(prepare, num_parallel_calls=tf.data.AUTOTUNE)
    if work.is_cached:
        rows = rows.cache()
    if role == "train":
        rows = rows.shuffle(len(images) if work.is_cached else 1000, seed=work.seed)
    return rows.batch(work.batch_size)


def image_backbone(work):
    """The network without its top, from images of 0 to 255 to its last feature map."""
    built = builder.build(work.backbone, image_size_px=work.image_size_px)
    last = [tensor for name, tensor in built.taps.items() if name.startswith("stage_")][-1]
    network = keras.Model(built.inputs["image"], last)
    network.trainable = bool(work.num_trained_groups)
    return network


def text_side(work):
    """`(model, function role -> tf.data.Dataset)` for texts."""
    folder = plain_keras.preset_folder()
    tokenizer = keras_hub.models.BertTokenizer.from_preset(folder)
    preprocessor = keras_hub.models.BertTextClassifierPreprocessor(
        tokenizer, sequence_length=work.text_length
    )

    def dataset(role):
        texts, labels = bench_work.texts(work, role)
        once = work.is_cached
        inputs = preprocessor(tf.constant(texts)) if once else texts
        rows = tf.data.Dataset.from_tensor_slices((inputs, labels))
        if role == "train":
            rows = rows.shuffle(len(texts), seed=work.seed)
        batches = rows.batch(work.batch_size)
        if not once:
            batches = batches.map(preprocessor, num_parallel_calls=tf.data.AUTOTUNE)
        return batches.prefetch(tf.data.AUTOTUNE)

    return text_model(folder, work), dataset


def text_model(folder, work):
    """A model of BERT, the mean over the tokens that are not padding, and a dense layer."""
    backbone = keras_hub.models.BertBackbone.from_preset(folder)
    freeze(backbone, work.num_trained_groups)
    inputs = {
        name: keras.Input((work.text_length,), dtype="int32", name=name) for name in backbone.input
    }
    mode = {} if work.num_trained_groups else {"training": False}
    sequence = backbone(inputs, **mode)["sequence_output"]
    features = keras.layers.GlobalAveragePooling1D()(sequence, mask=inputs["padding_mask"])
    return keras.Model(inputs, head(features, work, 2))


def freeze(backbone, num_trained):
    """Freezes all but the last `num_trained` transformer layers; -1 freezes nothing."""
    if num_trained == 0:
        backbone.trainable = False
    if num_trained > 0:
        blocks = [f"transformer_layer_{number}" for number in range(backbone.num_layers)]
        for layer in backbone.layers:
            layer.trainable = layer.name in blocks[-num_trained:]


def head(features, work, num_classes):
    """The logits of a head on the features."""
    if work.hidden:
        features = keras.layers.Dense(work.hidden, activation="relu")(features)
    return keras.layers.Dense(num_classes, dtype="float32")(features)


if __name__ == "__main__":
    main()

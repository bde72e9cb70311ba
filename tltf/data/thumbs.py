"""Small grey pictures of all images of a column."""

import concurrent.futures
import os

import numpy as np
import tensorflow as tf

from tltf.data import images

NUM_ROWS = 256


def grey(column, height, width, progress):
    """uint8[N, height, width]; zeros where an image cannot be decoded.

    Args:
        column: Column of images.
        height: pixels.
        width: pixels.
        progress: Progress, which is counted up and closed.
    """
    found = np.zeros((len(column.values), height, width), np.uint8)
    decode = images.ImagePreprocessing(1).decode

    @tf.function(input_signature=[tf.TensorSpec([None, None, None])])
    def small(pixels):
        size = tf.image.resize(pixels, (height, width), antialias=True)
        return tf.cast(tf.round(tf.reduce_mean(size, axis=-1)), tf.uint8)

    @tf.function(input_signature=[tf.TensorSpec([], tf.string)])
    def small_of_bytes(contents):
        return small(tf.cast(decode(contents), tf.float32))

    def one(row):
        value = column.values[row]
        try:
            if column.kind == "array":
                found[row] = small(tf.constant(value, tf.float32)).numpy()
            else:
                is_path = column.kind == "path"
                contents = tf.io.read_file(os.fsencode(value)) if is_path else tf.constant(value)
                found[row] = small_of_bytes(contents).numpy()
        except tf.errors.OpError:
            return

    with progress, concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for start in range(0, len(found), NUM_ROWS):
            rows = range(start, min(start + NUM_ROWS, len(found)))
            list(pool.map(one, rows))
            progress.add(len(rows))
    return found

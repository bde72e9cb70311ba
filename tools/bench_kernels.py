"""Measures training steps of MiniLM with other kernels: which of them would be worth building in.

    python tools/bench_kernels.py [--rounds=8] [--batches=32,64]

All variants are made in one process with the same weights and batch, of 48 tokens each, and take turns. A
variant of letters has: f, dense layers on all tokens at once, as tltf's inference has them; g, GELU and
its gradient as two functions that XLA compiles; l, layer norm and its gradient likewise. The functions
are compiled for the one shape of the bench; a training with batches of many lengths would have to pad
them to a few shapes, which costs time that is not measured here.
"""

import argparse
import contextlib
import dataclasses
import time

import benching
import keras
import measuring
import numpy as np
import tensorflow as tf

from tltf.config.option_groups import ModelOptions
from tltf.graphs import flat_dense
from tltf.models import core_builder

LENGTH, RATE = 48, 5e-5
VARIANTS = [
    ("float32", ""),
    ("float32", "f"),
    ("float32", "fgl"),
    ("mixed_bfloat16", ""),
    ("mixed_bfloat16", "f"),
    ("mixed_bfloat16", "fg"),
    ("mixed_bfloat16", "fgl"),
]
"""(precision, letters)."""
HEADER = ["batch", "precision", "kernels", "texts/s", "times as fast by wall", "by processor time"]


def compiled(function):
    """A function that XLA compiles."""
    return tf.function(function, jit_compile=True, autograph=False)


@compiled
def gelu_forward(x):
    """GELU in float32 inside, Hendrycks and Gimpel 2016."""
    wide = tf.cast(x, tf.float32)
    return tf.cast(0.5 * wide * (1 + tf.math.erf(wide * 0.5**0.5)), x.dtype)


@compiled
def gelu_gradient(x, upstream):
    """The gradient of GELU."""
    wide = tf.cast(x, tf.float32)
    share = 0.5 * (1 + tf.math.erf(wide * 0.5**0.5))
    density = tf.exp(-0.5 * wide * wide) / (2 * np.pi) ** 0.5
    return tf.cast(tf.cast(upstream, tf.float32) * (share + wide * density), x.dtype)


@tf.custom_gradient
def gelu(x):
    """GELU whose gradient is one function too."""
    return gelu_forward(x), lambda upstream: gelu_gradient(x, upstream)


def _normed(x, epsilon):
    wide = tf.cast(x, tf.float32)
    mean = tf.reduce_mean(wide, -1, keepdims=True)
    variance = tf.reduce_mean(tf.square(wide - mean), -1, keepdims=True)
    scale = tf.math.rsqrt(variance + epsilon)
    return (wide - mean) * scale, scale


@compiled
def norm_forward(x, gamma, beta, epsilon):
    """Layer norm, Ba et al. 2016."""
    return tf.cast(_normed(x, epsilon)[0] * gamma + beta, x.dtype)


@compiled
def norm_gradient(x, gamma, upstream, epsilon):
    """The gradient of layer norm in closed form, by its input, scale and shift."""
    normed, scale = _normed(x, epsilon)
    upstream = tf.cast(upstream, tf.float32)
    inner = upstream * gamma
    own = tf.reduce_mean(inner, -1, keepdims=True)
    along = normed * tf.reduce_mean(inner * normed, -1, keepdims=True)
    rows = list(range(len(x.shape) - 1))
    by_scale, by_shift = tf.reduce_sum(upstream * normed, rows), tf.reduce_sum(upstream, rows)
    return tf.cast(scale * (inner - own - along), x.dtype), by_scale, by_shift


def norm_call(layer, inputs):
    """`LayerNormalization.call` by the two functions."""
    epsilon = layer.epsilon

    @tf.custom_gradient
    def norm(x, gamma, beta):
        def gradient(upstream):
            return norm_gradient(x, gamma, upstream, epsilon)

        return norm_forward(x, gamma, beta, epsilon), gradient

    inputs = tf.cast(inputs, layer.compute_dtype)
    return tf.ensure_shape(norm(inputs, layer.gamma.value, layer.beta.value), inputs.shape)


@contextlib.contextmanager
def traced_with(letters):
    """A block in which graphs are made with the kernels of a variant."""
    before = keras.layers.LayerNormalization.call
    if "l" in letters:
        keras.layers.LayerNormalization.call = norm_call
    try:
        with flat_dense.flat_dense() if "f" in letters else contextlib.nullcontext():
            yield
    finally:
        keras.layers.LayerNormalization.call = before


def make_step(precision, letters):
    """(inputs, labels) -> loss: a step that trains a whole MiniLM."""
    keras.config.set_dtype_policy(precision)
    keras.utils.set_random_seed(0)
    options = dataclasses.replace(ModelOptions(), backbone="minilm_l6", text_length=LENGTH)
    model = core_builder.build(options, 2, "text").model
    optimizer = keras.optimizers.AdamW(RATE)
    optimizer.build(model.trainable_variables)
    for layer in model._flatten_layers() if "g" in letters else ():
        if "gelu" in str(getattr(getattr(layer, "activation", None), "__name__", "")):
            layer.activation = gelu

    @tf.function(autograph=False)
    def step(inputs, labels):
        with traced_with(letters), tf.GradientTape() as tape:
            logits = model(inputs, training=True)["label"]
            losses = keras.losses.sparse_categorical_crossentropy(labels, logits, from_logits=True)
            loss = tf.reduce_mean(losses)
        gradients = tape.gradient(loss, model.trainable_variables)
        optimizer.apply(gradients, model.trainable_variables)
        return loss

    return step, list(model.input)


def measure(batch, rounds):
    """(precision, letters) -> (least wall seconds, median processor seconds) of a step."""
    numbers = np.random.default_rng(0)
    known = {
        "token_ids": tf.constant(numbers.integers(1000, 20_000, (batch, LENGTH)), tf.int32),
        "padding_mask": tf.ones((batch, LENGTH), tf.bool),
        "segment_ids": tf.zeros((batch, LENGTH), tf.int32),
    }
    labels = tf.constant(numbers.integers(0, 2, batch))
    made = {variant: make_step(*variant) for variant in VARIANTS}
    spent = {variant: [] for variant in VARIANTS}
    for number in range(rounds + 1):
        for variant, (step, names) in made.items():
            wall, cpu = time.perf_counter(), time.process_time()
            loss = step({name: known[name] for name in names}, labels).numpy()
            spent[variant].append((time.perf_counter() - wall, time.process_time() - cpu))
            if not number:
                print(f"batch {batch}, {' '.join(variant)}: first loss {loss:.5f}", flush=True)
    return {
        variant: (min(wall for wall, _ in rows[1:]), np.median([cpu for _, cpu in rows[1:]]))
        for variant, rows in spent.items()
    }


def main():
    """Measures all variants and prints the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=8, help="steps of each variant")
    parser.add_argument("--batches", default="32,64", help="texts in a step, joined with commas")
    given = parser.parse_args()
    lines, base = [], None
    for batch in map(int, given.batches.split(",")):
        for (precision, letters), (wall, cpu) in measure(batch, given.rounds).items():
            base = base or (wall / batch, cpu / batch)
            ratios = [f"{base[0] * batch / wall:.2f}", f"{base[1] * batch / cpu:.2f}"]
            lines.append([batch, precision, letters or "Keras", f"{batch / wall:.1f}", *ratios])
    print(f"\n{benching.processor()}\n\n{measuring.table(HEADER, lines)}")


if __name__ == "__main__":
    main()

"""The cases of tools/bench.py that are measured inside a process, in units of a fixed piece of work.

    python tools/bench_cases.py CASE FOLDER

It prints one JSON line: the name of each figure -> `[wall, cpu]`, both as multiples of the time that
the same process takes for ten products of matrices, which follow every measurement.
"""

import contextlib
import io
import json
import pathlib
import sys
import time

import numpy as np

ROUNDS = 5
SIDE, PRODUCTS = 1024, 10
"""The side of the matrices of the fixed work, and the number of their products."""
WORDS = [
    "the",
    "film",
    "was",
    "a",
    "long",
    "dull",
    "story",
    "with",
    "some",
    "great",
    "acting",
    "and",
    "music",
    "nobody",
    "could",
    "forget",
]


def ratios(measured):
    """Name -> `[wall, cpu]`: the least of ROUNDS rounds of each function, per fixed work.

    Args:
        measured: name -> a function without arguments; it is called once before.
    """
    import tensorflow as tf

    matrix = tf.random.stateless_uniform((SIDE, SIDE), (1, 2))

    @tf.function(autograph=False)
    def product():
        found = matrix
        for _ in range(PRODUCTS):
            found = tf.matmul(found, matrix) / SIDE
        return tf.reduce_sum(found)

    everything = {**measured, "": lambda: product().numpy()}
    for function in everything.values():
        function()
    least = {name: [np.inf, np.inf] for name in everything}
    for _ in range(ROUNDS):
        for name, function in everything.items():
            wall, cpu = time.perf_counter(), time.process_time()
            function()
            spent = time.perf_counter() - wall, time.process_time() - cpu
            least[name] = [min(pair) for pair in zip(least[name], spent, strict=True)]
    unit = least.pop("")
    return {
        name: [spent / whole for spent, whole in zip(pair, unit, strict=True)]
        for name, pair in least.items()
    }


def texts(count, seed=0):
    """`count` texts of 10 to 35 words."""
    numbers = np.random.default_rng(seed)
    return [
        f"{' '.join(numbers.choice(WORDS, numbers.integers(10, 36)))} {number}"
        for number in range(count)
    ]


def pictures(count):
    """The bytes of `count` JPEG files of 500 by 375 pixels."""
    import PIL.Image

    numbers, found = np.random.default_rng(0), []
    for _ in range(count):
        steps = numbers.normal(0, 3, (375, 500, 3))
        pixels = np.clip(np.cumsum(steps, axis=1) + 128, 0, 255).astype(np.uint8)
        file = io.BytesIO()
        PIL.Image.fromarray(pixels).save(file, "JPEG", quality=75)
        found.append(file.getvalue())
    return found


def pass_over(folder, modality):
    """The whole network in inference over 256 inputs: tltf's pass, and Keras's `predict`."""
    import tltf

    trained = tltf.load(folder / modality)
    if modality == "image":
        prepared = [trained.preprocessing(item) for item in pictures(32)]
        inputs = {"image": np.stack(prepared * 8)}
    else:
        inputs = trained.preprocessing(texts(256))
    dataset = dataset_of(inputs)
    ours = trained.whole_pass()
    model = trained.core.model
    return ratios(
        {
            f"{modality}s: whole network, 256": lambda: ours(dataset),
            f"{modality}s: Keras predict, 256": lambda: model.predict(dataset, verbose=0),
        }
    )


def dataset_of(inputs):
    """A dataset of tuples with batches of 64 of the inputs."""
    import tensorflow as tf

    return tf.data.Dataset.from_tensor_slices((inputs,)).batch(64).cache()


def served(folder, modality):
    """Calls of the exported graph with raw inputs, one and 64 at a time."""
    import tensorflow as tf

    if modality == "text":
        import tensorflow_text  # noqa: F401  (its operators)
    (version,) = (folder / modality / "export").iterdir()
    model = tf.saved_model.load(str(version))
    call = model.signatures["serving_default"]
    (name,) = call.structured_input_signature[1]
    raw = pictures(64) if modality == "image" else texts(64)
    one, many = tf.constant(raw[:1]), tf.constant(raw)
    return ratios(
        {
            f"served {modality}, 1 at a time, 20": lambda: [call(**{name: one}) for _ in range(20)],
            f"served {modality}s, 64 at a time": lambda: call(**{name: many}),
        }
    )


def table_of_texts(folder):
    """The scan of a CSV file of 30,000 texts with two classes, near duplicates included."""
    from tltf import check

    path = folder / "texts.csv"
    if not path.exists():
        lines = [f'"{text}",{number % 2}' for number, text in enumerate(texts(30_000))]
        path.write_text("\n".join(["text,label", *lines]) + "\n", encoding="utf-8")

    def scan():
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            if check.main([f"--data={path}"]):
                raise RuntimeError("the check has failed")

    return ratios({"check of 30,000 texts": scan})


CASES = {
    "image_pass": lambda folder: pass_over(folder, "image"),
    "text_pass": lambda folder: pass_over(folder, "text"),
    "image_served": lambda folder: served(folder, "image"),
    "text_served": lambda folder: served(folder, "text"),
    "check": table_of_texts,
}
"""Name -> the function that measures it, given the folder of the runs."""


if __name__ == "__main__":
    print(json.dumps(CASES[sys.argv[1]](pathlib.Path(sys.argv[2]))))

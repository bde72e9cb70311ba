"""A side of bench_transfer.py: scikit-learn's logistic regression on frozen features.

The features come from one pass of the Keras model over the training rows and one over the test
rows. Time is counted from the first read to the end of the fit.
"""

import time

import bench_keras
import bench_work
import keras
import numpy as np
from sklearn import linear_model, pipeline, preprocessing


def main():
    """Fits, scores and prints the result."""
    work = bench_work.read_work()
    keras.utils.set_random_seed(work.seed)
    is_text = work.modality == "text"
    model, dataset = (bench_keras.text_side if is_text else bench_keras.image_side)(work)
    features = keras.Model(model.inputs, model.layers[-1].input)
    start = time.monotonic()
    regression = pipeline.make_pipeline(
        preprocessing.StandardScaler(), linear_model.LogisticRegression(max_iter=1000)
    )
    regression.fit(*rows(features, dataset("train")))
    seconds = time.monotonic() - start
    bench_work.print_row(
        seconds=seconds, accuracy=regression.score(*rows(features, dataset("test")))
    )


def rows(features, dataset):
    """`(features float32[N, d], labels int[N])` of one pass over a dataset."""
    inputs, labels = zip(*dataset, strict=True)
    outputs = [features.predict_on_batch(batch) for batch in inputs]
    return np.concatenate(outputs), np.concatenate(labels)


if __name__ == "__main__":
    main()

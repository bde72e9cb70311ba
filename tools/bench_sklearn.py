"""A side of bench_transfer.py: scikit-learn's logistic regression on frozen features.

Features by one pass of Keras's `predict` over training and test rows, at its own pace; time is
counted from the first read to the end of the fit.
"""

import time

import bench_keras
import bench_work
import keras
import numpy as np
from sklearn import linear_model, pipeline, preprocessing


def main():
    """Fits, scores and prints the line."""
    work = bench_work.given()
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
    bench_work.say(seconds=seconds, accuracy=regression.score(*rows(features, dataset("test"))))


def rows(features, dataset):
    """`(float32[N, d], int[N])` of one pass."""
    inputs, labels = zip(*dataset, strict=True)
    found = [features.predict_on_batch(batch) for batch in inputs]
    return np.concatenate(found), np.concatenate(labels)


if __name__ == "__main__":
    main()

"""A run folder with a tiny text model and a made reference, and logs of its predictions."""

import csv
import dataclasses
import io
import json

import numpy as np

from tests import served
from tltf.models import saving
from tltf.serving.monitoring import reference
from tltf.serving.monitoring.answers import Answers, read_given
from tltf.serving.monitoring.reference import About, Reference

NAMES = ("bad", "good")


def probabilities(rng, num, tilt=0.0):
    """float32[N, 2], whose first column is larger the larger `tilt` is."""
    first = 1 / (1 + np.exp(-rng.normal(tilt, 1.5, num)))
    return np.stack([first, 1 - first], axis=1).astype(np.float32)


def a_reference(num=800, seed=0, kind="class", model_sha256="", scores=None, features=None):
    """A Reference of two classes or labels, whose truths are its answers."""
    rng = np.random.default_rng(seed)
    scores = probabilities(rng, num) if scores is None else scores
    texts = [NAMES[place] for place in scores.argmax(axis=1)]
    given = read_given(texts, kind, NAMES)
    columns = tuple(f"probability_{name}" for name in NAMES)
    answer = "label" if kind == "class" else "labels"
    about = About(kind, answer, "probabilities", columns, NAMES, "validation", num, model_sha256)
    return Reference(about, Answers(scores, given, features), given)


def make_run(folder):
    """A run folder whose reference is `a_reference`."""
    trained = served.text_once(names=NAMES)
    saving.save(trained, folder)
    width = next(iter(trained.feature_model().output.values())).shape[-1]
    features = np.random.default_rng(0).normal(0, 1, (100, width)).astype(np.float16)
    made = a_reference(model_sha256=reference.weights_sha256(folder), features=features)
    reference.write(folder, made)
    return folder


def csv_rows(scores, *, has_header=True, first=0, texts=None, **columns):
    """The text of a log of predictions as tltf.predict writes it, with more columns."""
    stream = io.StringIO(newline="")
    writer = csv.writer(stream, lineterminator="\n")
    names = ["id", "text", "predicted_label", "confidence", "probability_bad", "probability_good"]
    if has_header:
        writer.writerow([*names, "error", *columns])
    for row, values in enumerate(scores.tolist()):
        label = NAMES[int(np.argmax(values))]
        more = [values_of[row] for values_of in columns.values()]
        text = texts[row] if texts else f"text {row}, a"
        cells = [f"in:{first + row}", text, label, f"{max(values):.4f}"]
        writer.writerow([*cells, *(format(v, ".9g") for v in values), "", *more])
    return stream.getvalue()


def json_rows(scores):
    """The same log as JSON lines."""
    rows = [
        {
            "id": f"in:{row}",
            "text": f"text {row}",
            "predicted_label": NAMES[int(np.argmax(values))],
            "confidence": max(values),
            "probabilities": dict(zip(NAMES, values, strict=True)),
            "error": "",
        }
        for row, values in enumerate(scores.tolist())
    ]
    return "".join(json.dumps(row) + "\n" for row in rows)


def with_about(made, **changes):
    """A Reference with other facts."""
    return dataclasses.replace(made, about=dataclasses.replace(made.about, **changes))

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from tests import served
from tests.contracts.given import parameters
from tltf.config import call_strings
from tltf.config.catalogs import FORMATS
from tltf.errors import ModelError
from tltf.models import raw_inputs
from tltf.serving.export import measuring, prepared_rows
from tltf.serving.export.prepared_rows import PreparedRows

LARGEST = {"litert(quantize=int8)": 0.1}
"""Call string -> the largest difference of its probabilities, where it is not that of float32; the
weights are random, so that 8 bits give .06 at times."""


@pytest.mark.parametrize("text", parameters("formats"))
@pytest.mark.parametrize("kind", ["image", "text", "bert"])
def test_an_export_answers_as_the_model_and_versions_count_up(text, kind, tmp_path):
    call = call_strings.pick(FORMATS, text)
    made = call.load()
    for package in getattr(made, "packages", ()):
        pytest.importorskip(package)
    if kind == "bert" and text != "hf":
        pytest.skip("texts are done with a smaller network")
    if kind == "text" and "int8" in text:
        pytest.skip("LiteRT's converter crashes on recurrent networks: see exporting_test")
    trained, exports = served.with_rows(model(kind, tmp_path)), tmp_path / "exports"
    if text == "hf" and kind != "bert":
        with pytest.raises(ModelError, match="hf takes a BERT"):
            call.build(trained, exports, None, True)
        assert list(exports.iterdir()) == []
        return
    first = call.build(trained, exports, None, True)
    first.finish()
    second = call.build(trained, exports, None, False).finish()
    assert second.name == "2"
    assert sorted(path.name for path in exports.iterdir()) == ["1", "2"]
    inputs, rows = examples(trained, tmp_path)
    stated = [list(row.probabilities.values()) for row in trained.predict(inputs)]
    scores = answers(first, second, rows, trained)
    np.testing.assert_allclose(scores, stated, atol=LARGEST.get(text, 1e-5))


def model(kind, folder):
    makers = {"image": served.image_once, "text": served.text_once}
    return makers[kind]() if kind in makers else served.bert(folder / "bert")


def answers(export, folder, rows, trained):
    """float32[N, C]: the probabilities of an export in its own runtime."""
    subject = dataclasses.replace(export.subject, folder=folder)
    _, outputs = measuring.run(subject, rows)
    return measuring.scores_of(outputs, trained.core.head)


def examples(trained, folder):
    """Inputs for predict, and what a program without tltf makes of them for an export."""
    if trained.core.backbone.modality == "text":
        inputs = list(served.TEXTS)
        raw = [raw_inputs.encode_text(text) for text in inputs]
    else:
        inputs = [np.full((9, 5, 3), value, np.uint8) for value in (0, 90, 255)]
        raw = [raw_inputs.encode_png(array) for array in inputs]
    files = {}
    for name, value in prepared_rows.prepare_batch(trained, [tf.constant(raw)]).items():
        files[name] = folder / f"{name}.npy"
        np.save(files[name], value.numpy().astype("uint8" if name == "image" else "int32"))
    return inputs, PreparedRows(files, np.zeros((len(raw), 1)))

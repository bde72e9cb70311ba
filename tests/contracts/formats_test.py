import numpy as np
import pytest
import tensorflow as tf

from tests import served
from tests.contracts.given import parameters
from tltf.config import call_strings
from tltf.config.catalogs import FORMATS


@pytest.mark.parametrize("text", parameters("formats"))
@pytest.mark.parametrize("make", [served.image_once, served.text_once])
def test_an_export_answers_as_the_model_and_versions_count_up(text, make, tmp_path):
    trained = make()
    call = call_strings.pick(FORMATS, text)
    first = call.build(trained, tmp_path, None, True).finish()
    second = call.build(trained, tmp_path, None, False).finish()
    assert [path.name for path in (first, second)] == ["1", "2"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1", "2"]
    inputs, raw = examples(trained)
    stated = [list(row.probabilities.values()) for row in trained.predict(inputs)]
    (name,) = signature(first).structured_input_signature[1]
    answer = signature(first)(**{name: tf.constant(raw)})
    np.testing.assert_allclose(answer["probabilities"].numpy(), stated, atol=1e-5)


def signature(folder):
    signature.kept = tf.saved_model.load(str(folder))
    return signature.kept.signatures["serving_default"]


def examples(trained):
    """Inputs for predict, and what a client of the server sends for them."""
    if trained.core.backbone.modality == "text":
        return list(served.TEXTS), list(served.TEXTS)
    arrays = [np.full((9, 5, 3), value, np.uint8) for value in (0, 90, 255)]
    return arrays, [tf.io.encode_png(array).numpy() for array in arrays]

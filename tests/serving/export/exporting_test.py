"""Several formats of one model: what they hold, what is refused, and the table that compares them."""

import json
import os

import numpy as np
import pytest

from tests import served
from tltf.config import call_strings
from tltf.config.catalogs import FORMATS
from tltf.errors import FlagError, ModelError
from tltf.evaluation import evaluators
from tltf.evaluation.baseline_row import Gain
from tltf.evaluation.report import format_rows
from tltf.evaluation.report.format_rows import FormatRow
from tltf.heads.classify import Classify
from tltf.runs import layout, removal
from tltf.serving.export import exporting, measuring, prepared_rows
from tltf.serving.export.format_export import FormatExport


class Text(FormatExport):
    """A format that holds the scores of the model as they are, for tests of what all formats share."""

    name = "text"
    runtime = "numpy_bert"
    files = ("model.txt",)

    def write(self, part):
        (part / "model.txt").write_text("model")


def text_format(monkeypatch, added=0.0):
    """The calls of a SavedModel-free export, whose runtime adds a number to the model's own scores."""
    timing = measuring.Timing("a runtime 1.0", 12.0, {"1": [2.0, 3.0]}, 2)

    def run(subject, rows, **_):
        return timing, {"probabilities": rows.scores + np.float32(added)}

    monkeypatch.setattr(measuring, "run", run)
    return [call_strings.pick(FORMATS, f"{__name__}:Text")]


def test_the_table_holds_the_model_and_each_format(tmp_path, monkeypatch, capsys):
    trained, calls = served.with_rows(served.image_once()), text_format(monkeypatch)
    (tmp_path / "4").mkdir()
    exports = exporting.Exports(trained, calls, tmp_path, None, True)
    assert exports.finish() == [tmp_path / "Text" / "5"], "one more than the largest of any format"
    model, row = exporting.read_table(tmp_path)
    assert (model.name, row.name, row.place) == (format_rows.MODEL, "text", "Text/5")
    assert row.num_inputs == 8 and row.largest_difference == 0 and row.split == "test"
    assert (
        row.score
        == model.score
        == np.mean(
            [r.label == trained.class_names[i % 3] for i, r in enumerate(predictions(trained))]
        )
    )
    page = (tmp_path / layout.FORMATS_MARKDOWN).read_text()
    assert "| text | a runtime 1.0 | 5 bytes |" in page and "2.000 ms / 3.000 ms" in page
    assert "text in a runtime 1.0" in capsys.readouterr().err
    again = exporting.Exports(trained, calls, tmp_path, None, True)
    assert again.finish() == [tmp_path / "Text" / "6"]
    assert [row.place for row in exporting.read_table(tmp_path)] == ["", "Text/5", "Text/6"]


def predictions(trained):
    return trained.predict(list(trained.splits["test"].column.values))


def test_a_float_format_that_differs_leaves_nothing(tmp_path, monkeypatch):
    trained = served.with_rows(served.image_once())
    exports = exporting.Exports(trained, text_format(monkeypatch, 2e-5), tmp_path, None, True)
    with pytest.raises(ModelError, match=r"text differs from the model by 2e-05 in a runtime 1\.0"):
        exports.finish()
    assert list(tmp_path.rglob("*.txt")) == []
    assert not (tmp_path / layout.FORMATS_MARKDOWN).exists()


def test_one_format_that_fails_takes_the_others_with_it(tmp_path, monkeypatch):
    def write(self, part):
        raise ModelError("cannot be converted")

    calls = text_format(monkeypatch)
    failing = type("Failing", (Text,), {"write": write})
    monkeypatch.setitem(globals(), "Failing", failing)
    calls += [call_strings.pick(FORMATS, f"{__name__}:Failing")]
    with pytest.raises(ModelError, match="cannot be converted"):
        exporting.Exports(served.image_once(), calls, tmp_path, None, True)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_missing_package_names_its_extra_before_anything_is_written(tmp_path, monkeypatch):
    lacking = type("Lacking", (Text,), {"packages": ("no_such_package",), "extra": "onnx"})
    monkeypatch.setitem(globals(), "Lacking", lacking)
    calls = [*text_format(monkeypatch), call_strings.pick(FORMATS, f"{__name__}:Lacking")]
    with pytest.raises(FlagError, match=r"no_such_package.*the extra onnx"):
        exporting.Exports(served.image_once(), calls, tmp_path, None, True)
    assert os.listdir(tmp_path) == []


def test_a_large_loss_is_warned_of():
    said = evaluators.evaluator_for(Classify()).wording
    row = FormatRow("litert(quantize=int8)", gain=Gain(-0.123, [-0.15, -0.1]))
    assert format_rows.loss_text(row, said) == (
        "litert(quantize=int8) loses accuracy: \N{MINUS SIGN}12.3 points "
        "(\N{MINUS SIGN}15.0 to \N{MINUS SIGN}10.0)"
    )
    assert format_rows.loss_text(FormatRow("litert", gain=Gain(-0.005)), said) == ""
    assert format_rows.loss_text(FormatRow("litert"), said) == ""


def test_rows_come_back_from_json():
    row = FormatRow(
        "onnx",
        "onnx/1",
        "onnxruntime 1",
        5,
        6,
        0.0,
        "test",
        0.5,
        Gain(0.0, [-0.1, 0.1]),
        1.5,
        {"1": [1.0, 2.0]},
        2,
        "a note",
    )
    assert FormatRow.from_json(json.loads(json.dumps(row.to_json()))) == row
    assert row.to_json()["largest_difference"] == 0, "a zero is known"


def test_folders_of_formats_lie_beside_what_tf_serving_sees(tmp_path):
    folders = {
        text: exporting.folder_of(tmp_path, call_strings.pick(FORMATS, text))
        for text in (
            "saved_model",
            "litert",
            "litert(quantize=int8)",
            "litert(quantize=none)",
            "hf",
        )
    }
    names = {text: folder.relative_to(tmp_path).as_posix() for text, folder in folders.items()}
    assert names == {
        "saved_model": ".",
        "litert": "litert",
        "litert(quantize=int8)": "litert_int8",
        "litert(quantize=none)": "litert",
        "hf": "hf",
    }


def test_a_run_that_is_replaced_takes_its_own_exports_along(tmp_path):
    for place in ("export/1", "export/onnx/1", "export/onnx/2", "export/notes"):
        (tmp_path / place).mkdir(parents=True)
        (tmp_path / place / "file").touch()
    (tmp_path / "export" / layout.FORMATS_MARKDOWN).touch()
    removal.remove(tmp_path, 1)
    left = {p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*") if p.is_file()}
    assert left == {"export/onnx/2/file", "export/notes/file"}


def test_rows_are_those_that_the_core_takes(tmp_path):
    image = served.with_rows(served.image_once())
    with prepared_rows.prepare(image, 5) as rows:
        pixels = np.load(rows.files["image"])
        assert pixels.shape == (5, 16, 16, 3) and pixels.dtype == np.uint8
        arrays = image.splits["test"].column.values[[0, 1, 3, 5, 7]]
        expected = image.preprocessing.resize(arrays).numpy()
        np.testing.assert_array_equal(pixels, expected)
        stated = [list(row.probabilities.values()) for row in image.predict(list(arrays))]
        np.testing.assert_allclose(rows.scores, stated, atol=1e-6)
    with prepared_rows.prepare(served.text_once()) as rows:
        assert rows.labels is None and rows.split == ""
        assert np.load(rows.files["token_ids"]).shape == (len(rows.scores), 12)


def test_litert_refuses_what_it_cannot_do(tmp_path):
    pytest.importorskip("ai_edge_litert")
    (call,) = call_strings.pick_each(FORMATS, "litert(quantize=int4)")
    with pytest.raises(FlagError, match="litert has no quantize=int4"):
        call.build(served.image_once(), tmp_path, None, True)
    (call,) = call_strings.pick_each(FORMATS, "litert(quantize=int8)")
    with pytest.raises(ModelError, match=r"needs the run's training examples.*dynamic"):
        call.build(served.image_once(), tmp_path, None, True)


def test_onnx_has_our_names(tmp_path):
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("tf2onnx")
    pytest.importorskip("onnxruntime")
    trained = served.image_once()
    path = call_strings.pick(FORMATS, "onnx").build(trained, tmp_path, None, False).finish()
    model = onnx.load(str(path / "model.onnx"))
    (pixels,), (found,) = model.graph.input, model.graph.output
    dims = [
        [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim]
        for value in (pixels, found)
    ]
    assert (pixels.name, found.name) == ("image", "probabilities")
    assert dims == [["batch", 16, 16, 3], ["batch", 3]]
    facts = json.loads((path / layout.EXPORT_FACTS).read_text())
    assert facts["class_names"] == list(trained.class_names)
    assert facts["inputs"] == {"image": {"dtype": "float32", "shape": dims[0]}}
    assert json.loads({p.key: p.value for p in model.metadata_props}["tltf"]) == facts


@pytest.mark.large
def test_a_converter_that_crashes_is_an_error_of_the_export(tmp_path):
    pytest.importorskip("ai_edge_litert")
    trained = served.with_rows(served.text_once())
    with pytest.raises(ModelError, match="LiteRT cannot convert this model"):
        call_strings.pick(FORMATS, "litert(quantize=int8)").build(trained, tmp_path, None, True)
    assert list(tmp_path.iterdir()) == []


def test_probabilities_of_a_quantised_format_need_not_sum_to_one(tmp_path, monkeypatch):
    trained, calls = served.with_rows(served.image_once()), text_format(monkeypatch)
    timing, lossy = measuring.Timing("a runtime", 1.0, {}, 1), measuring.Subject

    def run(subject, rows, **_):
        return timing, {"probabilities": rows.scores * np.float32(0.95)}

    monkeypatch.setattr(measuring, "run", run)
    subject = property(lambda self: lossy("text", self.part, "", self.files, is_exact=False))
    monkeypatch.setattr(Text, "subject", subject)
    exports = exporting.Exports(trained, calls, tmp_path, None, True)
    exports.finish()
    model, row = exports.rows
    assert row.score == model.score and row.gain.difference == 0
    assert 0.01 < row.largest_difference < 0.05

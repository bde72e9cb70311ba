"""The command: a page, numbers in lines of JSON, and a line per input on the terminal."""

import csv
import json

import keras
import numpy as np
import PIL.Image
import pytest

import tltf
from tests import served
from tltf import explain
from tltf.errors import DataError, FlagError
from tltf.models import saving


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    run = tmp_path_factory.mktemp("photos")
    keras.utils.set_random_seed(1)  # of weights that are unlucky, the sums need more than 512 steps
    saving.save(served.image(), run)
    return run


@pytest.fixture(scope="module")
def reviews(tmp_path_factory):
    run = tmp_path_factory.mktemp("reviews")
    saving.save(served.text_once(), run)
    return run


def rows_in(folder):
    lines = (folder / "explanations.jsonl").read_text("utf-8").splitlines()
    return [json.loads(line) for line in lines]


def test_pictures(photos, tmp_path, capsys):
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number in range(2):
        pixels = np.random.default_rng(number).integers(0, 256, (20, 30, 3)).astype(np.uint8)
        PIL.Image.fromarray(pixels).save(folder / f"{number}.png")
    (folder / "2.jpg").write_bytes(b"no image")
    out = tmp_path / "out"
    assert explain.main([f"--run={photos}", f"--input={folder}", f"--output={out}"]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) == 4 and printed[2].endswith("2.jpg: is not an image")
    assert "Grad-CAM; Integrated gradients (completeness error 0." in printed[0]
    assert printed[3] == f"page       {out}/explanations.html"
    first, _, bad = rows_in(out)
    assert bad == {"id": f"{folder}/2.jpg", "error": "is not an image"}
    assert first["answer"] in ("cat", "dog", "owl") and len(first["scores"]) == 3
    cam, gradients = first["explanations"]
    assert cam["method"] == "grad_cam(layer='')" and np.array(cam["grid"]).min() >= 0
    total = np.sum(gradients["grid"])
    change = gradients["output"] - gradients["baseline"]
    assert total == pytest.approx(change, rel=0.02) and gradients["error"] <= 0.01
    page = (out / "explanations.html").read_text("utf-8")
    assert page.count("<img ") == 6 and page.count("data:image/") == 6 and "2.jpg" in page
    assert "http" not in page.replace("http://www.w3.org", "")


def test_texts_in_a_table_and_a_label_of_ones_own(reviews, tmp_path, capsys):
    with open(tmp_path / "all.csv", "w", newline="") as file:
        csv.writer(file).writerows([["text"], ["a <b>good</b> film"], ["the end"], [" "]])
    flags = [f"--run={reviews}", f"--input={tmp_path}/all.csv", "--label=bad", "--num_inputs=2"]
    with pytest.warns(UserWarning, match="only the first 2 inputs are explained"):
        assert explain.main(flags) == 0
    printed = capsys.readouterr().out
    assert "Integrated gradients for bad: " in printed
    rows = rows_in(reviews / "explanations" / "1")
    assert len(rows) == 2 and {row["explanations"][0]["explained"] for row in rows} == {"bad"}
    (found,) = rows[0]["explanations"]
    words = [word[0] for word in found["words"]]
    assert "".join(words) == "a <b>good</b> film"
    total = sum(word[1] or 0 for word in found["words"])
    assert total == pytest.approx(found["output"] - found["baseline"], rel=0.02, abs=1e-5)
    page = (reviews / "explanations" / "1" / "explanations.html").read_text("utf-8")
    assert "good</span>" in page and "<b>good" not in page


def test_checks_are_printed_and_shown(reviews, tmp_path, capsys):
    (tmp_path / "all.txt").write_text("\n".join(served.TEXTS))
    flags = [f"--run={reviews}", f"--input={tmp_path}/all.txt", "--check", f"--output={tmp_path}/o"]
    assert explain.main(flags) == 0
    assert "check      Integrated gradients: deletion " in capsys.readouterr().out
    assert "insertion " in (tmp_path / "o" / "explanations.html").read_text("utf-8")


@pytest.mark.parametrize(
    ("flags", "text"),
    [
        (
            ["--explainer=grad_cam", "--text=good"],
            "grad_cam explains images, and this model takes texts",
        ),
        (["--label=godo", "--text=good"], "there is no class 'godo' (choices: good, bad)"),
        (["--explainer=lime", "--text=good"], "no explainer 'lime'"),
        (["--input=/no/such"], "/no/such"),
    ],
)
def test_what_is_refused(reviews, flags, text, capsys):
    assert explain.main([f"--run={reviews}", *flags]) == 2
    assert text in capsys.readouterr().err


def test_in_python_texts_give_the_numbers_of_the_command(reviews, tmp_path):
    (tmp_path / "all.txt").write_text("\n".join(served.TEXTS[:2]))
    out = tmp_path / "out"
    assert explain.main([f"--run={reviews}", f"--input={tmp_path}/all.txt", f"--output={out}"]) == 0
    found = tltf.explain([*served.TEXTS[:2], " "], run=reviews, output=tmp_path / "page")
    assert [row.id for row in found.rows] == ["inputs[0]", "inputs[1]", "inputs[2]"]
    assert found.rows[2].prediction.error and not found.rows[2].explanations
    for row, told in zip(found.rows, rows_in(out), strict=False):
        (explanation,) = row.explanations
        (other,) = told["explanations"]
        assert explanation.explained == told["answer"] == row.prediction.label
        assert explanation.output == pytest.approx(other["output"], abs=1e-5)
        words = [(part.text, part.value) for part in explanation.parts]
        assert [word for word, _ in words] == [word[0] for word in other["words"]]
        for (_, value), word in zip(words, other["words"], strict=True):
            assert value == (
                None if word[1] is None else pytest.approx(word[1], rel=2e-3, abs=1e-5)
            )
    assert found._repr_html_().startswith("<iframe srcdoc=") and "inputs[2]: " in repr(found)
    assert found.path == tmp_path / "page" / "explanations.html" and callable(explain)


def test_in_python_pictures_are_arrays_or_files(photos, tmp_path):
    pixels = np.random.default_rng(3).integers(0, 256, (20, 30, 3)).astype(np.uint8)
    path = tmp_path / "a.png"
    PIL.Image.fromarray(pixels).save(path)
    of_array = tltf.explain(pixels, run=photos, explainer="grad_cam")
    of_file = tltf.explain([path], run=photos, explainer="grad_cam")
    assert of_array.rows[0].id == "inputs[0]" and of_file.rows[0].id == str(path)
    first, other = of_array.rows[0].explanations[0], of_file.rows[0].explanations[0]
    np.testing.assert_allclose(first.heat, other.heat, atol=1e-5)
    assert of_array.path == photos / "explanations" / "1" / "explanations.html"
    assert of_array.path.read_text("utf-8").count("data:image/") == 2


@pytest.mark.parametrize(
    ("flags", "error", "said"),
    [
        ({"text": "review"}, FlagError, "in Python the inputs are the first argument"),
        ({"run": 3}, FlagError, "takes a run folder, or what tltf.fit gave .received int."),
        ({"explainer": "lime"}, FlagError, "no explainer 'lime'"),
        ({"inputs": []}, DataError, "there are no inputs"),
        ({"inputs": [" "]}, DataError, "none of 1 inputs could be predicted; the first: the text"),
    ],
)
def test_what_is_refused_in_python(reviews, flags, error, said):
    given = {"inputs": ["good"], "run": reviews, **flags}
    with pytest.raises(error, match=said):
        tltf.explain(given.pop("inputs"), **given)

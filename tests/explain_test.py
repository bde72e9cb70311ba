"""The command: a page, numbers in lines of JSON, and a line per input on the terminal."""

import csv
import json

import numpy as np
import PIL.Image
import pytest

from tests import served
from tltf import explain
from tltf.models import saving


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    run = tmp_path_factory.mktemp("photos")
    saving.save(served.image_once(), run)
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

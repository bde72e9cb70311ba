"""The page in a browser, and what it answers beside what the model answers."""

import pathlib
import re
import signal
import subprocess
import sys

import pytest

from tests.experiments.tracking.conftest import FLAGS
from tests.serving.demo import browser
from tltf.config.command_options import DemoOptions
from tltf.serving.demo import page

pytestmark = pytest.mark.large
gradio = pytest.importorskip("gradio")
gradio_client = pytest.importorskip("gradio_client")
STATED = r"Probabilities\s+\S+\s+\d+%"
"""The first class with its probability."""


def trained(folder, *flags):
    from tltf import train

    ours = [
        flag
        for flag in FLAGS
        if not flag.startswith(("--track", "--data", "--backbone", "--image"))
    ]
    assert train.main([*ours, *flags, f"--output={folder}"]) == 0
    return folder


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    flags = FLAGS[:3]
    return trained(tmp_path_factory.mktemp("digits") / "run", *flags)


@pytest.fixture
def shown():
    """A function that serves the page of a run as the command does; gives its first line's address."""
    started = []

    def show(run, *flags):
        command = [sys.executable, "-m", "tltf.demo", f"--run={run}", *flags]
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        started.append(process)
        for line in process.stdout:
            if found := re.match(r"page +(http\S+)", line):
                return found[1], process
        raise AssertionError(process.wait())

    yield show
    for process in started:
        if process.poll() is None:
            process.kill()


def test_a_page_of_pictures_opens_with_an_example_and_its_answer(digits, shown, tmp_path):
    import tltf

    url, process = shown(digits)
    assert url.startswith("http://127.0.0.1:")
    if browser.BROWSER:
        wanted = ["Test accuracy", "True label of this example", STATED, "Examples of the test"]
        wanted += ["What this answer rests on\\s+Grad-CAM: where the picture speaks for"]
        click = "table tbody tr:last-child"
        browser.visit(url, tmp_path / "page.png", tmp_path / "browser", wanted, click)
        assert (tmp_path / "page.png").stat().st_size > 10_000
    client = gradio_client.Client(url, verbose=False)
    example = next((digits.parent).rglob("*.png"), None)
    if example is None:
        example = tmp_path / "seven.png"
        from PIL import Image

        Image.new("L", (8, 8), 90).save(example)
    text, probabilities, *_ = client.predict(
        gradio_client.handle_file(str(example)), api_name="/answer"
    )
    (stated,) = tltf.load(digits).predict([str(example)])
    assert text.startswith(f"**{stated.label}**")
    shares = {row["label"]: row["confidence"] for row in probabilities["confidences"]}
    assert shares == pytest.approx(stated.probabilities, abs=1e-5)
    rests_on = client.predict(api_name="/explain")
    assert rests_on.count("data:image/") == 2 and f"<bdi>{stated.label}</bdi>" in rests_on
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=30) == 0


def test_a_broken_upload_is_an_answer_in_words(digits, tmp_path):
    trial = page.trial_of(DemoOptions(run=str(digits), examples=3), tmp_path)
    assert len(trial.examples) == 3 and all(
        pathlib.Path(e.values[0]).is_file() for e in trial.examples
    )
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n not a picture")
    prediction = trial.answer((str(tmp_path / "broken.png"),))
    assert prediction.error and page.shown_answer(prediction).text.startswith("**No answer**")


@pytest.mark.parametrize("kind", ["texts", "labels", "number"])
def test_pages_of_texts_with_classes_labels_and_numbers(kind, shown, tmp_path):
    head, label = {
        "texts": ("classify", lambda n: "yes" if n % 3 else "no"),
        "labels": ("multi_label", lambda n: "a|b" if n % 3 else "b"),
        "number": ("regress", lambda n: str(n / 7)),
    }[kind]
    rows = [f"a {'fine' if n % 3 else 'bad'} day {n},{label(n)}" for n in range(60)]
    (tmp_path / "all.csv").write_text("\n".join(["said,label", *rows]))
    data = f"--data=csv(path={tmp_path}/all.csv, text=said, label=label)"
    run = trained(tmp_path / "run", data, "--backbone=small_lstm", f"--head={head}")
    url, _ = shown(run)
    if browser.BROWSER:
        wanted = ["a (fine|bad) day", "Quantiles" if kind == "number" else STATED]
        browser.visit(url, tmp_path / "page.png", tmp_path / "browser", wanted)
    client = gradio_client.Client(url, verbose=False)
    assert client.predict(api_name="/explain") == "", "nothing was asked"
    text, probabilities, quantiles, waiting = client.predict("a fine day", api_name="/answer")
    assert text and bool(quantiles and quantiles["data"]) == (kind == "number")
    assert bool(probabilities) == (kind != "number") and waiting == page.WAITING
    rests_on = client.predict(api_name="/explain")
    assert "fine" in rests_on and "Integrated gradients: words that speak" in rests_on


def test_a_page_of_several_heads_has_an_answer_and_an_explanation_of_each(shown, tmp_path):
    rows = [f"a {'fine' if n % 3 else 'bad'} day {n},{'ab'[n % 2]},{n / 7}" for n in range(60)]
    (tmp_path / "all.csv").write_text("\n".join(["said,mood,size", *rows]))
    data = f"--data=csv(path={tmp_path}/all.csv, text=said)"
    head = "--head=mood: classify; size: regress"
    run = trained(tmp_path / "run", data, "--backbone=small_lstm", head, "--baseline=none")
    url, _ = shown(run)
    if browser.BROWSER:
        wanted = ["mood: [ab]; size: ", STATED, "Quantiles", "Integrated gradients"]
        browser.visit(url, tmp_path / "page.png", tmp_path / "browser", wanted)
    client = gradio_client.Client(url, verbose=False)
    found = client.predict("a fine day", api_name="/answer")
    assert len(found) == 8 and found[1]["confidences"] and found[6]["data"]
    for task in ("mood", "size"):
        assert "fine" in client.predict(api_name=f"/explain_{task}")


def test_a_model_that_is_not_sure_says_so(shown, tmp_path):
    import tltf

    texts = [f"a {('fine', 'bad', 'long')[n % 3]} day {n}" for n in range(120)]
    labels = [("yes", "no")[n % 3 % 2] if n % 7 else "no" for n in range(120)]
    rows = [f"{text},{label}" for text, label in zip(texts, labels, strict=True)]
    (tmp_path / "all.csv").write_text("\n".join(["said,label", *rows]))
    data = f"--data=csv(path={tmp_path}/all.csv, text=said, label=label)"
    flags = ["--backbone=small_lstm", "--head=classify", "--abstain=coverage(.5)"]
    run = trained(tmp_path / "run", data, *flags)
    answers = zip(texts, tltf.load(run).predict(texts), strict=True)
    unsure, stated = next(pair for pair in answers if not pair[1].is_sure)
    url, _ = shown(run, "--examples=0")
    client = gradio_client.Client(url, verbose=False)
    text, probabilities, _, _ = client.predict(unsure, api_name="/answer")
    first = max(stated.probabilities, key=stated.probabilities.get)
    assert text.startswith(f"**Not sure**\n\nThe most probable is {first}, with ")
    assert len(probabilities["confidences"]) == 2
    assert f"<bdi>{first}</bdi>" in client.predict(api_name="/explain")


def test_a_page_without_explanations(digits, shown):
    url, _ = shown(digits, "--explainer=none")
    client = gradio_client.Client(url, verbose=False)
    assert "/explain" not in client.view_api(return_format="dict")["named_endpoints"]

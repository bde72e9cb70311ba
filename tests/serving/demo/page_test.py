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
        browser.visit(url, tmp_path / "page.png", tmp_path / "browser", wanted)
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
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=30) == 0


def test_a_broken_upload_is_an_answer_in_words(digits, tmp_path):
    trial = page.trial_of(DemoOptions(run=str(digits), examples=3), tmp_path)
    assert len(trial.examples) == 3 and all(
        pathlib.Path(e.values[0]).is_file() for e in trial.examples
    )
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n not a picture")
    prediction, _ = trial.answer((str(tmp_path / "broken.png"),))
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
    text, probabilities, quantiles, _ = gradio_client.Client(url, verbose=False).predict(
        "a fine day", api_name="/answer"
    )
    assert text and bool(quantiles and quantiles["data"]) == (kind == "number")
    assert bool(probabilities) == (kind != "number")

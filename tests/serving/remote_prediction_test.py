"""A server answers what the run itself answers: the same rows and columns, over REST and gRPC."""

import contextlib
import csv
import io

import PIL.Image
import pytest

pytest.importorskip("uvicorn")
pytest.importorskip("tensorflow_serving")
pytest.importorskip("ovmsclient")

from tests import prediction_service
from tests.serving.conftest import png
from tltf import predict
from tltf.config import options
from tltf.config.command_options import ServeOptions
from tltf.errors import DataError, StorageError
from tltf.models import saving
from tltf.serving import remote_prediction, retries
from tltf.serving.server import running


@pytest.fixture(scope="module")
def addresses(exports, loaded):
    """`(protocol, name)` -> address."""
    with contextlib.ExitStack() as stack:
        grpc = stack.enter_context(prediction_service.serve_grpc(exports[1]))
        found = {}
        for name, model in loaded.items():
            chosen = options.make(ServeOptions, port=0)
            server = stack.enter_context(running.EmbeddedServer(model, chosen))
            found["rest", name], found["grpc", name] = server.address, f"grpc://{grpc}"
        yield found


@pytest.fixture(scope="module")
def runs(exports, tmp_path_factory):
    """Name -> run folder."""
    found = {}
    for name, trained in exports[0].items():
        found[name] = tmp_path_factory.mktemp(name)
        saving.save(trained, found[name])
    return found


@pytest.fixture
def inputs(tmp_path):
    """Name -> flags of inputs, some of them bad."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for size in (9, 20, 33, 50):
        (folder / f"{size}.png").write_bytes(png(size))
    (folder / "c.jpg").write_bytes(b"no image")
    (folder / "cut.png").write_bytes(png(60)[:5000])
    PIL.Image.new("RGB", (30, 20), (9, 200, 70)).save(folder / "flat.tif")
    texts = ["a good film", " ", "the plot, it is thin", "a \u4f60 film", ""]
    table = tmp_path / "texts.csv"
    with open(table, "w", newline="") as file:
        csv.writer(file).writerows([["text"], *([text] for text in texts)])
    return {"photos": [f"--input={folder}"], "reviews": [f"--input={table}"]}


def rows(text):
    return list(csv.reader(io.StringIO(text)))


def is_number(text):
    with contextlib.suppress(ValueError):
        float(text)
        return True
    return False


def same(given, expected):
    """Whether two tables are the same but for rounding."""
    assert given[0] == expected[0] and len(given) == len(expected)
    for row, other in zip(given[1:], expected[1:], strict=True):
        for cell, wanted in zip(row, other, strict=True):
            if is_number(cell) and is_number(wanted):
                assert float(cell) == pytest.approx(float(wanted), abs=1e-5)
            else:
                assert cell == wanted
    return True


@pytest.mark.parametrize("protocol", ["rest", "grpc"])
@pytest.mark.parametrize("name", ["photos", "reviews"])
@pytest.mark.parametrize("more", [[], ["--top_k=2", "--eval_batch_size=2"]])
def test_a_server_answers_what_the_run_answers(
    protocol, name, more, addresses, runs, inputs, capsys
):
    assert predict.main([f"--run={runs[name]}", *inputs[name], *more]) == 0
    expected = capsys.readouterr().out
    server = [f"--server={addresses[protocol, name]}", f"--model={name}"]
    assert predict.main([*server, *inputs[name], *more]) == 0
    found = capsys.readouterr()
    assert same(rows(found.out), rows(expected)) and len(rows(expected)) >= 5
    assert "version 3" in found.err
    assert any(row[-1] for row in rows(expected)[1:]), "a bad input has an error in its row"


def test_threshold_and_json_lines(addresses, runs, inputs, capsys):
    for more in (["--threshold=0", "--format=jsonl"], ["--threshold=1"]):
        assert predict.main([f"--run={runs['reviews']}", *inputs["reviews"], *more]) == 0
        run_labels = [line.count("good") for line in capsys.readouterr().out.splitlines()]
        server = [f"--server={addresses['rest', 'reviews']}", "--model=reviews"]
        assert predict.main([*server, *inputs["reviews"], *more]) == 0
        labels = [line.count("good") for line in capsys.readouterr().out.splitlines()]
        assert labels == run_labels and sum(labels)


@pytest.mark.parametrize(
    ("flags", "code", "said"),
    [
        (["--model=other"], 4, "Servable not found for request: Latest"),
        (["--model=reviews", "--version=2"], 4, "Specific"),
        (["--model=reviews", "--version_label=beta"], 4, "label: beta"),
        (["--model=reviews", "--run=x"], 2, "--run: is given beside --server"),
        (["--model=reviews", "--version=3", "--version_label=stable"], 2, "beside --version"),
        ([], 2, "--model: must be given with --server"),
    ],
)
def test_what_is_not_there_is_one_line(flags, code, said, addresses, capsys):
    argv = [f"--server={addresses['rest', 'reviews']}", "--text=a film", *flags]
    assert predict.main(argv) == code
    captured = capsys.readouterr()
    assert said in captured.err and captured.out == ""


def test_labels_name_versions(addresses, capsys):
    argv = [f"--server={addresses['rest', 'reviews']}", "--model=reviews", "--text=a film"]
    assert predict.main([*argv, "--version_label=stable"]) == 0
    assert "version 3" in capsys.readouterr().err


def test_no_server_is_asked_again_before_it_is_an_error(monkeypatch, capsys):
    pauses = []
    monkeypatch.setattr(retries.time, "sleep", pauses.append)
    argv = ["--server=localhost:9", "--model=reviews", "--text=a film", "--retries=4"]
    assert predict.main(argv) == 5
    assert "gives no answer" in capsys.readouterr().err
    assert len(pauses) == 4
    bounds = [retries.FIRST_PAUSE_S * 2**n for n in range(4)]
    assert all(b / 2 <= p <= b for p, b in zip(pauses, bounds, strict=True))


def test_a_busy_server_is_asked_again(monkeypatch):
    faults = [retries.TryAgain(StorageError("busy"), 3.0)] * 2
    pauses = []
    monkeypatch.setattr(retries.time, "sleep", pauses.append)

    def ask():
        if faults:
            raise faults.pop()
        return "an answer"

    assert retries.with_retries(ask, 2) == "an answer"
    assert pauses == [3.0, 3.0], "as long as the server says"


def test_large_batches_are_sent_in_parts():
    parts = remote_prediction._parts([(b"a" * 2**22,)] * 5 + [(b"b" * 2**24,)])
    assert [len(part) for part in parts] == [2, 2, 1, 1]


def test_a_refused_batch_is_halved_until_the_input_is_alone(monkeypatch):
    asked = []

    class Client:
        address = "nowhere"

        def predict(self, columns):
            asked.append(list(columns["text"]))
            if "bad" in columns["text"]:
                raise DataError("refused")
            return {"probabilities": [[0.25, 0.75]] * len(columns["text"])}

    from tests import served
    from tltf.config.command_options import PredictOptions
    from tltf.serving.export import bundle

    trained = served.text_once()
    chosen = options.make(PredictOptions, eval_batch_size=4)
    remote = remote_prediction.RemotePredictor(
        Client(), bundle.describe(trained), trained.core.head, chosen
    )
    found = list(remote.stream(["a", "bad", "c", "d"]))
    assert [p.error for p in found] == ["", "refused", "", ""]
    assert [p.label for p in found] == ["good", "", "good", "good"]
    assert asked == [["a", "bad", "c", "d"], ["a", "bad"], ["a"], ["bad"], ["c", "d"]]

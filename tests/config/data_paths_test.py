"""A path as --data is read as the source that it looks like."""

import pytest

from tltf import check, train
from tltf.config import checks, data_paths
from tltf.errors import FlagError
from tltf.runs import folder


@pytest.mark.parametrize(
    ("name", "first", "arguments"),
    [
        ("all.csv", "review,stars", "text=review, label=stars"),
        ("all.csv", "id,Text,source,Label", "text=Text, label=Label"),
        ("all.csv", '"words, all","label"', "text='words, all', label=label"),
        ("all.csv", "filename,class", "image=filename, label=class"),
        ("all.tsv", "text\tlabel", "text=text, label=label, delimiter='\\t'"),
        ("all.jsonl", '{"body": "a", "category": "x", "n": 1}', "text=body, label=category"),
        ("two words.csv", "\ufefftext,label", "text=text, label=label"),
    ],
)
def test_usual_columns_are_taken(name, first, arguments, tmp_path):
    path = tmp_path / name
    path.write_text(first + "\n", encoding="utf-8")
    call = checks.pick_source(str(path))
    kind = "jsonl" if name.endswith("jsonl") else "csv"
    assert call.kwargs["path"] == str(path) and call.name == kind
    assert call.text.endswith(f", {arguments})")


@pytest.mark.parametrize(
    ("first", "fix"),
    [
        ("a,b,c", "text=a, label=c"),
        ("text,review,label", "text=text, label=label"),
        ("text", "text=text, label=COLUMN"),
        ("text,label,class", "text=text, label=class"),
        ("", "text=COLUMN, label=COLUMN"),
        ("path,b,c", "image=path, label=c"),
    ],
)
def test_other_columns_are_asked_for(first, fix, tmp_path):
    path = tmp_path / "all.csv"
    path.write_text(first + "\n")
    with pytest.raises(FlagError, match="which columns of") as caught:
        data_paths.name_source(str(path))
    assert caught.value.fix == f"--data='csv(path={path}, {fix})'"


def test_texts_that_are_no_path_stay(tmp_path, monkeypatch):
    (tmp_path / "digits").mkdir()  # a name of the catalog is that, whatever lies beside
    monkeypatch.chdir(tmp_path)
    for text in ("digits", "nowhere.csv", "csv(path=a.csv)", "image_folder(path=x)"):
        assert data_paths.name_source(text) == text


def test_a_run_of_a_path_says_what_was_read(tmp_path, capsys):
    rows = "".join(f"{'fine' if n % 2 else 'awful'} {n},{n % 2}\n" for n in range(30))
    (tmp_path / "all.csv").write_text("review,stars\n" + rows)
    data = f"--data={tmp_path}/all.csv"
    assert check.main([data]) == 0
    assert "2, " in capsys.readouterr().out
    flags = ["--backbone=small_lstm", "--method=scratch", "--train_epochs=1", "--noexport"]
    flags += ["--explain=none"]
    assert train.main([data, *flags, f"--output={tmp_path}/run"]) == 0
    saved = folder.read_options(str(tmp_path / "run")).data.data
    assert saved == f"csv(path={tmp_path}/all.csv, text=review, label=stars)"


def test_a_folder_of_folders_is_read(tmp_path):
    (tmp_path / "photos" / "cat").mkdir(parents=True)
    call = checks.pick_source(f"{tmp_path}/photos")
    assert (call.name, call.kwargs["path"]) == ("image_folder", f"{tmp_path}/photos")

import csv
import json
import shutil

import numpy as np
import pytest

from tltf import train
from tltf.config.options import make
from tltf.data import run_data
from tltf.data.sources import steps as step_sources
from tltf.errors import FlagError, ModelError
from tltf.experiments import from_python, one_run, steps
from tltf.models import loading
from tltf.runs import layout, removal

DIGITS = "digits(num_train=120, num_validation=30, num_test=60)"
FLAGS = [
    "--backbone=small_cnn(filters=[4])",
    "--image_size_px=8",
    "--head=classify(pooling=flatten)",
    "--train_epochs=2",
    "--noexport",
    "--explain=none",
]


def data(**changes):
    inner = ", ".join(f"{name}={value}" for name, value in changes.items())
    return f"class_steps(data='{DIGITS}', classes=5, order=3{', ' if inner else ''}{inner})"


def run(folder, *flags, **changes):
    given = [f"--data={data(**changes)}", *FLAGS, *flags, f"--output={folder}"]
    return train.main(given)


@pytest.fixture(scope="module")
def means(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "means"
    assert run(folder, "--method=ncm") == 0
    return folder


def trained_ids(folder):
    """The training rows of the run of a step, by its own flags."""
    return {str(name) for name in run_data.load_parts(str(folder))["train"].ids}


def test_the_matrix_is_that_of_the_predictions_of_each_step(means):
    found = steps.read(means)
    assert found.values.shape == (2, 2) and np.isnan(found.values[0, 1])
    for number in (1, 2):
        rows = list(csv.DictReader((means / "steps" / str(number) / "predictions.csv").open()))
        for step in range(1, number + 1):
            own = [row for row in rows if row["id"].startswith(f"step_{step}/")]
            hits = [row["true_label"] == row["predicted_label"] for row in own]
            assert found.values[number - 1, step - 1] == pytest.approx(np.mean(hits))
    assert found.chances.tolist() == [0.2, 0.1]
    assert json.loads((means / layout.STEPS_JSON).read_text())["forward_transfer"] is None
    page = (means / layout.STEPS_HTML).read_text()
    assert "<svg" in page and 'href="steps/2/report.html"' in page


def test_means_learned_in_steps_are_those_of_all_rows_at_once(means, tmp_path):
    options = make(
        data=data(step=2, rows="all"),
        method="ncm",
        backbone=str(means / "steps" / "1"),
        head="classify(pooling=flatten)",
        export=False,
        baseline="none",
        explain="none",
        output=str(tmp_path / "all"),
    )
    (means / "steps" / "1" / layout.CARRIED).rename(tmp_path / "carried")  # it must not help
    try:
        one_run.run(options)
    finally:
        (tmp_path / "carried").rename(means / "steps" / "1" / layout.CARRIED)
    whole, last = (loading.load(str(path)) for path in (tmp_path / "all", means / "steps" / "2"))
    assert whole.class_names == last.class_names
    kernels = [model.core.groups[-1].layers[-1].kernel.numpy() for model in (whole, last)]
    factor = kernels[0][0, 0] / kernels[1][0, 0]
    assert kernels[1] * factor == pytest.approx(kernels[0], rel=1e-3, abs=1e-6)


def test_the_folder_says_which_run_is_the_model(means):
    with pytest.raises(ModelError, match=r"2 steps.*steps/2 is the model after the last one"):
        loading.load(str(means))


@pytest.mark.parametrize("choice", ["reservoir", "herding"])
def test_replay_trains_on_the_memory_and_on_nothing_else_of_the_past(choice, tmp_path):
    method = "--method=linear_probe(solver=lbfgs)"
    assert run(tmp_path / "run", method, memory=12, choice=choice) == 0
    kept = json.loads((tmp_path / "run" / "memory" / "1.json").read_text())["ids"]
    assert len(kept) == 12
    past = {n for n in trained_ids(tmp_path / "run" / "steps" / "2") if n.startswith("step_1/")}
    assert past == set(kept)
    both = json.loads((tmp_path / "run" / "memory" / "2.json").read_text())["ids"]
    assert len(both) == 12 and {name[:7] for name in both} == {"step_1/", "step_2/"}


def test_a_memory_alone_starts_from_the_pretrained_weights(tmp_path):
    method = "--method=linear_probe(solver=lbfgs)"
    assert run(tmp_path / "run", method, memory=20, choice="balanced", rows="memory") == 0
    kept = json.loads((tmp_path / "run" / "memory" / "2.json").read_text())
    parts = run_data.load_parts(str(tmp_path / "run" / "steps" / "2"))
    read = {str(name) for role in ("train", "validation") for name in parts[role].ids}
    assert read == set(kept["ids"])
    assert {kept["classes"].count(name) for name in set(kept["classes"])} == {2}
    flags = (tmp_path / "run" / "steps" / "2" / "run.flags").read_text()
    assert "--backbone=small_cnn" in flags and "head_weights=\n" in flags


def test_a_killed_sequence_goes_on_in_its_step(tmp_path, monkeypatch):
    folder, plain = tmp_path / "run", one_run.run
    calls = []

    def killed(options, *arguments, **named):
        calls.append(options.output.output)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return plain(options, *arguments, **named)

    monkeypatch.setattr(one_run, "run", killed)
    with pytest.raises(KeyboardInterrupt):
        steps.run(options_of(folder))
    written = (folder / "steps" / "1" / layout.REPORT_JSON).stat().st_mtime_ns
    steps.run(options_of(folder))
    assert [path.rpartition("/")[2] for path in calls] == ["1", "2", "2"]
    assert (folder / "steps" / "1" / layout.REPORT_JSON).stat().st_mtime_ns == written
    whole = steps.run(options_of(tmp_path / "whole"))
    assert np.array_equal(steps.read(folder).values, whole.values, equal_nan=True)


def options_of(folder):
    return make(
        data=data(),
        backbone="small_cnn(filters=[4])",
        image_size_px=8,
        method="ewc",
        head="classify(pooling=flatten)",
        train_epochs=1,
        export=False,
        explain="none",
        output=str(folder),
    )


def test_the_next_step_keeps_the_weights_of_old_classes(means):
    first, second = (means / "steps" / str(number) / "run.flags" for number in (1, 2))
    assert f"--head_weights={means}/steps/1" in second.read_text()
    assert f"--backbone={means}/steps/1" in second.read_text()
    assert "--backbone=small_cnn" in first.read_text()


def test_domains_in_turn_have_forward_transfer(tmp_path):
    parts = [f"{DIGITS[:-1]}, num_test=60)".replace(", num_test=60, num_test=60", ", num_test=60")]
    parts.append(parts[0].replace("num_train=120", "num_train=140"))
    given = f"--data=sequence(steps=[{', '.join(parts)}])"
    method = "--method=linear_probe(solver=lbfgs)"
    assert train.main([given, *FLAGS, method, f"--output={tmp_path}/run"]) == 0
    found = steps.read(tmp_path / "run")
    assert not np.isnan(found.values).any() and found.forward_transfer() > 0.2
    model = loading.load(str(tmp_path / "run" / "steps" / "1"))
    every = step_sources.sequence(_settings(), parts)
    part = every.take(
        np.flatnonzero((step_sources.numbers_of(every) == 2) & (np.asarray(every.roles) == "test"))
    )
    hits = model.scores(part).argmax(axis=1) == np.asarray(part.labels)
    assert found.values[0, 1] == pytest.approx(hits.mean())


def _settings():
    from tltf.data.source import LoadSettings

    return LoadSettings()


def test_overwriting_removes_the_steps_and_the_memory(means, tmp_path):
    shutil.copytree(means, tmp_path / "run")
    (tmp_path / "run" / "memory").mkdir()
    (tmp_path / "run" / "memory" / "1.json").write_text("{}")
    (tmp_path / "run" / "notes.txt").write_text("mine")
    removal.remove(tmp_path / "run")
    left = {path.name for path in (tmp_path / "run").iterdir()}
    assert left <= {"notes.txt", *layout.OF_A_RUN} and "notes.txt" in left


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ({"split": "kfold(folds=3, fold=-1)"}, "draws rows anew"),
        ({"limit": 50}, "cannot be combined with the steps"),
        ({"strategy": "multi_worker"}, "by one process"),
    ],
)
def test_flags_that_hide_rows_are_refused(flags, said, tmp_path):
    with pytest.raises(FlagError, match=said):
        steps.run(make(data=data(), backbone="small_cnn", output=str(tmp_path / "run"), **flags))


def test_from_python_one_step_is_named(tmp_path):
    with pytest.raises(FlagError, match="several steps"):
        from_python.fit(data(), backbone="small_cnn", output=tmp_path / "run")


def test_a_dry_run_shows_the_first_step(tmp_path, capsys):
    assert run(tmp_path / "run", "--method=ncm", "--dry_run") == 0
    assert "step=1" in capsys.readouterr().out
    assert not (tmp_path / "run").exists()

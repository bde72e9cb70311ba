"""An ensemble of small runs as a run: chosen on validation, exported, evaluated, served, distilled."""

import csv
import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
from safetensors.numpy import load_file

from tests import served
from tltf import ensemble, evaluate, predict, train
from tltf.config.ensemble_options import EnsembleOptions
from tltf.config.options import make
from tltf.console import lines
from tltf.data import run_data
from tltf.errors import FlagError
from tltf.evaluation.report.report import run_report
from tltf.experiments.ensembles import candidates, distilled, rules
from tltf.experiments.ensembles.candidates import Candidate
from tltf.graphs import functional
from tltf.models import loading, raw_inputs
from tltf.runs import checkpoints, snapshots
from tltf.runs.checkpoints import Checkpoint
from tltf.serving.export.saved_model import export_saved_model
from tltf.serving.server import exported_model

SHARED = ["--backbone=small_cnn(filters=[4, 6])", "--train_epochs=3", "--noexport", "--quiet"]
SHARED += ["--baseline=none", "--explain=none", "--calibrate=none"]
TEXTS = ["--method=scratch", "--train_epochs=1", "--noexport", "--quiet", "--baseline=none"]
IN_A_CLEAN_PROCESS = """
import json, sys
import numpy as np, tensorflow as tf
pictures = [bytes.fromhex(text) for text in json.load(sys.stdin)]
found = [
    tf.saved_model.load(folder).signatures["serving_default"](image_bytes=tf.constant(pictures))
    ["probabilities"].numpy().tolist()
    for folder in sys.argv[1:]
]
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Noisy pictures of three classes that differ in brightness."""
    folder, random = tmp_path_factory.mktemp("data"), np.random.default_rng(0)
    labels = np.arange(240) % 3
    noise = random.uniform(0, 130, (240, 12, 12, 1))
    pictures = (noise + 40 * labels[:, None, None, None]).astype(np.uint8)
    np.savez(folder / "data.npz", x=pictures, y=labels)
    return f"numpy(path={folder}/data.npz)"


@pytest.fixture(scope="module")
def runs(data, tmp_path_factory):
    """Three runs on the same rows: two of one size, and one that sees smaller pictures."""
    folder = tmp_path_factory.mktemp("runs")
    more = {
        "a": ["--method=scratch", "--image_size_px=16", "--learning_rate=.01"],
        "b": ["--method=scratch", "--image_size_px=16", "--learning_rate=.03"],
        "c": ["--method=linear_probe(solver=lbfgs)", "--image_size_px=12"],
        "falls": ["--method=scratch", "--image_size_px=16", "--snapshots=3", "--keep=last"],
    }
    for name, flags in more.items():
        given = [f"--data={data}", *SHARED, *flags, f"--output={folder / name}"]
        assert train.main(given) == 0
    return folder


@pytest.fixture(scope="module")
def joint(runs, tmp_path_factory):
    """The ensemble of the three by their plain mean, with an export."""
    output = tmp_path_factory.mktemp("joint") / "ensemble"
    given = [str(runs / name) for name in "abc"]
    flags = ["--combine=mean", "--calibrate=none", f"--output={output}", "--quiet"]
    assert ensemble.main([*given, *flags]) == 0
    return output


def probabilities(path):
    with open(path, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    names = [name for name in rows[0] if name.startswith("probability_")]
    return np.array([[float(row[name]) for name in names] for row in rows])


def test_the_export_is_the_mean_of_the_exports_of_the_members(runs, joint, tmp_path):
    folders = [str(joint / "export" / "1")]
    for name in "abc":
        model = loading.load(runs / name)
        folders.append(str(export_saved_model(model, tmp_path / name, 1, False, warmup="none")))
    part = run_data.load_parts(str(joint)).test
    pictures = [text.hex() for text in raw_inputs.encode_column(part.column)]
    done = subprocess.run(
        [sys.executable, "-P", "-c", IN_A_CLEAN_PROCESS, *folders],
        input=json.dumps(pictures),
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
        env={"TF_CPP_MIN_LOG_LEVEL": "3", "PATH": "/usr/bin"},
    )
    whole, *members = map(np.array, json.loads(done.stdout.splitlines()[-1]))
    np.testing.assert_allclose(whole, np.mean(members, axis=0), atol=2e-6)
    np.testing.assert_allclose(whole, probabilities(joint / "predictions.csv"), atol=2e-6)


def test_predict_evaluate_and_serve_say_the_same(joint, tmp_path):
    assert evaluate.main([f"--run={joint}", f"--output={tmp_path / 'judged'}"]) == 0
    judged = probabilities(tmp_path / "judged" / "predictions.csv")
    report, again = run_report(joint), run_report(tmp_path / "judged")
    assert again.test.scores == report.test.scores
    part = run_data.load_parts(str(joint)).test
    files = []
    for number, contents in enumerate(raw_inputs.encode_column(part.column)):
        files.append(tmp_path / f"{number:03}.png")
        files[-1].write_bytes(contents)
    given = [f"--run={joint}", f"--input={','.join(map(str, files))}"]
    assert predict.main([*given, f"--output={tmp_path / 'p.csv'}"]) == 0
    np.testing.assert_allclose(probabilities(tmp_path / "p.csv"), judged, atol=2e-6)
    (version,) = exported_model.load_versions(joint / "export", "latest").values()
    arrays = {"image_bytes": np.array([path.read_bytes() for path in files], object)}
    answers = version.compute("serving_default", arrays)["probabilities"]
    np.testing.assert_allclose(answers, judged, atol=2e-6)


def test_the_report_puts_every_member_beside_the_ensemble(runs, joint):
    report = run_report(joint)
    block = report.ensemble
    assert [row.weight for row in block.members] == pytest.approx([1 / 3] * 3)
    for row in block.members:
        own = run_report(runs / row.name)
        assert row.test == own.test.scores["accuracy"]
        assert row.validation == own.validation.scores["accuracy"]
        assert row.ms_per_example > 0 and 0 <= row.disagreement <= 1
    best = report.baselines["best_member"]
    assert best.test.scores["accuracy"] == run_report(runs / block.best).test.scores["accuracy"]
    gain = best.gain.gains["accuracy"]
    own = report.test.scores["accuracy"] - best.test.scores["accuracy"]
    assert gain.difference == pytest.approx(own)
    assert {row.rule for row in block.rules} == {"best", "mean", "greedy"}
    page = (joint / "report.html").read_text(encoding="utf-8")
    assert "its best member" in page and "Ways to combine them" in page
    assert "--baseline" not in " ".join(step for step in page.split("Next")[1:2])
    text = (joint / "report.md").read_text(encoding="utf-8")
    assert "## Members" in text and "python -m tltf.ensemble" in text


LARGE = pytest.mark.large


@LARGE
@pytest.mark.parametrize("combine", ["greedy", "stacking", "auto"])
def test_the_core_gives_what_the_rule_gives_of_the_members_scores(runs, combine, tmp_path):
    folders = [str(runs / name) for name in "abc"]
    output = tmp_path / "joint"
    flags = [f"--combine={combine}", "--calibrate=none", "--noexport", "--quiet"]
    assert ensemble.main([*folders, *flags, f"--output={output}"]) == 0
    options = make(EnsembleOptions, runs=",".join(folders), combine=combine)
    with lines.quiet():
        library = candidates.read(folders, False, 128)
    model, scores = loading.load(output), library.scores["test"]
    validation, head = library.splits.validation, model.core.head
    rows = rules.ValidationRows(
        head,
        np.asarray(library.scores["validation"], np.float64),
        np.asarray(validation.labels),
        validation.split_groups(),
    )
    compared = rules.compare(rules.compared_names(options, head), rows, options)
    fitted = rules.fit_rule(rules.choose(compared, options), rows, options)
    logits = fitted.logits(head, np.asarray(scores, np.float64))
    wanted = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(model.scores(library.splits.test), wanted, atol=2e-5)
    block = run_report(output).ensemble
    members = [row for row in block.members if row.is_member]
    assert model.core.backbone.members == tuple(row.name for row in members)
    if fitted.shares is not None:
        weights = {row.name: row.weight for row in block.members}
        assert [weights[c.name] for c in library.candidates] == pytest.approx(list(fitted.shares))


def test_runs_that_do_not_go_together_are_refused(runs, data, joint, tmp_path, capsys):
    other = tmp_path / "other"
    given = [f"--data={data}", *SHARED, "--method=linear_probe(solver=lbfgs)", "--seed=5"]
    assert train.main([*given, "--image_size_px=12", f"--output={other}"]) == 0
    for folders, what in (
        ([runs / "a", other], f"{other} has other validation rows than {runs / 'a'}"),
        ([runs / "a"], "takes two candidates or more"),
        ([runs / "a", runs / "a"], "names a run folder twice"),
        ([runs / "a", joint], "is an ensemble itself"),
    ):
        capsys.readouterr()
        code = ensemble.main([*map(str, folders), f"--output={tmp_path / 'new'}", "--quiet"])
        assert code == 2 and what in capsys.readouterr().err
    assert ensemble.main([str(runs / "a"), str(runs / "b"), f"--output={runs / 'a'}"]) == 2


def test_a_run_that_was_trained_on_the_judged_rows_is_refused(runs):
    splits = run_data.load_parts(str(runs / "a"))
    switched = type(splits)(splits | {"validation": splits.train})
    with pytest.raises(FlagError, match="other validation rows"):
        candidates.require_same_rows(runs / "a", runs / "b", switched)
    (runs / "a" / "origin.json").rename(runs / "a" / "kept.json")
    try:
        mixed = type(splits)(splits | {"test": splits.train.take(np.arange(5))})
        noted = dict(splits)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(run_data, "load_parts", lambda run: type(splits)(noted | mixed))
            with pytest.raises(FlagError, match="trained on 5 of the 5 test rows"):
                candidates.require_same_rows(runs / "a", runs / "b", mixed)
    finally:
        (runs / "a" / "kept.json").rename(runs / "a" / "origin.json")


def test_snapshots_of_one_run_are_members(runs, tmp_path):
    """The answers are the mean of those of a model that is given each file of weights by hand."""
    run, output = runs / "falls", tmp_path / "joint"
    files = sorted((run / "snapshots").iterdir())
    assert [file.name for file in files] == [f"epoch_000{n}.safetensors" for n in (1, 2, 3)]
    pairs = candidates.load_distinct(candidates.candidates_of([str(run)], with_snapshots=True))
    assert [one.name for one, _ in pairs] == ["falls", "falls (epoch 1)", "falls (epoch 2)"]
    flags = ["--combine=mean", "--calibrate=none", "--noexport", "--quiet", f"--output={output}"]
    assert ensemble.main([str(run), "--snapshots", *flags]) == 0
    model, part = loading.load(run), run_data.load_parts(str(run)).test
    variables, answers = functional.named_weights(model.core.model.layers), []
    pictures = list(part.column.values)
    for file in files:
        for name, array in load_file(file).items():
            variables[name].assign(array)
        answers.append([list(one.probabilities.values()) for one in model.predict(pictures)])
    answers = np.array(answers)
    assert np.abs(answers[0] - answers[2]).max() > 1e-3
    np.testing.assert_allclose(
        probabilities(output / "predictions.csv"), np.mean(answers, axis=0), atol=2e-6
    )


def test_snapshots_take_epochs_and_steps(runs, data, tmp_path, capsys):
    given = [f"--data={data}", *SHARED, f"--output={tmp_path / 'new'}", "--snapshots=5"]
    for flags, said in (
        (["--method=scratch"], "scratch has 3 epochs in its last phase"),
        (["--method=linear_probe(solver=lbfgs)"], "takes no steps"),
        (["--method=prototypes", "--backbone_weights=none"], "after the last step"),
        (["--method=wise_ft"], "changes the network when its steps are over"),
        (["--method=scratch", "--train_epochs=5", "--norm=recalibrate"], "computes statistics"),
        (["--method=scratch", "--schedule=plateau"], "in place of --schedule"),
        (["--method=scratch", "--early_stopping_epochs=2"], "to the end of each fall"),
        (["--method=scratch", "--dry_run"], "scratch has 3 epochs in its last phase"),
    ):
        assert train.main([*given, *flags]) == 2
        assert said in capsys.readouterr().err


def test_refused_snapshots_leave_the_finished_run(runs, data, tmp_path):
    run = shutil.copytree(runs / "a", tmp_path / "a")
    flags = [f"--data={data}", *SHARED, "--method=scratch", "--snapshots=9", "--overwrite"]
    assert train.main([*flags, f"--output={run}"]) == 2
    assert (run / "report.json").exists()


def test_the_network_that_learns_from_snapshots_has_one_fall(runs):
    best = loading.load(runs / "falls").run_options
    assert best.train.snapshots == 3 and best.train.schedule == "cosine"
    learns = distilled.options_of("--train_epochs=2", best, "joint").train
    assert (learns.snapshots, learns.schedule, learns.train_epochs) == (0, "auto", 2)


def test_other_snapshots_are_gone_when_a_run_is_trained_again(runs, data, tmp_path):
    run = shutil.copytree(runs / "falls", tmp_path / "falls")
    given = [f"--data={data}", *SHARED, "--method=scratch", "--image_size_px=16", "--overwrite"]
    assert train.main([*given, "--snapshots=2", "--train_epochs=4", f"--output={run}"]) == 0
    assert snapshots.epochs_of(run) == [2, 4]
    assert train.main([*given, f"--output={run}"]) == 0
    assert not (run / "snapshots").exists()


@LARGE
def test_one_network_learns_from_the_ensemble(runs, tmp_path):
    output = tmp_path / "joint"
    given = [str(runs / "a"), str(runs / "b"), f"--output={output}", "--noexport", "--quiet"]
    flags = "--train_epochs=3 --backbone='small_cnn(filters=[4])' --noexport"
    assert ensemble.main([*given, "--combine=mean", f"--distill={flags}"]) == 0
    own = run_report(output / "distilled")
    assert own.options["method"].startswith("distill(teacher=")
    assert own.options["backbone"] == "small_cnn(filters=[4])"
    student, teacher = loading.load(output / "distilled"), loading.load(output)
    assert student.core.model.count_params() < teacher.core.model.count_params() / 2


@LARGE
def test_members_of_different_sizes_teach_one_network(runs, tmp_path):
    output = tmp_path / "joint"
    given = [str(runs / "a"), str(runs / "c"), f"--output={output}", "--noexport", "--quiet"]
    flags = "--train_epochs=2 --image_size_px=14 --noexport"
    assert ensemble.main([*given, "--combine=mean", f"--distill={flags}"]) == 0
    student = loading.load(output / "distilled")
    assert student.preprocessing.size_px == 14
    assert run_report(output / "distilled").options["method"].startswith("distill(teacher=")


@LARGE
def test_members_of_different_tokenizers_teach_one_network(tmp_path):
    shared = ["--data=vader(domain=movie, num_train=200, num_validation=80, num_test=80)", *TEXTS]
    for name, words, length in (("few", 100, 16), ("many", 900, 24)):
        own = [f"--backbone=small_lstm(vocabulary={words})", f"--text_length={length}"]
        assert train.main([*shared, *own, f"--output={tmp_path / name}"]) == 0
    output, folders = tmp_path / "joint", [str(tmp_path / name) for name in ("few", "many")]
    given = [*folders, "--combine=mean", "--noexport", "--quiet", f"--output={output}"]
    flags = "--backbone='small_lstm(vocabulary=300)' --text_length=20 --train_epochs=1 --noexport"
    assert ensemble.main([*given, f"--distill={flags}"]) == 0
    student = loading.load(output / "distilled")
    assert student.preprocessing.length == 20
    assert len(student.preprocessing.tokenizer.get_vocabulary()) == 300


def test_the_last_epoch_is_a_candidate_where_another_was_kept(tmp_path):
    model = served.image()
    head = functional.weights_of(model.core.model)
    moved = {name: array for name, array in head.items() if name.startswith("label_logits")}
    last = {name: array + 1 for name, array in moved.items()}
    for name, weights in (("same", moved), ("other", last), ("changed", {"gone": np.ones(3)})):
        arrays = {f"weights/{key}": array for key, array in weights.items()}
        arrays |= {f"best/{key}": array for key, array in moved.items()}
        checkpoints.save(tmp_path / name, 7, Checkpoint(arrays, {}))
    names = ("same", "other", "changed")
    assert [candidates.has_last_weights(tmp_path / name) for name in names] == [False, True, False]
    found = candidates.candidates_of(
        [str(tmp_path / name) for name in names[:2]], with_snapshots=True
    )
    assert [one.name for one in found] == ["same", "other", "other (last epoch)"]
    changed, other = (Candidate("x", tmp_path / name, is_last=True) for name in names[::-1][:2])
    assert not candidates.set_weights(model, changed.weights())
    assert candidates.set_weights(model, other.weights())
    for name, array in functional.weights_of(model.core.model).items():
        np.testing.assert_array_equal(array, last.get(name, head[name]))


@LARGE
def test_real_networks_with_and_without_a_shared_backbone(tmp_path):
    data = ["--data=vader(domain=movie, num_train=300, num_validation=100, num_test=200)"]
    flags = {
        "probe": ["--backbone=minilm_l6", "--method=probe"],
        "solved": ["--backbone=minilm_l6", "--method=linear_probe(solver=lbfgs)"],
        "small": ["--backbone=small_lstm", "--method=scratch", "--train_epochs=2"],
    }
    for name, own in flags.items():
        given = [*data, *own, "--noexport", "--baseline=none", "--explain=none", "--quiet"]
        assert train.main([*given, f"--output={tmp_path / name}"]) == 0
    for names, least_shared in ((("probe", "solved"), 0.45), (("probe", "small"), 0.0)):
        output, folders = tmp_path / "-".join(names), [str(tmp_path / name) for name in names]
        given = ["--combine=mean", "--calibrate=none", "--quiet", f"--output={output}"]
        assert ensemble.main([*folders, *given]) == 0
        block = run_report(output).ensemble
        assert block.shared >= least_shared and (block.shared > 0) == (least_shared > 0)
        texts = ["a fine film", "dull and much too long"]
        answers = [loading.load(folder).predict(texts) for folder in (*folders, output)]
        for one, other, joint in zip(*answers, strict=True):
            for name, value in joint.probabilities.items():
                mean = (one.probabilities[name] + other.probabilities[name]) / 2
                assert value == pytest.approx(mean, abs=2e-6)

"""A run that goes on with new rows and new classes, and takes the place of the old one if it may."""

import json

import numpy as np
import pytest
from sklearn.datasets import load_digits

import tltf
from tltf import update
from tltf.config import flagfiles
from tltf.data import loader
from tltf.data.sources import replay
from tltf.errors import FlagError, ModelError
from tltf.evaluation.baseline_row import Gain, PairedDifference
from tltf.evaluation.evaluators.classes import ClassEvaluator
from tltf.evaluation.split_metrics import SplitMetrics
from tltf.experiments import update_run
from tltf.graphs import functional
from tltf.models import head_rows


def write_digits(path, classes, rows=slice(None), class_names=None):
    digits = load_digits()
    kept = np.flatnonzero(np.isin(digits.target, classes))[rows]
    images = (digits.images[kept, :, :, None] * 15).astype(np.uint8)
    np.savez(path, x=images, y=np.array([f"digit_{label}" for label in digits.target[kept]]))
    return f"numpy(path='{path}')"


@pytest.fixture(scope="module")
def deployed(tmp_path_factory):
    """A run that knows the digits 0 to 3."""
    folder = tmp_path_factory.mktemp("deployed")
    data = write_digits(folder / "old.npz", [0, 1, 2, 3], slice(0, 240))
    return tltf.fit(
        data,
        backbone="small_cnn(filters=[16, 32])",
        method="scratch",
        output=folder / "run",
        image_size_px=16,
        train_epochs=20,
        batch_size=8,
        learning_rate=0.003,
        baseline="none",
        explain="none",
        quiet=True,
        export=True,
    ).folder


def run_update(deployed, folder, data, *flags):
    return update.main(
        [f"--run={deployed}", f"--data={data}", f"--output={folder / 'new'}", *map(str, flags)]
    )


def test_new_classes_are_learned_the_old_are_kept_and_the_next_version_is_written(
    deployed, tmp_path, capsys
):
    data = write_digits(tmp_path / "new.npz", [6, 7], slice(0, 120))
    flags = "--replay=2", "--tolerance=0.1", f"--publish={tmp_path / 'served'}"
    code = run_update(deployed, tmp_path, data, *flags)
    printed = capsys.readouterr()
    assert code == 0, printed.err
    found = json.loads((tmp_path / "new/update.json").read_text())
    assert found["new_classes"] == ["digit_6", "digit_7"] and found["refusals"] == []
    old, new = found["rows"]["old"], found["rows"]["new"]
    assert new["before"]["accuracy"] == 0 and new["after"]["accuracy"] > 0.5
    difference = old["after"]["accuracy"] - old["before"]["accuracy"]
    assert old["gain"]["accuracy"]["difference"] == pytest.approx(difference) and difference > -0.1
    assert "2 new classes: digit_6, digit_7" in printed.out
    assert (tmp_path / "served/1/saved_model.pb").exists()
    names = (tmp_path / "served/1/assets/class_names.txt").read_text().splitlines()
    assert names == [f"digit_{number}" for number in (0, 1, 2, 3, 6, 7)]
    flags = flagfiles.parse(tltf.Options, [f"--flagfile={tmp_path / 'new/run.flags'}"])[0]
    assert flags.train.method == "full" and "with_replay" in flags.data.data


def test_what_forgets_the_old_is_refused_with_the_table(deployed, tmp_path, capsys):
    data = write_digits(tmp_path / "new.npz", [6, 7], slice(0, 120))
    flags = "--replay=0.05", "--learning_rate=0.3", "--train_epochs=2"
    code = run_update(deployed, tmp_path, data, *flags)
    printed = capsys.readouterr()
    assert code == 7 and "accuracy on the old test rows" in printed.err
    assert printed.out.count("points (") == 2 and "published" not in printed.out
    assert json.loads((tmp_path / "new/update.json").read_text())["published"] is None
    assert [path.name for path in (deployed / "export").iterdir()] == ["1"]


def test_the_source_has_all_old_test_rows_and_as_many_old_training_rows_as_asked_for(
    deployed, tmp_path
):
    data = write_digits(tmp_path / "new.npz", [3, 6], slice(200, 300))
    source = loader.load(f"with_replay(run={deployed}, data={data}, replay=0.5)", seed=0)
    own = loader.load(write_digits(tmp_path / "old.npz", [0, 1, 2, 3], slice(0, 240)), seed=0)
    is_new, roles = replay.is_new(source), source.roles
    num_new = int(np.sum(is_new & (roles == "train")))
    assert np.sum(~is_new & (roles == "train")) == round(num_new / 2)
    assert np.sum(~is_new & (roles == "test")) == round(0.2 * len(own))
    assert source.class_names == ("digit_0", "digit_1", "digit_2", "digit_3", "digit_6")
    scan = source.scan
    assert scan.found == scan.used + scan.skipped + scan.excluded and scan.used == len(source)
    digests = source.content_hashes()
    tested = digests[roles == "test"]
    assert not np.isin(digests[roles != "test"], tested).any()


def test_rows_of_known_classes_are_copied_by_name(deployed):
    old = tltf.load(deployed)
    fresh = tltf.load(deployed)
    names = ("digit_9", "digit_3", "digit_1")
    from tltf.graphs.core import attach_head

    core = attach_head(fresh.core.backbone, fresh.core.only.call, 3)
    kernel, bias = functional.named_weights(core.groups[-1].layers).values()
    random = kernel.numpy()[:, 0]
    assert head_rows.copy_head(core, names, str(deployed)) == ["digit_3", "digit_1"]
    before = [
        weight.numpy() for weight in functional.named_weights(old.core.groups[-1].layers).values()
    ]
    np.testing.assert_array_equal(kernel.numpy()[:, 1:], before[0][:, [3, 1]])
    np.testing.assert_array_equal(bias.numpy()[1:], before[1][[3, 1]])
    np.testing.assert_array_equal(kernel.numpy()[:, 0], random)
    with pytest.raises(ModelError, match="knows none of these classes"):
        head_rows.copy_head(core, ("a", "b", "c"), str(deployed))


@pytest.mark.parametrize(
    ("data", "code", "said"),
    [
        ("", 2, "--data: must be given"),
        ("vader", 2, "the run was trained on image"),
        ("tests.experiments.update_run_test:write_digits", 4, "its code would be run"),
    ],
)
def test_what_cannot_be_learned_on_top_is_an_error(deployed, tmp_path, capsys, data, code, said):
    assert run_update(deployed, tmp_path, data) == code
    error = capsys.readouterr().err.splitlines()[-1]
    assert said in error


def test_the_run_in_use_is_never_written_over(deployed):
    with pytest.raises(FlagError, match="is the run in use"):
        update_run.training_options(_options(deployed, deployed))


def _options(run, output):
    from tltf.config.command_options import UpdateOptions
    from tltf.config.options import make

    return make(UpdateOptions, run=str(run), output=str(output), data="digits")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ((-0.009, [-0.03, 0.01]), (0.1, [0.05, 0.15]), []),
        ((-0.011, [-0.03, 0.01]), (0.1, [0.05, 0.15]), ["is worse"]),
        ((0.0, None), (0.1, [-0.01, 0.2]), ["not surely better"]),
        ((-0.2, [-0.3, -0.1]), (-0.1, [-0.2, -0.05]), ["is worse", "is worse"]),
    ],
)
def test_a_run_is_published_only_where_it_is_better_on_the_new_and_not_worse_on_the_old(
    old, new, said
):
    metrics = SplitMetrics({"accuracy": 0.9}, 100)
    rows = [
        update_run.JudgedRows(name, metrics, metrics, PairedDifference({"accuracy": Gain(*gain)}))
        for name, gain in (("old", old), ("new", new))
    ]
    found = update_run.refusals(rows, 0.01, ClassEvaluator.wording)
    assert len(found) == len(said) and all(
        word in text for word, text in zip(said, found, strict=True)
    )

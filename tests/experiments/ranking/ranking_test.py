"""Networks ranked on made-up pictures: what the page and the JSON say, and what is refused."""

import json

import numpy as np
import pytest

from tltf import rank
from tltf.config import checks, options
from tltf.config.rank_options import RankOptions
from tltf.data import loader
from tltf.errors import StorageError
from tltf.experiments.ranking import candidates, page, ranking
from tltf.experiments.ranking.candidates import Candidate, CandidateFeatures
from tltf.heads.light import choice, families
from tltf.heads.light.light_model import FrozenRows

NETWORKS = "small_cnn(filters=[4, 6])|small_cnn(filters=[4])"


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Pictures of three classes that differ in brightness."""
    folder, random = tmp_path_factory.mktemp("data"), np.random.default_rng(0)
    labels = np.arange(90) % 3
    noise = random.uniform(0, 60, (90, 8, 8, 1))
    pictures = (noise + 60 * labels[:, None, None, None]).astype(np.uint8)
    np.savez(folder / "data.npz", x=pictures, y=labels)
    return f"numpy(path={folder}/data.npz)"


@pytest.fixture(scope="module")
def ranked(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("ranked")
    flags = [f"--data={data}", f"--backbones={NETWORKS}", "--image_sizes_px=16,20", "--taps=all"]
    assert rank.main([*flags, "--rows=60", f"--output={folder}", "--quiet"]) == 0
    return folder


def test_every_network_size_and_tap_has_its_scores_and_cost(ranked):
    saved = json.loads((ranked / "ranking.json").read_text())
    found = [
        (one["candidate"]["backbone"], one["candidate"]["image_size_px"], one["candidate"]["tap"])
        for one in saved["networks"]
    ]
    deep, flat = NETWORKS.split("|")
    every = {(deep, size, tap) for size in (16, 20) for tap in ("stage_1", "last")}
    assert set(found) == every | {(flat, 16, "last"), (flat, 20, "last")} and len(found) == 6
    scores = [one["scores"]["probe"] for one in saved["networks"]]
    assert scores == sorted(scores, reverse=True) and scores[0] > 0.8
    assert saved["num_rows"] == 60 and saved["num_classes"] == 3
    for one in saved["networks"]:
        width = {"stage_1": 4}.get(
            one["candidate"]["tap"], 6 if "6" in one["candidate"]["backbone"] else 4
        )
        assert one["num_features"] == width and one["ms_per_example"] > 0
        assert set(one["scores"]) == {"probe", "log_me", "h_score", "nearest"}


def test_the_page_has_a_picture_and_the_command_that_trains_the_first(ranked):
    text = (ranked / "ranking.html").read_text()
    saved = json.loads((ranked / "ranking.json").read_text())
    assert "<svg" in text and "LogME" in text and "milliseconds an example" in text
    assert "mathdefault" not in text and "of 3 classes" in text
    assert "was .63 for the light head, .68 for the nearest 5" in text
    first = saved["networks"][0]["flags"]
    assert f"image_size_px={first['image_size_px']}" in text and "tltf.train" in text


def test_its_first_flags_are_those_of_a_run(data, ranked):
    saved = json.loads((ranked / "ranking.json").read_text())
    for one in saved["networks"]:
        chosen = options.make(RankOptions, data=data, **one["flags"])
        assert chosen.model.backbone == one["candidate"]["backbone"]


def test_scores_are_those_of_the_features():
    random = np.random.default_rng(1)
    labels = np.arange(60) % 3
    features = (random.normal(size=(3, 5))[labels] + random.normal(size=(60, 5))).astype(np.float32)
    targets = np.eye(3)[labels]
    chosen = choice.choose(families.pick("auto"), FrozenRows(features, targets, np.ones(60)), 3)
    assert ranking.probe_accuracy(features, targets, np.arange(60), 3) == chosen.candidate.accuracy


def test_no_cheap_score_depends_on_the_scales_of_single_features(data):
    rows, random = loader.load(data), np.random.default_rng(3)
    features = random.normal(size=(90, 6)) + 2 * np.eye(6)[np.asarray(rows.labels)]
    given = {"candidate": Candidate("one", 8, "last"), "ms_per_example": 1.0, "num_parameters": 10}
    plain, scaled = (
        ranking.score(CandidateFeatures(features=each, licence="", **given), rows, 0).scores
        for each in (features, features * [1, 1, 1, 1, 1, 1e3] + 7)
    )
    for scores in (plain, scaled):
        del scores["probe"]  # which tries two scalings
    assert set(plain) == {"log_me", "h_score", "nearest"}
    assert scaled == pytest.approx(plain, rel=1e-6)


def test_log_me_tells_far_classes_from_near_ones(tmp_path):
    """Of two classes half of the targets' energy is their mean, which centered features cannot explain."""
    random, labels = np.random.default_rng(4), np.arange(200) % 2
    np.savez(tmp_path / "two.npz", x=random.integers(0, 255, (200, 6, 6, 1), np.uint8), y=labels)
    rows = loader.load(f"numpy(path={tmp_path}/two.npz)")
    noise = random.normal(size=(200, 8))
    found = [
        ranking.scores_of(
            CandidateFeatures(
                Candidate("one", 6, "last"), noise + gap * labels[:, None], 1.0, 10, ""
            ),
            rows,
            0,
        )["log_me"]()
        for gap in (0.3, 10)
    ]
    assert found[1] > found[0] + 1


def test_a_row_is_not_judged_by_its_copy(tmp_path):
    random = np.random.default_rng(2)
    pictures = np.repeat(random.integers(0, 255, (40, 6, 6, 1), np.uint8), 2, axis=0)
    labels = np.repeat(np.arange(40) % 2, 2)  # which the features do not tell
    np.savez(tmp_path / "pairs.npz", x=pictures, y=labels)
    rows = loader.load(f"numpy(path={tmp_path}/pairs.npz)")
    assert len(rows) == 80
    features = np.repeat(random.normal(size=(40, 64)), 2, axis=0).astype(np.float32)
    found = CandidateFeatures(Candidate("one", 6, "last"), features, 1.0, 10, "")
    scores = ranking.score(found, rows, 0).scores
    assert scores["nearest"] < 0.8 and scores["probe"] < 0.8


@pytest.mark.parametrize(
    "name",
    ["efficientnet_lite0", pytest.param("mobilenet_v2_torchvision", marks=[pytest.mark.large])],
)
def test_a_network_with_its_own_output_layer_is_asked_for_its_own_classes(data, name):
    chosen = options.make(RankOptions, data=data, backbones=name, image_size_px=32)
    recipe = checks.resolve(options.replace(chosen, backbone=name), needs_output=False)
    rows = loader.load(data)
    (found,) = candidates.features_of(chosen, recipe, rows, [name])
    assert found.source.shape == (90, 1000)
    np.testing.assert_allclose(found.source.sum(axis=1), 1, rtol=1e-5)
    scores = ranking.score(found, rows, 0).scores
    joint = np.zeros((3, 1000))
    np.add.at(joint, rows.labels, found.source.astype(np.float64) / 90)
    likely = ((joint / joint.sum(axis=0))[rows.labels] * found.source).sum(axis=1)
    assert scores["leep"] == pytest.approx(np.log(likely).mean(), rel=1e-4)
    assert scores["nce"] <= 0


def test_a_network_without_a_score_is_last():
    def network(name, probe):
        return ranking.RankedNetwork(
            Candidate(name, 96, "last"), {"probe": probe}, {}, 2.0, 10, 4, ""
        )

    assert ranking._known(network("a", float("nan")), "probe") < ranking._known(
        network("b", 0.0), "probe"
    )


def test_a_note_names_the_network_that_another_score_would_take():
    def network(name, **scores):
        given = {"probe": 0.5, "log_me": 0.1, "h_score": 1.0, "nearest": 0.5} | scores
        return ranking.RankedNetwork(Candidate(name, 96, "stage_3"), given, {}, 2.0, 10, 4, "MIT")

    found = [network("a", probe=0.9), network("b", log_me=0.2)]
    (note,) = ranking._notes(found, "probe")
    assert note == "By LogME the first would be b, 96 px, stage_3."
    whole = ranking.Ranking(found, "probe", "digits", 60, 10, [note])
    shown = page.terminal_text(whole, None)
    assert "90.0%" in shown and "--head=classify(features=stage_3)" in shown


def test_rows_are_drawn_from_every_class(data):
    source = loader.load(data)
    chosen = options.make(RankOptions, data=data, rows=20)
    rows = ranking.drawn_rows(source, chosen)
    assert sorted(np.bincount(rows.labels).tolist()) == [7, 7, 7]
    assert ranking.drawn_rows(source, options.make(RankOptions, data=data, rows=90)) is source


def test_a_network_that_is_out_of_reach_is_named_and_the_others_are_ranked(
    data, tmp_path, monkeypatch, capsys
):
    assemble, (deep, flat) = candidates.assembly.assemble, NETWORKS.split("|")
    unreachable = {deep}

    def out_of_reach(own, *given):
        if own.model.backbone in unreachable:
            raise StorageError("its package cannot be downloaded")
        return assemble(own, *given)

    monkeypatch.setattr(candidates.assembly, "assemble", out_of_reach)
    flags = [f"--data={data}", f"--backbones={NETWORKS}", "--image_sizes_px=16", "--rows=40"]
    flags += [f"--output={tmp_path}", "--quiet"]
    assert rank.main(flags) == 0
    saved = json.loads((tmp_path / "ranking.json").read_text())
    assert [one["candidate"]["backbone"] for one in saved["networks"]] == [flat]
    note = f"{deep} was not tried: its package cannot be downloaded."
    assert note in saved["notes"] and note in " ".join(capsys.readouterr().out.split())
    unreachable.add(flat)
    assert rank.main(flags) == 3
    assert "no network could be tried" in " ".join(capsys.readouterr().err.split())


def test_numbers_and_sizes_in_words_are_refused(data, capsys):
    given = [f"--data={data}", f"--backbones={NETWORKS}"]
    assert rank.main([*given, "--head=regress"]) == 2
    assert "one class a row" in " ".join(capsys.readouterr().err.split())
    assert rank.main([*given, "--image_sizes_px=large"]) == 2
    assert "whole numbers joined with commas" in " ".join(capsys.readouterr().err.split())

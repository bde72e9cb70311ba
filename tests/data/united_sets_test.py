"""Several data sets as one Source: their rows, their splits, and how often they are drawn."""

import csv

import numpy as np
import pytest

from tltf.config import checks
from tltf.config.data_sets import DataCalls
from tltf.config.option_groups import ScanOptions
from tltf.data import loader, splits
from tltf.data.mixed_sets import MixedSets
from tltf.data.ordering import MixedOrder
from tltf.errors import FlagError

HEADS = "tone: classify; size: regress"
LENIENT = ScanOptions(max_bad_fraction=0.1)


def table(path, count, column, label_of):
    rows = [["text", column], *([f"{path.stem} row {n}", label_of(n)] for n in range(count))]
    rows += [["no number", "many"]] if column == "size" else []
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return f"csv(path={path}, text=text, label={column})"


@pytest.fixture
def data(tmp_path):
    """A text of --data of 60 and 20 rows."""
    tone = table(tmp_path / "tones.csv", 60, "tone", lambda n: ["bad", "good"][n % 2])
    size = table(tmp_path / "sizes.csv", 20, "size", lambda n: n / 2)
    return f"tone: {tone}; size: {size}"


def united(data, heads=HEADS):
    recipe = checks.resolve_data(data, "holdout", heads)
    return recipe, loader.load_labelled(recipe.source, recipe.head, scan=LENIENT)


def test_each_row_has_the_label_of_its_own_data_set(data):
    recipe, source = united(data)
    assert isinstance(recipe.source, DataCalls) and len(source) == 80
    tone, size = (source.label_fields[task] for task in ("tone", "size"))
    np.testing.assert_array_equal(tone.known, np.arange(80) < 60)
    np.testing.assert_array_equal(size.known, np.arange(80) >= 60)
    assert tone.class_names == ("bad", "good") and size.values[62] == 1.0
    assert source.ids[0].startswith("tone/") and source.ids[-1].startswith("size/")
    assert len(set(source.ids)) == 80 and source.scan.found == 81
    (skipped,) = source.scan.skipped_rows
    assert skipped["id"].startswith("size/") and skipped["id"].endswith(":22")
    assert source.texts()[61] == "sizes row 1"


def test_each_data_set_is_split_as_if_it_were_alone(data):
    recipe, source = united(data)
    parts = splits.split(source, recipe.split, seed=3)
    for task, own in recipe.source.sets.items():
        alone = loader.load_labelled(own, recipe.head.tasks[task], scan=LENIENT)
        expected = splits.split(alone, recipe.split, seed=3)
        for role, part in parts.items():
            assert sorted(part.of_task(task).texts()) == sorted(expected[role].texts())


def test_a_row_whose_content_another_data_set_tests_on_is_not_trained_on(tmp_path):
    same = table(tmp_path / "a.csv", 40, "tone", lambda n: ["bad", "good"][n % 2])
    data = f"one: {same}; two: {same.replace('label=tone', 'label=tone, suffix=')}"
    recipe, source = united(data, "one: classify; two: ordinal(order=[bad, good])")
    parts = splits.split(source, recipe.split, seed=0)
    tested = set(parts.test.texts())
    assert not tested & set(parts.train.texts()) and tested


@pytest.mark.parametrize(("alpha", "expected"), [(0, [40, 40]), (0.5, [51, 29]), (1, [60, 20])])
def test_rows_are_drawn_by_size_to_the_power_of_alpha(alpha, expected):
    mixed = MixedSets(np.repeat([0, 1], [60, 20]), alpha, 2)
    assert mixed.quotas() == expected
    order = MixedOrder(mixed, 0, 8)
    drawn = np.concatenate([np.asarray(order(epoch)) for epoch in range(6)])
    assert len(drawn) == 6 * 80
    counts = np.bincount(drawn, minlength=80)
    for number in (0, 1):
        own = counts[mixed.sets == number]
        assert own.sum() == 6 * expected[number] and own.max() - own.min() <= 1
    assert (np.asarray(order(1)) != np.asarray(order(2))).any()
    np.testing.assert_array_equal(order(4), MixedOrder(mixed, 0, 8)(4))


def test_rows_of_similar_length_share_a_batch():
    mixed = MixedSets(np.repeat([0, 1], [60, 20]), 0.0, 2)
    lengths = np.random.default_rng(0).integers(1, 50, 80).astype("int32")
    given = np.asarray(MixedOrder(mixed, 0, 8, lengths)(0))
    free = np.asarray(MixedOrder(mixed, 0, 8)(0))
    assert sorted(given) == sorted(free)
    spread = [np.ptp(lengths[rows].reshape(-1, 8), axis=1).mean() for rows in (given, free)]
    assert spread[0] < spread[1] / 2


def test_pictures_of_several_forms_become_encoded_ones():
    data = (
        "digit: digits(num_train=20, num_test=10); cloth: fashion_mnist(num_train=20, num_test=10)"
    )
    pytest.importorskip("sklearn")
    from tltf.data import joined_rows
    from tltf.data.source import Column, ScanCounts, Source, one_field

    arrays = [
        np.arange(4 * 8 * 8, dtype=np.uint8).reshape(4, 8, 8, 1),
        np.zeros((2, 5, 5, 3), np.uint8),
    ]
    parts = [
        Source(
            "x",
            one_field("array", array),
            {},
            [f"{n}" for n in range(len(array))],
            None,
            ScanCounts(),
        )
        for array in arrays
    ]
    (field,) = joined_rows.join_fields(parts).values()
    assert isinstance(field, Column) and field.kind == "bytes" and len(field) == 6
    import tensorflow as tf

    np.testing.assert_array_equal(tf.io.decode_png(field.values[1]), arrays[0][1])
    np.testing.assert_array_equal(tf.io.decode_png(field.values[5]), arrays[1][1])
    assert (
        checks.resolve_data(data, "holdout", "digit: classify; cloth: classify").source.alpha == 0.5
    )


@pytest.mark.parametrize(
    ("change", "heads", "match"),
    [
        ("", "classify", "one head"),
        ("", "tone: classify; other: regress", "names the data sets tone, size"),
        ("; alpha: 2", HEADS, "from 0 to 1"),
        ("; alpha: often", HEADS, "from 0 to 1"),
        ("; tone: vader", HEADS, "have one name"),
    ],
)
def test_what_does_not_fit_is_refused(data, change, heads, match):
    with pytest.raises(FlagError, match=match):
        checks.resolve_data(data + change, "holdout", heads)


def test_texts_and_pictures_do_not_share_a_network(data):
    both = data.partition(";")[0] + "; size: digits"
    with pytest.raises(FlagError, match="have the same fields"):
        united(both, "tone: classify; size: classify")

import itertools

import numpy as np
import pytest

from tltf.data import kept_rows
from tltf.data.kept_rows import KeptRows, Stream
from tltf.errors import FlagError, ModelError


def stream(first, count, label=None):
    """Rows with a class each, or with classes in turn."""
    ids = [f"row {number}" for number in range(first, first + count)]
    return Stream(ids, [label or "ab"[number % 2] for number in range(count)])


def test_every_row_of_a_stream_is_kept_by_the_reservoir_with_the_same_probability():
    counts, draws = np.zeros(30), 2000
    for seed in range(draws):
        kept = kept_rows.update(KeptRows(), stream(0, 10), "reservoir", 6, seed)
        kept = kept_rows.update(kept, stream(10, 20), "reservoir", 6, seed)
        assert len(kept) == len(set(kept.ids)) == 6
        counts[[int(name.split()[1]) for name in kept.ids]] += 1
    expected, deviation = draws * 6 / 30, np.sqrt(draws * 0.2 * 0.8)
    assert np.abs(counts - expected).max() < 4 * deviation
    assert kept.num_seen == {"a": 15, "b": 15}


def test_the_balanced_memory_has_as_many_rows_of_each_class_however_few_came():
    kept = kept_rows.update(KeptRows(), stream(0, 100, "a"), "balanced", 12, 1)
    assert len(kept) == 12
    kept = kept_rows.update(kept, stream(100, 5, "b"), "balanced", 12, 1)
    kept = kept_rows.update(kept, stream(200, 50, "c"), "balanced", 12, 1)
    assert {name: kept.classes.count(name) for name in "abc"} == {"a": 4, "b": 4, "c": 4}
    assert set(kept.ids[4:8]) <= {f"row {number}" for number in range(100, 105)}


def test_herding_takes_the_row_that_brings_the_mean_nearest_each_time():
    features = np.random.default_rng(0).normal(size=(7, 3))
    mean, chosen = features.mean(axis=0), []
    for _ in range(4):
        left = [row for row in range(7) if row not in chosen]
        means = [features[[*chosen, row]].mean(axis=0) for row in left]
        chosen.append(left[int(np.argmin([np.linalg.norm(mean - one) for one in means]))])
    assert kept_rows.herding_order(features, mean, 4).tolist() == chosen
    assert len(kept_rows.herding_order(features, mean, 99)) == 7


def test_herding_shortens_old_classes_from_their_end_and_orders_a_class_that_comes_again():
    random = np.random.default_rng(1)
    features = random.normal(size=(8, 3))
    first = Stream([f"row {n}" for n in range(8)], ["a"] * 8, features)
    kept = kept_rows.update(KeptRows(), first, "herding", 6, 0)
    second = Stream(["x", "y", "z"], ["b"] * 3, random.normal(size=(9, 3)))
    after = kept_rows.update(kept, second, "herding", 4, 0)
    assert after.ids[:2] == kept.ids[:2] and after.classes == ("a", "a", "b", "b")
    third = Stream(["new"], ["a"], random.normal(size=(5, 3)))
    again = kept_rows.update(after, third, "herding", 4, 0)
    assert set(again.ids[:2]) <= {*kept.ids[:2], "new"} and again.num_seen == {"a": 9, "b": 3}


def test_a_memory_is_read_as_it_was_written(tmp_path):
    kept = kept_rows.update(KeptRows(), stream(0, 9), "reservoir", 4, 0)
    kept.write(tmp_path / "memory" / "1.json")
    assert kept_rows.read(tmp_path / "memory" / "1.json") == kept
    for text in ("{}", '{"ids": ["a"], "classes": [], "num_seen": {}}', "no json"):
        (tmp_path / "bad.json").write_text(text)
        with pytest.raises(ModelError):
            kept_rows.read(tmp_path / "bad.json")


def test_the_budget_is_never_exceeded():
    for choice, budget in itertools.product(("reservoir", "balanced"), (0, 1, 3)):
        kept = kept_rows.update(KeptRows(), stream(0, 20), choice, budget, 0)
        assert len(kept) <= budget
    with pytest.raises(FlagError, match=r"no choice 'herd'.*herding"):
        kept_rows.update(KeptRows(), stream(0, 4), "herd", 3, 0)

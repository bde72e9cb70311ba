import collections
import dataclasses

import numpy as np
import pytest

from tltf.data import fewer_rows, splits
from tltf.data.source import Column, ScanCounts, Source, one_label_field
from tltf.errors import DataError, FlagError


def make(texts, labels, roles=None):
    names = tuple(str(label) for label in range(max(labels) + 1))
    return Source(
        name="made",
        fields={"text": Column("text", list(texts))},
        label_fields=one_label_field(np.array(labels, np.int32), names),
        ids=list(texts),
        roles=None if roles is None else np.array(roles, "<U10"),
        scan=ScanCounts(len(texts), len(texts)),
    )


def numbered(*counts):
    rows = [
        (f"class {label} row {row}", label) for label, n in enumerate(counts) for row in range(n)
    ]
    return make(*zip(*rows, strict=True))


def by_id(parts):
    return {row: role for role, part in parts.items() for row in part.ids}


def test_holdout_is_stratified():
    parts = splits.split(numbered(700, 200, 100), "holdout(test=.2, validation=.1)", 0)
    counts = {role: np.bincount(part.labels).tolist() for role, part in parts.items()}
    assert counts == {"train": [490, 140, 70], "validation": [70, 20, 10], "test": [140, 40, 20]}


@pytest.mark.parametrize("has_validation", [False, True])
def test_validation_rows_are_trained_on_where_asked_and_the_test_rows_stay(has_validation):
    source = numbered(70, 20, 10)
    if has_validation:
        roles = np.where(np.arange(100) % 5 == 0, "validation", "train")
        source = dataclasses.replace(source, roles=roles)
    usual = splits.split(source, "holdout(test=.2, validation=.1)", 3)
    merged = splits.split(source, "holdout(test=.2, validation=.1, train_on_validation=true)", 3)
    assert set(merged) == {"train", "test"}
    assert sorted(merged["train"].ids) == sorted([*usual["train"].ids, *usual["validation"].ids])
    assert sorted(merged["test"].ids) == sorted(usual["test"].ids)
    assert not merged["train"].scan.warnings


def test_every_row_is_in_exactly_one_split():
    source = numbered(13, 7, 5)
    parts = splits.split(source, "holdout(test=.3, validation=.2)", 3)
    assert sorted(row for part in parts.values() for row in part.ids) == sorted(source.ids)


def test_seed_decides_and_order_does_not():
    source = numbered(50, 50)
    first = by_id(splits.split(source, "holdout", 0))
    shuffled = source.take(np.random.default_rng(0).permutation(100))
    assert by_id(splits.split(shuffled, "holdout", 0)) == first
    assert by_id(splits.split(source, "holdout", 1)) != first


def test_added_rows_move_few():
    before = by_id(splits.split(numbered(500, 500), "holdout", 0))
    after = by_id(splits.split(numbered(550, 550), "holdout", 0))
    moved = sum(after[row] != role for row, role in before.items())
    assert moved <= 30  # of 1,000; an unseeded draw of new splits would move about 460


def test_same_content_is_in_one_split():
    texts = [f"text {row // 3}" for row in range(300)]
    # The same text with other blanks, and some with another label.
    texts = [text.replace(" ", "  ") if row % 3 else text for row, text in enumerate(texts)]
    labels = [row % 7 == 0 for row in range(300)]
    parts = splits.split(make(texts, [int(label) for label in labels]), "holdout", 0)
    roles = collections.defaultdict(set)
    for role, part in parts.items():
        for text in part.column.values:
            roles[" ".join(text.split())].add(role)
    assert all(len(found) == 1 for found in roles.values())


def test_class_of_one_trains():
    parts = splits.split(numbered(*[1] * 10, 50), "holdout(test=.3, validation=.3)", 0)
    assert set(range(10)) <= set(parts["train"].labels.tolist())
    assert any(
        text.startswith("10 classes have no test example: 0, 1")
        for text in parts["train"].scan.warnings
    )


def test_given_test_is_kept_and_validation_taken_from_train():
    source = numbered(100, 100)
    roles = ["test" if row % 2 else "train" for row in range(200)]
    source = dataclasses.replace(source, roles=np.array(roles))
    parts = splits.split(source, "holdout(test=.2, validation=.1)", 0)
    assert parts["test"].ids == source.ids[1::2]
    assert len(parts["validation"]) == 10
    assert len(parts["train"]) == 90


def test_given_needs_all_splits():
    with pytest.raises(DataError, match="no validation and no test"):
        splits.split(make("abcd", [0, 1, 0, 1], ["train"] * 4), "given", 0)


def test_folds_partition_the_rows():
    source = numbered(23, 41, 6)
    tests = []
    for fold in range(5):
        parts = splits.split(source, f"kfold(folds=5, fold={fold})", 0)
        tests.append(parts["test"].ids)
        assert not set(parts["test"].ids) & set(parts["train"].ids + parts["validation"].ids)
        counts = np.bincount(parts["test"].labels, minlength=3)
        assert (np.abs(counts - np.array([23, 41, 6]) / 5) <= 1).all()
    assert sorted(row for rows in tests for row in rows) == sorted(source.ids)


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("holdout(test=1.0)", FlagError, "not shares"),
        ("holdout(test=.6, validation=.4)", FlagError, "not shares"),
        (
            "holdout(test=.001)",
            DataError,
            "test=0.001 of 100 rows is less than one row.*test=0.01 or more",
        ),
        ("kfold(folds=5, fold=5)", FlagError, "no fold 5 of 5"),
        ("holdot", FlagError, "choices: holdout"),
    ],
)
def test_faults(text, error, message):
    with pytest.raises(error, match=message):
        splits.split(numbered(50, 50), text, 0)


def test_give_roles_counts_and_nests():
    source = numbered(300, 200)
    small = fewer_rows.draw_roles(source, 0, num_train=50, num_test=100)
    large = fewer_rows.draw_roles(source, 0, num_train=200, num_test=100)
    counts = collections.Counter(large.roles.tolist())
    assert counts == {"train": 200, "validation": 50, "test": 100}
    assert (large.scan.used, large.scan.excluded) == (350, 150)

    def ids(part, role):
        return {row for row, given in zip(part.ids, part.roles, strict=True) if given == role}

    assert ids(small, "test") == ids(large, "test")
    assert ids(small, "train") < ids(large, "train")
    assert np.bincount(large.labels[large.roles == "train"]).tolist() == [120, 80]


@pytest.mark.parametrize("limit", [20, 21])
def test_a_limit_keeps_the_shares_of_classes_and_given_splits(limit):
    source = numbered(300, 200)
    small, again = (fewer_rows.limit_rows(source, limit, 0) for _ in range(2))
    assert len(small) == limit and small.ids == again.ids and small.roles is None
    assert np.bincount(small.labels).tolist() in ([12, 8], [13, 8], [12, 9])
    assert (small.scan.found, small.scan.used, small.scan.excluded) == (500, limit, 500 - limit)
    assert fewer_rows.limit_rows(source, limit, 1).ids != small.ids
    assert fewer_rows.limit_rows(source, 500, 0) is source
    roles = np.array(["train", "train", "train", "test"] * 125)
    given = dataclasses.replace(source, roles=roles)
    counts = collections.Counter(fewer_rows.limit_rows(given, 20, 0).roles.tolist())
    assert counts == {"train": 15, "test": 5}


def test_give_roles_needs_enough_rows():
    with pytest.raises(FlagError, match="has 500 examples, fewer than the 450"):
        fewer_rows.draw_roles(numbered(300, 200), 0, num_train=450)


def test_rows_of_a_given_test_split_that_folds_leave_out_are_counted():
    roles = ["train", "train", "validation", "test"] * 25
    source = make([f"text {row}" for row in range(100)], [row % 2 for row in range(100)], roles)
    parts = splits.split(source, "kfold(folds=5, fold=1)", 0)
    scan = parts["train"].scan
    assert sum(map(len, parts.values())) == scan.used == 75
    assert (scan.found, scan.skipped, scan.excluded) == (100, 0, 25)
    assert {row["id"] for row in scan.excluded_rows} == set(source.ids[3::4])
    assert source.scan.excluded == 0 and not source.scan.excluded_rows


REPEATS = [
    (["a"] * 3, [9]),
    (["a", "a", "a", "b"], [9]),
    (["a", "b", "b", "b", "b", "b"], [5, 30]),
    (["a", "a", "b", "b", "c", "c"], [9]),
]


@pytest.mark.parametrize(
    "text",
    [
        "holdout(test=.3, validation=.2)",
        "kfold(folds=2, fold=0, validation=.2)",
        "kfold(folds=2, fold=1, validation=.2)",
        "kfold(folds=5, fold=0, validation=.2)",
    ],
)
@pytest.mark.parametrize(("repeated", "others"), REPEATS)
def test_repeated_rows_leave_each_class_something_to_train_on(text, repeated, others):
    rows = [(content, 0) for content in repeated]
    rows += [(f"{label} {n}", label) for label, count in enumerate(others, 1) for n in range(count)]
    for seed in range(10):
        parts = splits.split(make(*zip(*rows, strict=True)), text, seed)
        assert set(parts["train"].labels.tolist()) == set(range(len(others) + 1))
        assert sum(map(len, parts.values())) == len(rows)
        values = {role: set(part.column.values) for role, part in parts.items()}
        assert sum(map(len, values.values())) == len({content for content, _ in rows})


def test_rows_that_are_asked_for_leave_each_class_something_to_train_on():
    rows = [("a", 0)] * 3 + [(f"b {n}", 1) for n in range(9)]
    for seed in range(10):
        source = fewer_rows.draw_roles(
            make(*zip(*rows, strict=True)), seed, num_train=4, num_validation=2, num_test=5
        )
        assert set(source.labels[source.roles == "train"].tolist()) == {0, 1}
        scan = source.scan
        assert scan.found == scan.used + scan.excluded == 12
        assert len(scan.excluded_rows) == scan.excluded == 12 - len(source)


def few(text, source=None, seed=0):
    source = source or numbered(60, 40, 5)
    parts = splits.split(source, text, seed)
    return {role: list(part.ids) for role, part in parts.items()}, parts


def test_few_shot_takes_so_many_rows_of_each_class_and_the_same_test_rows_in_each_draw():
    draws = [
        few(f"few_shot(labels_a_class=8, draws=3, draw={number}, test=.2)") for number in range(3)
    ]
    for ids, parts in draws:
        assert set(ids) == {"train", "test"}, "no label is spent on validation"
        assert np.bincount(parts["train"].labels).tolist() == [8, 8, 4], "all that a class has left"
        assert np.bincount(parts["test"].labels).tolist() == [12, 8, 1]
        assert ids["test"] == draws[0][0]["test"]
    trained = [set(ids["train"]) for ids, _ in draws]
    assert trained[0] != trained[1] != trained[2] and trained[0] != trained[2]
    assert few("few_shot(labels_a_class=8, draws=3, draw=1)")[0] == draws[1][0]
    assert few("few_shot(labels_a_class=8, draws=3, draw=1)", seed=1)[0] != draws[1][0]


def test_draws_of_few_rows_are_random():
    """Each of 32 training rows of a class is drawn about as often as any other."""
    counts = collections.Counter(
        row
        for number in range(40)
        for row in few(f"few_shot(labels_a_class=8, draws=40, draw={number})", numbered(40, 40))[0][
            "train"
        ]
    )
    assert len(counts) == 64 and sum(counts.values()) == 40 * 16
    assert max(counts.values()) < 10 + 5 * np.sqrt(10 * 0.75) and min(counts.values()) >= 1


def test_few_shot_counts_a_repeated_content_once_and_leaves_given_validation_out():
    texts = ["same"] * 30 + [f"a{n}" for n in range(10)] + [f"b{n}" for n in range(40)]
    source = make(texts, [0] * 40 + [1] * 40)
    ids, parts = few("few_shot(labels_a_class=6, test=.2)", source)
    assert np.bincount(parts["train"].labels).tolist() == [6, 6]
    assert len(set(parts["train"].column.values)) == 12
    roles = ["train"] * 30 + ["validation"] * 10 + ["test"] * 10
    given = make([f"t{n}" for n in range(50)], [0, 1] * 25, roles)
    ids, _ = few("few_shot(labels_a_class=4)", given)
    assert sorted(ids["test"]) == sorted(f"t{n}" for n in range(40, 50)) and len(ids["train"]) == 8
    assert "validation" not in ids


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("few_shot(labels_a_class=0)", "0 labels a class"),
        ("few_shot(draw=10)", "no draw 10 of 10"),
        ("few_shot(draws=1, draw=-1)", "at least 2"),
        ("few_shot(test=1.5)", "not shares"),
    ],
)
def test_few_shot_refuses_numbers_out_of_their_range(text, said):
    with pytest.raises(FlagError, match=said):
        splits.split(numbered(30, 30), text, 0)


def test_few_shot_refuses_numbers_as_labels():
    source = numbered(30, 30)
    source = dataclasses.replace(
        source, label_fields=one_label_field(np.arange(60, dtype=np.float32), ())
    )
    with pytest.raises(FlagError, match="rows of classes"):
        splits.split(source, "few_shot", 0)

import numpy as np
import pytest

from tests.contracts.cases import csv
from tltf.config import call_strings
from tltf.config.catalogs import SOURCES
from tltf.data import kept_rows, loader
from tltf.data.kept_rows import KeptRows
from tltf.data.sources import steps
from tltf.errors import FlagError, ModelError

DIGITS = "digits(num_train=100, num_validation=40, num_test=60)"


def digits(**changes):
    arguments = {"data": DIGITS, "classes": 4, "order": 5, **changes}
    return loader.load(call_strings.render("class_steps", arguments))


def rows(source, role):
    return {str(name) for name in np.asarray(source.ids)[np.asarray(source.roles) == role]}


def test_a_step_may_learn_from_its_own_rows_alone_and_is_judged_on_all_so_far():
    every = digits()
    numbers, roles = steps.numbers_of(every), np.asarray(every.roles)
    for step, num_classes in ((1, 4), (2, 8), (3, 10)):
        own = digits(step=step)
        for role in ("train", "validation"):
            wanted = np.asarray(every.ids)[(numbers == step) & (roles == role)]
            assert rows(own, role) == set(wanted.tolist())
        assert rows(own, "test") == set(
            np.asarray(every.ids)[(numbers <= step) & (roles == "test")].tolist()
        )
        assert own.class_names == every.class_names[:num_classes]
        assert own.known_classes == every.class_names[: max(0, num_classes - 4 if step < 3 else 8)]
        scan = own.scan
        assert scan.found == scan.used + scan.skipped + scan.excluded and scan.used == len(own)


def test_rows_of_the_memory_are_read_again_and_no_others(tmp_path):
    first = digits(step=1)
    kept = sorted(rows(first, "train"))[:3]
    tested = sorted(rows(first, "test"))[:1]  # a memory that was tampered with
    KeptRows((*kept, *tested), ("x",) * 4).write(tmp_path / "1.json")
    second = digits(step=2, memory=3, kept=str(tmp_path / "1.json"))
    past = {name for name in rows(second, "train") if name.startswith("step_1/")}
    assert past == set(kept)
    assert not {name for name in rows(second, "validation") if name.startswith("step_1/")}
    alone = digits(
        step=2, memory=3, kept=str(tmp_path / "1.json"), choice="balanced", rows="memory"
    )
    assert rows(alone, "train") == set(kept) and not rows(alone, "validation")


def test_with_all_rows_a_step_has_those_of_the_steps_before_it_too():
    every, last = digits(), digits(step=3, rows="all")
    assert rows(last, "train") == rows(every, "train") and not last.known_classes
    assert len(rows(digits(step=2, rows="all"), "train")) < len(rows(every, "train"))


def test_the_seed_of_the_order_decides_which_classes_come_first():
    assert digits(order=0).class_names == tuple("0123456789")
    orders = {digits(order=order).class_names for order in range(1, 6)}
    assert len(orders) == 5 and digits(order=3).class_names == digits(order=3).class_names


def test_data_sets_in_turn_keep_their_classes_and_may_bring_others(tmp_path):
    (tmp_path / "more").mkdir()
    calls = [csv(tmp_path), csv(tmp_path / "more", "again: ").replace("all.csv", "all.csv")]
    path = tmp_path / "more" / "all.csv"
    path.write_text(path.read_text().replace(",good", ",odd"))
    both = loader.load(call_strings.render("sequence", {"steps": tuple(calls), "step": 2}))
    assert both.class_names == ("bad", "good", "odd") and both.known_classes == ("bad", "good")
    assert {name[:7] for name in rows(both, "train")} == {"step_2/"}


def test_a_row_whose_content_is_tested_in_any_step_is_not_learned(tmp_path):
    (tmp_path / "more").mkdir()
    calls = (csv(tmp_path), csv(tmp_path / "more"))
    path = tmp_path / "more" / "all.csv"
    path.write_text(path.read_text() + "another,good\nand another,bad\nmore,bad\nless,good\n")
    every = loader.load(call_strings.render("sequence", {"steps": calls}))
    tested = every.content_hashes()[np.asarray(every.roles) == "test"]
    assert not np.isin(every.content_hashes()[np.asarray(every.roles) != "test"], tested).any()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"step": 4}, "no step 4 of 3"),
        ({"classes": 10}, "not two steps"),
        ({"rows": "some"}, "no rows 'some'"),
        ({"memory": -1}, "from 0"),
        ({"choice": "best"}, "no choice 'best'"),
        ({"rows": "memory", "memory": 5, "choice": "herding"}, "needs no trained network"),
        ({"data": "tests.contracts.cases:picture"}, "not part of tltf"),
    ],
)
def test_arguments_out_of_their_range_are_refused(changes, said):
    with pytest.raises((FlagError, ModelError), match=said):
        digits(**changes)


def test_labels_that_are_not_one_class_are_refused():
    text = call_strings.render("class_steps", {"data": DIGITS})
    with pytest.raises(FlagError, match="one class each"):
        loader.load(text, target="number")
    with pytest.raises(FlagError, match="two steps or more"):
        loader.load("sequence(steps=[digits])")


def test_every_choice_of_the_catalog_is_known():
    assert SOURCES["sequence"].args["choice"] in kept_rows.CHOICES
    assert SOURCES["class_steps"].args["rows"] in steps.ROWS

"""Every row of every catalog has a case, and tells the truth about its target."""

import inspect

import keras
import pytest

from tests.contracts.cases import CASES, LARGE
from tltf.backbones.applications import FAMILIES
from tltf.config import call_strings
from tltf.config.catalogs import BACKBONES, CATALOGS, HEADS, METHODS
from tltf.config.defaults import MODALITIES, usual_rate

ROWS = [(catalog, name) for catalog, rows in CATALOGS.items() for name in rows]
OF_THE_CALLER = {"formats": {"version", "verify"}}
"""Arguments with a default that come from other flags than the call string."""


def test_every_row_has_a_case_and_every_case_a_row():
    there = {(catalog, name) for catalog, cases in CASES.items() for name in cases}
    assert set(ROWS) - there == set(), "rows without a case in tests/contracts/cases.py"
    assert there - set(ROWS) == set(), "cases of rows that are gone"


@pytest.mark.parametrize(
    ("catalog", "name"),
    [(catalog, name) for catalog, name in ROWS if catalog != "sources"],
)
def test_cases_name_their_row_and_pass_its_checks(catalog, name):
    for text in CASES[catalog][name]:
        assert call_strings.pick(CATALOGS[catalog], text).name == name


@pytest.mark.parametrize(("catalog", "name"), ROWS)
def test_arguments_are_those_of_the_real_signature(catalog, name):
    row = CATALOGS[catalog][name]
    parameters = inspect.signature(call_strings.load_target(row.target, row)).parameters
    for key, value in row.args.items():
        assert key in parameters, f"{name} takes no {key}"
        given = inspect.Parameter.empty if isinstance(value, type) else value
        assert parameters[key].default == given, f"default of {name}({key}=...)"
    with_default = {k for k, p in parameters.items() if p.default is not inspect.Parameter.empty}
    assert with_default - OF_THE_CALLER.get(catalog, set()) <= set(row.args), (
        "arguments that the catalog does not tell"
    )


@pytest.mark.parametrize(("catalog", "name"), ROWS)
def test_rows_are_plain_data_with_a_summary(catalog, name):
    row = CATALOGS[catalog][name]
    assert name.isidentifier() and name == name.lower()
    assert 10 < len(row.summary) < 120 and "\n" not in row.summary
    plain = (bool, int, float, str, tuple, type, type(None))
    assert all(isinstance(value, plain) for value in row.args.values())


@pytest.mark.parametrize("name", BACKBONES)
def test_rows_of_backbones_fit_their_kind(name):
    row = BACKBONES[name]
    assert row.modality in ("image", "text") and row.paper
    assert bool(row.text_length) == (row.modality == "text")
    assert bool(row.image_size_px) == bool(row.channels) == (row.modality == "image")
    assert row.min_image_size_px <= row.image_size_px
    assert row.licence or not row.weights, "weights without a licence"


@pytest.mark.parametrize("name", HEADS)
def test_rows_of_heads_tell_the_label_kind_of_what_they_make(name):
    for text in CASES["heads"][name]:
        call = call_strings.pick(HEADS, text)
        assert call.row.kind == call.build().target


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("modality", MODALITIES)
def test_methods_name_defaults_that_are_there(name, modality):
    assert usual_rate(CASES["methods"][name][0], modality, is_pretrained=True) > 0


@pytest.mark.parametrize("name", BACKBONES)
def test_families_of_backbones_are_known(name):
    row = BACKBONES[name]
    assert bool(row.family) == bool(row.keras_class)
    assert bool(row.family) or not row.blocks
    if row.family:
        family = FAMILIES[row.family](row)
        assert family.stages and hasattr(keras.applications, family.cls)


def test_every_family_has_a_case_in_the_default_suite():
    default = {row.target for name, row in BACKBONES.items() if name not in LARGE}
    others = ("minilm:minilm_l6", "packaged:hed_vgg16", "packaged:densenet121_packaged")
    others += ("minilm:minilm_l3", "word_vectors:minilm_static")
    # with small files in the packages' place these are in tests/backbones/word_vectors_runs_test.py
    # and tests/backbones/smollm_test.py
    others += ("word_vectors:glove", "smollm:smollm2_135m")
    packaged = {f"tltf.backbones.{name}" for name in others}
    assert {row.target for row in BACKBONES.values()} - default <= packaged

import sys

import pytest

from tests.faults.making import covers
from tltf.config import call_strings
from tltf.config.catalogs import CATALOGS, METHODS, SPLITS, Row
from tltf.errors import FlagError

CATALOG = {
    "plain": Row("tests.config.call_strings_test:build", {}, "no arguments"),
    "rich": Row(
        "tests.config.call_strings_test:build",
        {"path": str, "rate": 0.5, "count": 2, "is_on": False, "sizes": (), "any": None},
        "one argument of each type",
    ),
    "absent": Row("no_such_package_of_ours.x:y", {}, "needs an extra", extra="cv"),
}


def build(*given, **arguments):
    return given, arguments


def kwargs(text):
    return call_strings.pick(CATALOG, text, "method").kwargs


@pytest.mark.parametrize(
    ("text", "name", "arguments"),
    [
        ("full", "full", {}),
        ("full()", "full", {}),
        (" full ( a = 1 , b=two words ) ", "full", {"a": "1", "b": "two words"}),
        (
            "f(a='x, y', b=[1, 2], c=g(d=3, e=4))",
            "f",
            {"a": "'x, y'", "b": "[1, 2]", "c": "g(d=3, e=4)"},
        ),
        ("csv(path=/data/it's here.csv)", "csv", {"path": "/data/it's here.csv"}),
    ],
)
def test_parse(text, name, arguments):
    assert call_strings.parse(text) == (name, arguments)


@pytest.mark.parametrize(
    "text", ["f(a=1", "(a=1)", "", "f(1)", "f(a=1, a=2)", "f(a=[1)", "f(a='x)", "f(a-b=1)"]
)
def test_parse_refuses(text):
    with pytest.raises(FlagError) as caught:
        call_strings.parse(text, "data")
    assert caught.value.flag == "data"


def test_defaults_are_filled_in_and_values_typed():
    found = kwargs("rich(path=1.csv, rate=1, is_on=true, sizes=[256, 64], any=none)")
    assert found == {
        "path": "1.csv",
        "rate": 1.0,
        "count": 2,
        "is_on": True,
        "sizes": (256, 64),
        "any": None,
    }
    assert type(found["rate"]) is float


def test_a_single_number_is_a_list_of_one():
    assert kwargs("rich(path=x, sizes=256)")["sizes"] == (256,)


def test_quoted_strings_lose_their_quotes_and_others_keep_their_look():
    assert kwargs("rich(path='a, b')")["path"] == "a, b"
    assert kwargs("rich(path=007)")["path"] == "007"


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("plian", r"no method 'plian' \(received plian; choices: plain.*fix: --method=plain$"),
        ("plain(a=1)", "has no argument 'a'"),
        ("rich(path=x, raet=1)", "choices: rate"),
        ("rich", r"needs path.*rich\(path=\.\.\.\)"),
        ("rich(path=x, count=1.5)", "takes a int|takes a whole"),
        ("rich(path=x, is_on=1)", "bool"),
    ],
)
def test_pick_refuses(text, match):
    with pytest.raises(FlagError, match=match):
        call_strings.pick(CATALOG, text, "method")


def test_the_fix_keeps_the_arguments():
    with pytest.raises(FlagError) as caught:
        call_strings.pick(CATALOG, "rihc(path=x)", "method")
    assert caught.value.fix == "--method=rich(path=x)"


@pytest.mark.parametrize(
    "values",
    [
        {"path": "a b, c", "rate": 0.25, "sizes": (1, 2), "is_on": True, "any": None},
        {"path": "it's", "any": "x|y", "count": -3},
        {"path": "", "any": (0.5, "a")},
        {"path": "true", "any": "none"},
    ],
)
def test_a_call_reads_back_as_it_was_written(values):
    call = call_strings.Call("rich", "", {**kwargs("rich(path=x)"), **values})
    assert kwargs(str(call)) == call.kwargs


def test_build_gives_positional_then_named_arguments():
    call = call_strings.pick(CATALOG, "rich(path=x)")
    given, arguments = call.build(1, also=2)
    assert given == (1,) and arguments == {**call.kwargs, "also": 2}


def test_code_from_outside():
    call = call_strings.pick(CATALOG, "tests.config.call_strings_test:build(a=1, b=text)")
    assert call.build() == ((), {"a": 1, "b": "text"})
    with pytest.raises(FlagError, match="has no 'nothing'"):
        call_strings.pick(CATALOG, "tests.config.call_strings_test:nothing").build()
    with pytest.raises(FlagError, match="no_such_package_of_ours"):
        call_strings.pick(CATALOG, "no_such_package_of_ours.x:y").build()


def test_a_missing_extra_is_named():
    with pytest.raises(FlagError, match=r"extra cv: pip install -e '\.\[cv\]' in the clone"):
        call_strings.pick(CATALOG, "absent").build()


def test_picking_imports_nothing():
    sys.modules.pop("wave", None)
    call_strings.pick({"wave": Row("wave:open", {}, "")}, "wave")
    assert "wave" not in sys.modules


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("rich(path=b.csv, rate=.50)", "rich(path=/a/b.csv, rate=.50)"),
        ("rich( rate = .50,path='b, c.csv')", "rich(rate=.50, path='/a/b, c.csv')"),
        ("rich(rate = .50,path='/b.csv')", "rich(rate = .50,path='/b.csv')"),
        ("rich(rate=.50)", "rich(rate=.50)"),
        ("rich(files=[b, '/c, d', 'e, f'])", "rich(files=[/a/b, '/c, d', '/a/e, f'])"),
        ("rich(files=[/b,  /c], rate=.50)", "rich(files=[/b,  /c], rate=.50)"),
        ("rich(files=b)", "rich(files=[/a/b])"),
        ("plain", "plain"),
        ("other(path=b)", "other(path=b)"),
        ("both(of=rich(path=b.csv, rate=1))", "both(of='rich(path=/a/b.csv, rate=1)')"),
        ("both(of=rich(path=/b.csv, rate=1))", "both(of=rich(path=/b.csv, rate=1))"),
        (
            "both(each=[rich(path=b), other(path=b), both(of='rich(path=c)')])",
            "both(each=['rich(path=/a/b)', 'other(path=b)', \"both(of='rich(path=/a/c)')\"])",
        ),
    ],
)
def test_change_paths_touches_nothing_else(text, expected):
    catalog = {
        "rich": Row("", {"path": "", "rate": 0.5, "files": ()}, "", paths=("path", "files")),
        "both": Row("", {"of": "", "each": ()}, "", calls=("of", "each")),
        "plain": Row("", {}, ""),
    }

    def change(value):
        return value if value.startswith("/") else f"/a/{value}"

    assert call_strings.change_paths(text, catalog, change) == expected


FLAGS_OF_LISTS = {
    "data": "sources",
    "split": "splits",
    "augment": "augments",
    "backbone": "backbones",
    "head": "heads",
    "method": "methods",
    "explain": "explainers",
    "explainer": "explainers",
    "format": "formats",
    "track": "trackers",
    "alarm": "alarms",
    "query": "queries",
    "abstain": "abstentions",
}


@pytest.mark.parametrize("flag", FLAGS_OF_LISTS)
def test_a_name_like_no_other_points_to_a_list_that_is_there(flag):
    assert set(FLAGS_OF_LISTS.values()) == set(CATALOGS)
    with pytest.raises(FlagError, match=f"fix: --list={FLAGS_OF_LISTS[flag]}$"):
        call_strings.pick(CATALOGS[FLAGS_OF_LISTS[flag]], "0123456789", flag)


@covers(221)
@pytest.mark.parametrize(
    ("given", "fix"),
    [
        (
            "csv(path=a.csv, text=name, full (English), label=y)",
            "quote the value: text='name, full (English)'",
        ),
        ("csv(path=my, data.csv, text=t, label=y)", "quote the value: path='my, data.csv'"),
        ("image_folder(path=cats, dogs)", "quote the value: path='cats, dogs'"),
        (
            "csv(path=a.csv, text=it's, so, label=a, b)",
            "quote the value: text=\"it's, so\", label='a, b'",
        ),
    ],
)
def test_a_torn_value_is_told_to_be_quoted_and_then_reads(given, fix):
    with pytest.raises(FlagError) as caught:
        call_strings.parse(given, "data")
    assert caught.value.fix == fix
    for pair in call_strings.split_outside(fix.removeprefix("quote the value: "), ","):
        key, _, value = pair.strip().partition("=")
        _, read = call_strings.parse(f"csv({pair})")
        assert read == {key: value}


@covers(221)
@pytest.mark.parametrize(
    "value", ["full (English", "a = b", "a, b", "it's", "(1, 2)", "x=y, z", "[a"]
)
def test_a_name_of_any_signs_works_when_it_is_quoted(value):
    call = call_strings.pick(CATALOG, f"rich(path={value!r})", "method")
    assert call.kwargs["path"] == value


def test_an_open_bracket_in_a_name_is_told_to_be_quoted():
    with pytest.raises(FlagError, match=r"not closed.*quote the value"):
        call_strings.parse("csv(path=a.csv, text=full (English, label=y)")


@pytest.mark.parametrize(
    ("catalog", "text", "fix"),
    [
        (SPLITS, "kfold(3)", "--split='kfold(folds=3)'"),
        (SPLITS, "kfold(3, 1)", None),
        (METHODS, "lora(8)", "--split='lora(rank=8)'"),
    ],
)
def test_a_value_without_a_name_is_that_of_the_first_argument(catalog, text, fix):
    with pytest.raises(FlagError, match="is not key=value") as caught:
        call_strings.pick(catalog, text, "split")
    assert caught.value.fix == fix or fix is None

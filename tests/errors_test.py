import pytest

from tltf import errors


def test_line_names_code_place_flag_and_fix():
    error = errors.DataError("row 3 is ragged", flag="data", place="a.csv:3", fix="quote it")
    expected = "tltf: error[3] a.csv:3 --data: row 3 is ragged; fix: quote it"
    assert str(error) == expected


def test_line_without_place_flag_and_fix():
    assert str(errors.NumericError("the loss is nan")) == "tltf: error[6] the loss is nan"


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        ("FlagError", 2),
        ("DataError", 3),
        ("ModelError", 4),
        ("ShapeError", 4),
        ("StorageError", 5),
        ("NumericError", 6),
    ],
)
def test_exit_codes(kind, code):
    cls = getattr(errors, kind)
    assert cls.code == code and issubclass(cls, errors.TltfError)


def test_names_with_line_breaks_and_lone_bytes_stay_on_one_line():
    name = b"a\nb\r\xff.jpg".decode("utf-8", "surrogateescape")
    line = str(errors.DataError("cannot be read", place=name))
    assert len(line.splitlines()) == 1 and line.encode("utf-8")


def test_of_equally_near_choices_the_first_is_suggested():
    names = ["lite0", "lite1", "lite2"]
    assert errors.nearest("lite", names) == names
    assert errors.nearest("lite", names[::-1], limit=1) == ["lite2"]


def test_nearest_first_whatever_the_case():
    assert errors.nearest("ReSnet5", ["vgg16", "resnet101", "resnet50"])[0] == "resnet50"
    assert errors.choices_text("fulll", ["linear_probe", "full"]) == "full, linear_probe"


def test_long_choices_are_cut():
    text = errors.choices_text("x", [f"name_{i}" for i in range(30)])
    assert text.count(",") == 12 and text.endswith(", ...")

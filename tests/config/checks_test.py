import pytest

from tltf.config import checks
from tltf.config.options import make
from tltf.errors import FlagError

GOOD = {"data": "mnist_5k", "backbone": "efficientnet_lite0", "output": "run"}


def check(**values):
    return checks.resolve(make(**{**GOOD, **values}))


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"output": "", "dry_run": True},
        {"backbone": "hub:bert_base_en_uncased"},
        {"backbone": "small_cnn(filters=[8, 16])", "image_size_px": 28},
        {"method": "partial(last_groups=3)", "split": "kfold(folds=3, fold=2)"},
        {"head": "classify(hidden=[256], dropout=.1)"},
        {"data": "some_package.of_theirs:source(path=x)"},
    ],
)
def test_accepts(values):
    check(**values)


def test_accepts_a_folder_as_backbone(tmp_path):
    check(backbone=str(tmp_path))


@pytest.mark.parametrize(
    ("values", "flag", "match"),
    [
        ({"data": ""}, "data", "must be given"),
        ({"backbone": ""}, "backbone", "must be given"),
        ({"output": ""}, "output", "must be given"),
        ({"data": "mnits_5k"}, "data", "mnist_5k"),
        ({"data": "csv(file=a.csv)"}, "data", "no argument 'file'"),
        ({"split": "holdout(tests=.2)"}, "split", "test"),
        ({"head": "clasify"}, "head", "classify"),
        ({"method": "linear_prob"}, "method", "linear_probe"),
        ({"method": "partial(last_groups=two)"}, "method", "last_groups"),
        ({"augment": "flipp|flip"}, "augment", "flip"),
        ({"backbone": "resnet5"}, "backbone", "resnet50"),
        ({"backbone": "/no/such/folder"}, "backbone", "no folder"),
        ({"backbone": "inception_v3", "image_size_px": 64}, "image_size_px", "75 pixels"),
        ({"clipnorm": 1.0, "global_clipnorm": 1.0}, "clipnorm", "exclude each other"),
    ],
)
def test_refuses(values, flag, match):
    with pytest.raises(FlagError, match=match) as caught:
        check(**values)
    assert caught.value.flag == flag


@pytest.mark.parametrize(
    ("data", "wanted"),
    [
        ("digits", "efficientnet_lite0"),
        ("vader", "minilm_l6"),
        ("csv(path=a.csv, text=review)", "minilm_l6"),
        ("csv(path=a.csv, image=photo)", "efficientnet_lite0"),
    ],
)
def test_auto_takes_the_backbone_that_fits_the_data(data, wanted):
    options = make(data=data, output="run")
    assert checks.resolve(options).backbone.name == wanted


def test_auto_says_where_the_data_does_not_tell():
    with pytest.raises(FlagError, match="images or texts") as caught:
        checks.resolve(make(data="tfds(name=cifar10)", output="run"))
    assert "--backbone=minilm_l6" in caught.value.fix


@pytest.mark.parametrize(
    ("text", "wanted"),
    [("auto", None), ("none", ()), ("", ()), ("logistic | scratch", ("logistic", "scratch"))],
)
def test_baselines(text, wanted):
    assert checks.pick_baselines(text) == wanted


@pytest.mark.parametrize(
    ("text", "fix"), [("all", "'logistic|scratch'"), ("logstic", "logistic"), ("x", "auto")]
)
def test_a_baseline_that_is_not_there_has_a_fix(text, fix):
    with pytest.raises(FlagError, match="no baseline") as caught:
        checks.pick_baselines(text)
    assert caught.value.fix == f"--baseline={fix}"

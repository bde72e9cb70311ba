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

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds

from tltf.data import loader, splits
from tltf.data.images import preprocessing
from tltf.errors import FlagError

PIXELS = np.random.default_rng(0).integers(0, 255, (12, 8, 8, 3), np.uint8)


class TinyPictures(tfds.core.GeneratorBasedBuilder):
    """Noise with labels."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        features = tfds.features.FeaturesDict(
            {
                "image": tfds.features.Image(shape=(8, 8, 3), encoding_format="png"),
                "note": tfds.features.Text(),
                "label": tfds.features.ClassLabel(names=["zebra", "ant"]),
            }
        )
        return tfds.core.DatasetInfo(
            builder=self, features=features, supervised_keys=("image", "label")
        )

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples(0, 8), "test": self._generate_examples(8, 12)}

    def _generate_examples(self, first, end):
        for row in range(first, end):
            yield row, {"image": PIXELS[row], "note": f"row {row}", "label": row % 2}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tfds")
    tfds.builder("tiny_pictures", data_dir=str(folder)).download_and_prepare()
    return folder


def test_images_with_the_data_sets_own_names_and_splits(folder):
    source = loader.load(f"tfds(name=tiny_pictures, data_dir={folder})")
    parts = splits.split(source, "holdout(validation=.25)", 0)
    assert {role: len(part) for role, part in parts.items()} == {
        "train": 6,
        "validation": 2,
        "test": 4,
    }
    assert source.class_names == ("zebra", "ant")  # the data set's order, not the alphabet's
    decode = preprocessing.ImagePreprocessing(8).decode
    decoded = {decode(tf.constant(item)).numpy().tobytes() for item in source.column.values}
    assert decoded == {item.tobytes() for item in PIXELS}


def test_texts_and_split_specifications(folder):
    call = f"tfds(name=tiny_pictures, train='train[:50%]', test='test+train[50%:]', text=note, data_dir={folder})"
    source = loader.load(call)
    assert sorted(source.column.values) == sorted(f"row {row}" for row in range(12))
    assert (source.roles == "train").sum() == 4
    for text, label in zip(source.column.values, source.labels, strict=True):
        assert int(text.split()[1]) % 2 == label


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("name=tiny_picture", "no data set 'tiny_picture'"),
        ("name=tiny_pictures, test=tset", "no split 'tset'.*test=test"),
        ("name=tiny_pictures, image=img", "no column 'img'.*image"),
        ("name=tiny_pictures, label=lable", "no column 'lable'.*label=label"),
    ],
)
def test_faults(folder, more, message):
    with pytest.raises(FlagError, match=message):
        loader.load(f"tfds({more}, data_dir={folder})")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("glue/sst", r"glue has no config 'sst' \(configs: sst2, .*cola.*; fix: name=glue/sst2$"),
        (
            "glue/sst2:9.9.9",
            r"cannot build 'glue/sst2:9.9.9': .*only: 2\.0\.0.*; fix: name=glue/sst2$",
        ),
        ("mnist/x", r"mnist has no config 'x' \(configs: none\); fix: name=mnist$"),
    ],
)
def test_configs_and_versions_that_are_not_there(tmp_path, name, message):
    with pytest.raises(FlagError, match=message):
        loader.load(f"tfds(name={name}, data_dir={tmp_path})")

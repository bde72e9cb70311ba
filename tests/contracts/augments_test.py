import numpy as np
import pytest

from tests.backbones.hub_test import WORDS
from tests.contracts.cases import AUGMENTS as CASES
from tests.contracts.cases import TEXTS
from tests.contracts.given import parameters
from tltf.config.catalogs import AUGMENTS
from tltf.data import pipeline
from tltf.data.images import preprocessing
from tltf.data.source import Column, ScanCounts, Source, one_label_field
from tltf.data.sources.samples import array_source
from tltf.data.texts import copies as texts_copies
from tltf.data.texts.preprocessing import TextPreprocessing
from tltf.errors import FlagError


def of(modality, makes_rows=False):
    """The cases of the rows of a kind."""
    rows = {
        name
        for name, row in AUGMENTS.items()
        if (row.modality, row.makes_rows) == (modality, makes_rows)
    }
    chosen = {text for name in rows for text in CASES[name]}
    return [case for case in parameters("augments") if case.values[0] in chosen]


SIZE_PX, COUNT = 16, 8


def batches(text, seed=0, training=True, channels=3):
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (COUNT, SIZE_PX, SIZE_PX, channels)).astype("uint8")
    source = array_source("made", pixels, np.arange(COUNT) % 3)
    try:
        dataset = pipeline.build(
            source,
            preprocessing.ImagePreprocessing(SIZE_PX, channels),
            batch_size=4,
            augment=text,
            training=training,
            seed=seed,
        )
        return [[part.copy() for part in flat(batch)] for batch in dataset.as_numpy_iterator()]
    except FlagError as error:
        if "not installed" in str(error):
            pytest.skip(str(error))
        raise


def flat(batch):
    inputs, targets, weights = batch
    return inputs["image"], targets["label"], weights["label"]


def differ(first, second):
    return any(not np.array_equal(a[0], b[0]) for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize("text", of("image"))
def test_an_augmentation(text):
    plain, changed = batches(""), batches(text)
    assert differ(plain, changed), "it changes training images"
    assert not differ(batches("", training=False), batches(text, training=False))
    if not text.startswith("keras_cv"):  # its layers draw from a state of their own
        assert not differ(changed, batches(text)), "the same seed gives the same images"
    assert differ(changed, batches(text, seed=1)), "another seed gives others"
    for image, target, weight in changed:
        assert image.shape == (4, SIZE_PX, SIZE_PX, 3) and image.dtype == np.float32
        assert image.min() >= 0 and image.max() <= 255 and np.isfinite(image).all()
        assert weight.shape == (4,)
        if target.ndim == 2:
            np.testing.assert_allclose(target.sum(axis=1), 1, atol=1e-5)
        else:
            assert target.dtype == np.int32


@pytest.mark.parametrize("text", of("image"))
def test_grey_images_stay_grey(text):
    assert all(image.shape[-1] == 1 for image, _, _ in batches(text, channels=1))


def test_several_in_a_row():
    assert differ(batches("flip|rotation|mixup(alpha=.2)"), batches("flip"))


def texts_source():
    texts = [text for text, _ in TEXTS]
    labels = np.array([label == "good" for _, label in TEXTS], np.int32)
    return Source(
        "made",
        {"text": Column("text", texts)},
        one_label_field(labels, ("bad", "good")),
        [str(n) for n in range(len(texts))],
        None,
        ScanCounts(len(texts), len(texts)),
    )


def token_ids(text, seed=0, training=True):
    import keras_hub

    tokenizer = keras_hub.models.BertTokenizer(vocabulary=WORDS, lowercase=True)
    prepared = TextPreprocessing(tokenizer, 12)
    dataset = pipeline.build(
        texts_source(), prepared, batch_size=4, augment=text, training=training, seed=seed
    )
    return [(x["token_ids"].numpy(), x["padding_mask"].numpy()) for x, _, _ in dataset], tokenizer


@pytest.mark.parametrize("text", of("text"))
def test_an_augmentation_of_tokens(text):
    (plain, tokenizer), (changed, _) = token_ids(""), token_ids(text)
    assert differ(plain, changed)
    assert not differ(changed, token_ids(text)[0]) and differ(changed, token_ids(text, seed=1)[0])
    assert not differ(token_ids("", training=False)[0], token_ids(text, training=False)[0])
    special = {tokenizer.pad_token_id, tokenizer.cls_token_id, tokenizer.sep_token_id}
    for (before, mask), (after, same) in zip(plain, changed, strict=True):
        np.testing.assert_array_equal(mask, same)
        moved = before != after
        assert not special & set(before[moved].tolist())
        assert set(after[moved].tolist()) <= {tokenizer.mask_token_id}


@pytest.mark.parametrize("text", of("text", makes_rows=True))
def test_an_augmentation_that_makes_rows(text):
    source = texts_source()
    found = texts_copies.add_copies(source, text, seed=0)
    copies = len(found) // len(source) - 1
    assert copies >= 1 and len(found) == (1 + copies) * len(source)
    assert found.column.values[: len(source)] == source.column.values
    np.testing.assert_array_equal(found.labels, np.tile(source.labels, 1 + copies))
    assert len(set(found.ids)) == len(found), "every row has a name of its own"
    assert any(
        old != new
        for old, new in zip(
            source.column.values * copies, found.column.values[len(source) :], strict=True
        )
    )
    assert all(value.strip() for value in found.column.values)
    again = texts_copies.add_copies(source, text, seed=0)
    assert again.column.values == found.column.values
    assert len(found.content_hashes()) == len(found)


def test_augmentations_are_of_their_modality():
    from tltf.data import augment

    with pytest.raises(FlagError, match="eda takes texts, the data has images"):
        augment.require_modality("flip|eda", "image")
    assert [call.text for call in augment.pick_batch_changes("eda|token_dropout")] == [
        "token_dropout"
    ]

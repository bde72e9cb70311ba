"""A run as the backbone of the next: copied by name and shape, everything accounted for."""

import types

import numpy as np
import pytest

from tests import tiny
from tltf.backbones import builder
from tltf.errors import FlagError
from tltf.graphs import functional
from tltf.models import saving

TEXTS = ["the film was good", "the film was bad", "good actors, bad film"] * 3


def _run(folder, backbone):
    """A run folder that holds a core on `backbone` with a head of three classes."""
    core = tiny.core(backbone)
    preprocessing = types.SimpleNamespace(to_config=dict)
    trained = types.SimpleNamespace(
        adapter=None,
        core=core,
        preprocessing=preprocessing,
        class_names=("a", "b", "c"),
        options=None,
    )
    saving.save(trained, folder)
    return folder


def _values(backbone):
    return {name: v.numpy() for name, v in functional.named_weights(backbone.layers).items()}


def test_a_run_is_continued_with_its_own_network(tmp_path):
    source = builder.build("small_cnn(filters=[4, 8])")
    target = builder.build(str(_run(tmp_path / "run", source)))
    assert target.pretrained and target.image_size_px == 28
    assert target.name == str(tmp_path / "run")
    for name, values in _values(source).items():
        np.testing.assert_array_equal(_values(target)[name], values)
    done = {(name, what) for name, _, what in target.transfer}
    assert {("conv_1/kernel", "copied"), ("conv_2/bias", "copied")} <= done
    assert [what for name, what in done if "conv" not in name] == ["skipped"] * 2
    assert target.blueprint["text"] == "small_cnn(filters=[4, 8])"


def test_another_size_in_the_next_task(tmp_path):
    source = builder.build("small_cnn(filters=[4])")
    target = builder.build(str(_run(tmp_path / "run", source)), image_size_px=40)
    assert target.taps["stage_1"].shape == (None, 19, 19, 4)
    np.testing.assert_array_equal(
        _values(target)["conv_1/kernel"], _values(source)["conv_1/kernel"]
    )


def test_without_its_weights_a_run_gives_its_architecture(tmp_path):
    source = builder.build("small_cnn(filters=[4])")
    target = builder.build(str(_run(tmp_path / "run", source)), weights="none")
    assert not target.pretrained and target.transfer == ()
    assert (_values(target)["conv_1/kernel"] != _values(source)["conv_1/kernel"]).any()


def test_another_network_takes_what_fits(tmp_path):
    source = builder.build("small_cnn(filters=[4])")
    run = _run(tmp_path / "run", source)
    target = builder.build("small_cnn(filters=[4, 16])", weights=str(run))
    done = {name: what for name, _, what in target.transfer}
    assert done["conv_1/kernel"] == done["conv_1/bias"] == "copied"
    assert done["conv_2/kernel"] == "re-initialised"
    assert list(done.values()).count("skipped") == 2
    assert target.pretrained and target.blueprint["pretrained"]
    colour = builder.build("small_cnn(filters=[4], channels=3)", weights=str(run))
    assert dict(row[::2] for row in colour.transfer)["conv_1/kernel"] == "re-initialised"


def test_nothing_in_common_is_not_called_pretrained(tmp_path):
    run = _run(tmp_path / "run", builder.build("small_cnn(filters=[4])"))
    target = builder.build("small_cnn(filters=[5])", weights=str(run))
    assert not target.pretrained
    assert {row[2] for row in target.transfer} == {"re-initialised", "skipped"}


def test_a_text_run_brings_its_vocabulary(tmp_path):
    call = "small_lstm(units=4, embedding=4)"
    source = builder.build(call, texts=TEXTS)
    run = _run(tmp_path / "run", source)
    target = builder.build(str(run))
    assert target.tokenizer.get_vocabulary() == source.tokenizer.get_vocabulary()
    np.testing.assert_array_equal(
        _values(target)["token_embedding/embeddings"], _values(source)["token_embedding/embeddings"]
    )
    same = builder.build(call, weights=str(run), texts=TEXTS)
    assert dict(row[::2] for row in same.transfer)["token_embedding/embeddings"] == "copied"
    swapped = [text.replace("good", "fine") for text in TEXTS]
    other = builder.build(call, weights=str(run), texts=swapped)
    done = dict(row[::2] for row in other.transfer)
    assert done["token_embedding/embeddings"] == "re-initialised"
    assert done["layer_1_lstm/lstm_cell/kernel"] == "copied"


def test_a_folder_without_a_core_is_no_run(tmp_path):
    with pytest.raises(FlagError, match="nor a finished run of tltf"):
        builder.build(str(tmp_path))

"""KerasHub presets and local folders: saved here, read back, hostile ones refused."""

import json

import kagglehub
import keras
import keras_hub
import numpy as np
import pytest
import safetensors.numpy

from tltf.backbones import builder, downloads, hub, network, transformers
from tltf.errors import FlagError, ModelError, StorageError
from tltf.graphs import functional

M = keras_hub.models
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "a", "##b", "cafe"]
SIZES = {
    "vocabulary_size": 9,
    "num_layers": 2,
    "num_heads": 2,
    "hidden_dim": 8,
    "intermediate_dim": 16,
    "max_sequence_length": 32,
}
BYTES = {"<s>": 0, "<pad>": 1, "</s>": 2, "<unk>": 3, "<mask>": 4, "a": 5, "b": 6, "ab": 7}
RESNET = {
    "input_conv_filters": [64],
    "input_conv_kernel_sizes": [7],
    "stackwise_num_filters": [64, 64],
    "stackwise_num_blocks": [1, 1],
    "stackwise_num_strides": [1, 2],
    "block_type": "basic_block",
}


def _bytes_tokenizer():
    return M.RobertaTokenizer(vocabulary=BYTES, merges=["a b"])


TRANSFORMER = {
    "image_shape": (32, 32, 3),
    "patch_size": 8,
    "num_layers": 2,
    "num_heads": 2,
    "hidden_dim": 8,
    "intermediate_dim": 16,
}
TEXT_FAMILIES = {
    "bert": (M.BertBackbone, lambda: M.BertTokenizer(vocabulary=WORDS, lowercase=True)),
    "distil_bert": (
        M.DistilBertBackbone,
        lambda: M.DistilBertTokenizer(vocabulary=WORDS, lowercase=True),
    ),
    "roberta": (M.RobertaBackbone, _bytes_tokenizer),
}


def _inputs(backbone, length=6):
    tokens = np.array([[2, 5, 6, 3] + [0] * (length - 4)], "int32")
    mask = (np.arange(length) < 4)[None].astype("int32")
    made = {"token_ids": tokens, "padding_mask": mask, "segment_ids": np.zeros_like(tokens)}
    return {name: made[name] for name in backbone.inputs}


@pytest.mark.parametrize("family", TEXT_FAMILIES)
def test_text_folders_of_kerashub(family, tmp_path):
    cls, tokenizer = TEXT_FAMILIES[family]
    own = cls(**SIZES)
    own.save_to_preset(tmp_path)
    tokenizer().save_to_preset(tmp_path)
    backbone = builder.build(str(tmp_path))
    assert [group.name for group in backbone.groups][:3] == ["embeddings", "layer_1", "layer_2"]
    assert backbone.text_length == 32 and backbone.tokenizer is not None
    model = keras.Model(backbone.inputs, backbone.taps["sequence"])
    found = model(_inputs(backbone), training=False).numpy()
    expected = own(_inputs(backbone), training=False)
    expected = expected["sequence_output"] if isinstance(expected, dict) else expected
    np.testing.assert_allclose(found, expected, atol=1e-6)
    longer = model(_inputs(backbone, 12), training=False).numpy()
    np.testing.assert_allclose(longer[:, :4], found[:, :4], atol=1e-5)


@pytest.mark.parametrize("family", TEXT_FAMILIES)
def test_text_is_rebuilt_without_the_folder(family, tmp_path):
    cls, tokenizer = TEXT_FAMILIES[family]
    cls(**SIZES).save_to_preset(tmp_path / "preset")
    tokenizer().save_to_preset(tmp_path / "preset")
    backbone = builder.build(str(tmp_path / "preset"))
    builder.save_assets(backbone, tmp_path / "assets")
    (tmp_path / "preset").rename(tmp_path / "gone")
    again = builder.rebuild(json.loads(json.dumps(backbone.blueprint)), tmp_path / "assets")
    shapes = [
        {name: tuple(v.shape) for name, v in functional.named_weights(item.layers).items()}
        for item in (backbone, again)
    ]
    assert shapes[0] == shapes[1]
    assert list(map(int, again.tokenizer("ab a"))) == list(map(int, backbone.tokenizer("ab a")))


def test_image_folders_of_kerashub(tmp_path):
    own = M.ResNetBackbone(**RESNET)
    own.save_to_preset(tmp_path)
    converter = keras_hub.layers.ResNetImageConverter(scale=1 / 255, offset=[0.1, 0.2, 0.3])
    converter.save_to_preset(tmp_path)
    backbone = builder.build(str(tmp_path), image_size_px=40)
    pixels = np.random.default_rng(0).uniform(0, 255, (2, 40, 40, 3)).astype("float32")
    model = keras.Model(backbone.inputs, backbone.taps)
    found = model({"image": pixels}, training=False)
    assert list(found) == ["stage_1", "stage_2"]
    expected = own(converter(pixels), training=False)
    np.testing.assert_allclose(found["stage_2"], expected, rtol=1e-4, atol=1e-5)


def _hf_distilbert(folder, hidden=8):
    rng = np.random.default_rng(0)

    def dense(name, into, out):
        return {f"{name}.weight": (out, into), f"{name}.bias": (out,)}

    def norm(name):
        return {f"{name}.weight": (hidden,), f"{name}.bias": (hidden,)}

    shapes = {
        "distilbert.embeddings.word_embeddings.weight": (9, hidden),
        "distilbert.embeddings.position_embeddings.weight": (32, hidden),
        **norm("distilbert.embeddings.LayerNorm"),
    }
    for layer in range(2):
        at = f"distilbert.transformer.layer.{layer}"
        for part in ("q_lin", "k_lin", "v_lin", "out_lin"):
            shapes |= dense(f"{at}.attention.{part}", hidden, hidden)
        shapes |= norm(f"{at}.sa_layer_norm") | norm(f"{at}.output_layer_norm")
        shapes |= dense(f"{at}.ffn.lin1", hidden, 16) | dense(f"{at}.ffn.lin2", 16, hidden)
    arrays = {name: rng.normal(size=shape).astype("float32") for name, shape in shapes.items()}
    safetensors.numpy.save_file(arrays, folder / "model.safetensors", {"format": "pt"})
    config = {
        "model_type": "distilbert",
        "vocab_size": 9,
        "n_layers": 2,
        "n_heads": 2,
        "dim": hidden,
        "hidden_dim": 16,
        "dropout": 0.1,
        "max_position_embeddings": 32,
        "sinusoidal_pos_embds": False,
    }
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "vocab.txt").write_text("\n".join(WORDS))
    (folder / "tokenizer_config.json").write_text(json.dumps({"do_lower_case": True}))
    return arrays


def test_hugging_face_distilbert(tmp_path):
    arrays = _hf_distilbert(tmp_path)
    backbone = builder.build(str(tmp_path))
    named = functional.named_weights(backbone.layers)
    values = [v.numpy() for v in named.values()]
    words = arrays["distilbert.embeddings.word_embeddings.weight"]
    assert any(v.shape == words.shape and np.array_equal(v, words) for v in values)
    last = arrays["distilbert.transformer.layer.1.ffn.lin2.weight"].T
    own = named["transformer_layer_1/feedforward_output_dense/kernel"].numpy()
    np.testing.assert_array_equal(own, last)
    assert [group.name for group in backbone.groups] == ["embeddings", "layer_1", "layer_2"]


def test_pickled_checkpoints_are_refused(tmp_path):
    _hf_distilbert(tmp_path)
    (tmp_path / "model.safetensors").rename(tmp_path / "pytorch_model.bin")
    with pytest.raises(ModelError, match="pickled weights are not read"):
        builder.build(str(tmp_path))


@pytest.mark.parametrize(
    "config, error, match",
    [
        ({"class_name": "Lambda", "config": {}}, ModelError, "not a backbone of KerasHub"),
        ({"class_name": "BertClassifier", "config": {}}, ModelError, "not a backbone of KerasHub"),
        (
            {
                "class_name": "BertBackbone",
                "config": {**SIZES, "num_heads": {"class_name": "Lambda"}},
            },
            ModelError,
            "names classes",
        ),
        ({"class_name": "BertBackbone", "config": {"x": 1}}, ModelError, "does not take"),
        ({"model_type": "llama"}, FlagError, "not read"),
        ({}, FlagError, "neither class_name nor model_type"),
        ([], FlagError, "neither class_name nor model_type"),
    ],
)
def test_foreign_configurations_are_refused(tmp_path, config, error, match):
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(error, match=match):
        builder.build(str(tmp_path))


def test_folders_without_a_network_are_refused(tmp_path):
    with pytest.raises(FlagError, match=r"error\[2\] --backbone: .*holds no config.json"):
        builder.build(str(tmp_path))
    with pytest.raises(FlagError, match="no folder"):
        builder.build(str(tmp_path / "nowhere"))
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ModelError, match="is not readable JSON"):
        builder.build(str(tmp_path))


def test_weights_of_another_size_are_refused(tmp_path):
    M.BertBackbone(**SIZES).save_to_preset(tmp_path)
    M.BertTokenizer(vocabulary=WORDS, lowercase=True).save_to_preset(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    config["config"]["intermediate_dim"] = 20
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match="weights of another network"):
        builder.build(str(tmp_path))


def test_known_presets_need_no_network_for_random_weights():
    backbone = builder.build("hub:resnet_18_imagenet", weights="none", image_size_px=32)
    count = sum(int(np.prod(v.shape)) for v in functional.named_weights(backbone.layers).values())
    published = keras_hub.models.Backbone.presets["resnet_18_imagenet"]["metadata"]["params"]
    assert count == published and not backbone.pretrained
    assert [group.name for group in backbone.groups] == [f"stage_{n}" for n in range(1, 5)]


@pytest.mark.large
@pytest.mark.parametrize("name", hub.CONFIGS)
def test_known_configurations_have_the_published_size(name):
    model = transformers.make(*hub.CONFIGS[name])
    published = keras_hub.models.Backbone.presets[name]["metadata"]["params"]
    assert model.count_params() == published


@pytest.mark.parametrize(
    "error,attempts",
    [
        (ConnectionError("no address"), 3),
        (ValueError("502 Server Error: Bad Gateway"), 3),
        (ValueError("401 Client Error: Unauthorized"), 1),
        (json.JSONDecodeError("Expecting value", "<html>", 0), 1),
    ],
)
def test_presets_out_of_reach_name_what_to_do(monkeypatch, error, attempts):
    calls = []

    def fail(*args, **kwargs):
        calls.append(args)
        raise error

    monkeypatch.setattr(downloads.time, "sleep", lambda seconds: None)
    monkeypatch.setattr(keras_hub.models.Backbone, "from_preset", fail)
    with pytest.raises(StorageError, match=r"error\[5\].*roberta_base_en.*fix: --backbone=FOLDER"):
        builder.build("hub:roberta_base_en")
    assert len(calls) == attempts


def test_a_preset_file_that_is_a_web_page_is_fetched_again(monkeypatch, tmp_path):
    """The cache of KaggleHub holds one; the network gives another."""
    (tmp_path / "config.json").write_text("<!DOCTYPE html><title>Log in</title>")
    forced = []

    def download(handle, path, force_download=False):
        forced.append(force_download)
        return str(tmp_path / path)

    monkeypatch.setattr(kagglehub, "model_download", download)
    with pytest.raises(StorageError, match=r"config\.json: .*a web page \('Log in'\); fix: remove"):
        builder.build("hub:roberta_base_en")
    assert forced == [False, True]


def test_unknown_presets_suggest_the_nearest():
    with pytest.raises(FlagError, match="fix: --backbone=hub:bert_base_en_uncased"):
        builder.build("hub:bert_base_en_uncase")


def test_texts_longer_than_the_position_table_are_refused(tmp_path):
    M.BertBackbone(**SIZES).save_to_preset(tmp_path)
    M.BertTokenizer(vocabulary=WORDS, lowercase=True).save_to_preset(tmp_path)
    with pytest.raises(FlagError, match="at most 32 tokens"):
        builder.build(str(tmp_path), text_length=33)


class _NoTokenizer:
    def get_config(self):
        return {}


@pytest.mark.parametrize(
    "cls, options, groups",
    [
        (M.DebertaV3Backbone, {"bucket_size": 8}, ["embeddings", "layer_1", "layer_2"]),
        (M.AlbertBackbone, {"embedding_dim": 8}, ["embeddings", "layers", "pooler"]),
        (M.GPT2Backbone, {}, ["embeddings", "layer_1", "layer_2"]),
    ],
)
def test_other_text_families(cls, options, groups):
    own = cls(**SIZES, **options)
    request = network.Request("x")
    made = transformers.text_network(own, _NoTokenizer(), request, pretrained=False)
    backbone = network.assemble(made, request)
    assert [group.name for group in backbone.groups] == groups
    assert len(functional.named_weights(backbone.layers)) == len(own.weights)


@pytest.mark.parametrize(
    "cls, options, taps",
    [
        (M.VGGBackbone, {"stackwise_num_repeats": [1, 1], "stackwise_num_filters": [8, 8]}, 2),
        (
            M.ViTBackbone,
            {
                "image_shape": (32, 32, 3),
                "patch_size": 8,
                "num_layers": 2,
                "num_heads": 2,
                "hidden_dim": 8,
                "mlp_dim": 16,
            },
            2,
        ),
        (M.DINOV2Backbone, {**TRANSFORMER, "position_embedding_shape": (40, 40, 3)}, 2),
        (M.DINOV2Backbone, {**TRANSFORMER, "num_register_tokens": 4}, 2),
        (M.DINOV3Backbone, TRANSFORMER, 2),
    ],
)
def test_other_image_families(cls, options, taps):
    request = network.Request("x", image_size_px=32)
    own = cls(**options)
    made = hub.image_network(own, network.SCALINGS["none"], request)
    backbone = network.assemble(made, request)
    assert len(backbone.taps) == taps
    model = keras.Model(backbone.inputs, backbone.taps)
    pixels = np.random.default_rng(0).uniform(0, 1, (1, 32, 32, 3)).astype("float32")
    found, expected = model({"image": pixels}, training=False), own(pixels, training=False)
    if cls is not M.VGGBackbone:
        np.testing.assert_allclose(found["pooled"], expected[:, 0], atol=1e-6)
        grid = np.asarray(expected)[:, -16:].reshape(1, 4, 4, 8)
        np.testing.assert_allclose(found["stage_1"], grid, atol=1e-6)
    else:
        np.testing.assert_allclose(found["stage_2"], expected, atol=1e-6)


def test_dinov2_takes_other_sides_than_its_own(monkeypatch):
    """Positions of 4 x 4 patches are interpolated to 6 x 6; other families get no shape."""
    asked = []

    def from_preset(name, load_weights, **changes):
        asked.append(changes)
        shape = {"position_embedding_shape": (32, 32, 3)} | changes
        return M.DINOV2Backbone(**{**TRANSFORMER, **shape})

    class Converter(keras_hub.layers.ImageConverter):
        @classmethod
        def from_preset(cls, name):
            return cls(scale=1 / 255)

    monkeypatch.setattr(keras_hub.models.Backbone, "from_preset", from_preset)
    monkeypatch.setattr(keras_hub.layers, "ImageConverter", Converter)
    backbone = builder.build("hub:dinov2_base", image_size_px=48)
    assert backbone.taps["stage_1"].shape == (None, 6, 6, 8) and backbone.image_size_px == 48
    assert backbone.blueprint["memory"]["config"]["position_embedding_shape"] == [32, 32, 3]
    builder.build("hub:vit_base_patch16_224_imagenet", image_size_px=32)
    assert asked == [{"image_shape": (48, 48, 3)}, {}]


def test_the_images_side_of_siglip():
    """Its last layer pools the tokens; the side of texts is left out."""
    vision = M.SigLIPVisionEncoder(**TRANSFORMER)
    sizes = {name: TRANSFORMER[name] for name in ("num_layers", "num_heads", "hidden_dim")}
    text = M.SigLIPTextEncoder(
        vocabulary_size=9, embedding_dim=8, intermediate_dim=16, max_sequence_length=8, **sizes
    )
    both = M.SigLIPBackbone(vision_encoder=vision, text_encoder=text)
    own = hub.image_tower(both)
    assert own is vision and hub.image_tower(text) is text and not hub.is_text(own)
    request = network.Request("x")
    backbone = network.assemble(hub.image_network(own, network.SCALINGS["unit"], request), request)
    names = ["embedding", "encoder_block_0", "encoder_block_1", "post_layer_norm", "head"]
    assert [group.name for group in backbone.groups] == names
    pixels = np.random.default_rng(0).uniform(0, 255, (2, 32, 32, 3)).astype("float32")
    found = keras.Model(backbone.inputs, backbone.taps)({"image": pixels}, training=False)
    expected = own({"images": pixels / 255}, training=False)
    np.testing.assert_allclose(found["pooled"], expected, atol=1e-5)
    tokens = keras.Model(own.inputs, own.get_layer("post_layer_norm").output)
    grid = np.asarray(tokens([pixels / 255], training=False)).reshape(2, 4, 4, 8)
    np.testing.assert_allclose(found["stage_1"], grid, atol=1e-5)
    again = builder.rebuild(json.loads(json.dumps(backbone.blueprint)), "nowhere")
    shapes = [
        {name: tuple(v.shape) for name, v in functional.named_weights(item.layers).items()}
        for item in (backbone, again)
    ]
    assert shapes[0] == shapes[1]

"""What --precision=auto becomes, by processor, data and a probe."""

import json

import keras
import pytest

from tests import tiny
from tltf.backbones import builder, word_vectors
from tltf.backbones.network import Request, assemble
from tltf.backbones.word_tokenizer import PAD, UNKNOWN, WordTokenizer
from tltf.config import call_strings
from tltf.config.catalogs import HEADS
from tltf.config.options import make
from tltf.graphs.core import attach_head
from tltf.runs import machine
from tltf.training import precision_choice

UNITS = frozenset({"avx2", "amx_bf16"})


@pytest.fixture
def probed(monkeypatch, tmp_path):
    """A processor with units, an empty cache, and what the probe measures, in a dict."""
    found = {"gain": 1.5, "probes": 0, "made": []}

    def measure(core):
        found["probes"] += 1
        return found["gain"]

    monkeypatch.setattr(machine, "cpu_flags", lambda: UNITS)
    monkeypatch.setattr("tltf.files.assets.cache_folder", lambda: tmp_path)
    monkeypatch.setattr(precision_choice, "measure_gain", measure)
    yield found
    keras.config.set_dtype_policy("float32")


def build(found, modality="text", num_replicas=1, method="linear_probe", rows=(7, 1, 1), **flags):
    options = make(data="digits", backbone="minilm_l6", **flags)

    def new():
        found["made"].append(keras.config.dtype_policy().name)
        return "core"

    work = precision_choice.Work(modality, method, num_replicas, *rows)
    _, precision = precision_choice.build(new, options.runtime, options.model, work)
    assert keras.config.dtype_policy().name == precision == found["made"][-1]
    return precision


def test_texts_gain_on_a_processor_with_units_and_the_probe_is_remembered(probed):
    assert build(probed) == "mixed_bfloat16"
    assert probed == {"gain": 1.5, "probes": 1, "made": ["float32", "mixed_bfloat16"]}
    assert build(probed) == "mixed_bfloat16"
    assert (probed["probes"], probed["made"][2:]) == (1, ["mixed_bfloat16"])
    build(probed, text_length=16)
    assert probed["probes"] == 2, "texts of another length are another case"


def test_a_probe_without_gain_stays_in_float32(probed):
    probed["gain"] = 1.1
    assert [build(probed), build(probed)] == ["float32"] * 2
    assert (probed["probes"], probed["made"]) == (1, ["float32"] * 2)


CASES = [{"modality": "image"}, {"num_replicas": 2}, {"method": "lora"}, {"method": ""}]


@pytest.mark.parametrize("case", CASES)
def test_images_trained_networks_and_several_devices_stay_in_float32(probed, case):
    assert build(probed, **case) == "float32"
    assert probed["probes"] == 0


def test_a_processor_without_units_stays_in_float32(probed, monkeypatch):
    monkeypatch.setattr(machine, "cpu_flags", lambda: frozenset({"avx2"}))
    assert build(probed) == "float32"
    assert probed["probes"] == 0


def test_what_is_given_is_taken(probed):
    assert build(probed, precision="mixed_bfloat16", modality="image") == "mixed_bfloat16"
    assert build(probed, precision="float32") == "float32"
    assert probed["probes"] == 0


def test_a_damaged_memory_is_measured_again(probed, tmp_path):
    (tmp_path / precision_choice.REMEMBERED).write_text("[1]")
    assert build(probed) == "mixed_bfloat16"
    assert list(json.loads((tmp_path / precision_choice.REMEMBERED).read_text()).values()) == [1.5]


def test_a_run_with_more_to_judge_than_to_train_on_stays_in_float32(probed):
    """2,750 rows in float32, or 1,250 in bfloat16 and 1,750 in float32, which is 1.06 times as fast."""
    assert build(probed, rows=(1000, 250, 1500)) == "float32"
    assert build(probed, rows=(2000, 250, 250)) == "mixed_bfloat16"
    assert probed["probes"] == 1


def test_steps_outweigh_what_is_judged(probed):
    assert build(probed, method="full", rows=(1000, 250, 1500)) == "mixed_bfloat16"
    probed["gain"] = 1.1
    assert build(probed, method="full", text_length=8) == "float32"


@pytest.mark.parametrize(
    ("strategy", "capabilities", "expected"),
    [
        ("tpu", [], "mixed_bfloat16"),
        ("auto", [], ""),
        ("auto", [(8, 0)], "mixed_bfloat16"),
        ("auto", [(9, 0), (7, 5)], "mixed_float16"),
        ("auto", [(6, 1)], "float32"),
        ("auto", [None], "float32"),
    ],
)
def test_accelerators_take_what_their_generation_multiplies(
    strategy, capabilities, expected, monkeypatch
):
    details = {
        f"GPU:{place}": {"compute_capability": found} if found else {}
        for place, found in enumerate(capabilities)
    }
    config = precision_choice.tf.config
    monkeypatch.setattr(config, "list_physical_devices", lambda kind: list(details))
    monkeypatch.setattr(config.experimental, "get_device_details", details.get)
    assert precision_choice._of_devices(strategy) == expected


def test_the_probe_runs_the_layer_behind_the_embeddings_in_both_precisions(monkeypatch):
    monkeypatch.setattr(precision_choice, "LEAST_WEIGHTS", 1)
    core = attach_head(tiny.text_backbone(), call_strings.pick(HEADS, "classify", "head"), 2)
    seen = []

    def compare(models, inputs):
        seen.extend(models)
        assert all(model(inputs).shape[:2] == (32, 48) for model in models)
        return 2.0

    monkeypatch.setattr(precision_choice, "_compare", compare)
    assert precision_choice.measure_gain(core) == 2.0
    names = [[layer.name for layer in model.layers if layer.weights] for model in seen]
    assert names == [["block_1"]] * 2
    kinds = [{layer.compute_dtype for layer in m.layers if layer.weights} for m in seen]
    assert kinds == [{"float32"}, {"bfloat16"}]


def test_a_small_network_is_not_probed():
    core = attach_head(tiny.text_backbone(), call_strings.pick(HEADS, "classify", "head"), 2)
    assert precision_choice.measure_gain(core) == 1.0


def test_a_network_of_embeddings_alone_is_not_probed_and_an_lstm_on_them_can_be(monkeypatch):
    monkeypatch.setattr(precision_choice, "LEAST_WEIGHTS", 1)
    monkeypatch.setattr(precision_choice, "PROBE_S", 0.1)
    call = call_strings.pick(HEADS, "classify", "head")
    request = Request("made", text_length=9)
    words = word_vectors.network(request, WordTokenizer([PAD, UNKNOWN, "good"]), 5)
    core = attach_head(assemble(words, request), call, 2)
    assert precision_choice.measure_gain(core) == 1.0
    lstm = builder.build("small_lstm(units=4)", texts=["a good film"])
    assert precision_choice.measure_gain(attach_head(lstm, call, 2)) > 0

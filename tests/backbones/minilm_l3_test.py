"""MiniLM-L3: equal to its own ONNX file in another library, and read without the package onnx."""

import keras
import numpy as np
import pytest
from google.protobuf import empty_pb2

from tltf.backbones import builder, onnx_bert
from tltf.data.texts.preprocessing import TextPreprocessing
from tltf.errors import ModelError
from tltf.files import assets
from tltf.heads.pooling import pool

TEXTS = [
    "The weather is lovely today.",
    "It's so sunny outside!",
    "He drove to the stadium.",
    "A café, naïve and unaffordable: 1,234.5 dollars",
]
TRIPLE = (0.5960, 0.0139, 0.0907)
"""The cosines of the first three texts by onnxruntime, to four digits."""


def _vectors(sequence, mask):
    vectors = (sequence * mask[..., None]).sum(1) / mask.sum(1, keepdims=True)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@pytest.mark.large
def test_equal_to_onnxruntime_on_the_same_file():
    onnxruntime = pytest.importorskip("onnxruntime")
    backbone = builder.build("minilm_l3")
    inputs = TextPreprocessing(backbone.tokenizer, 24, tuple(backbone.inputs))(TEXTS)
    model = keras.Model(backbone.inputs, pool(backbone.taps, "text", "auto"))
    found = model(inputs, training=False).numpy()
    found /= np.linalg.norm(found, axis=1, keepdims=True)
    session = onnxruntime.InferenceSession(
        str(assets.fetch("minilm_l3") / "paraphrase-MiniLM-L3-v2.onnx")
    )
    mask = inputs["padding_mask"].numpy().astype("int64")
    given = {"input_ids": inputs["token_ids"].numpy().astype("int64"), "attention_mask": mask}
    states = next(x for x in session.run(None, given) if x.ndim == 3 and x.shape[-1] == 384)
    np.testing.assert_allclose(found, _vectors(states, mask), atol=5e-4)
    cosines = found @ found.T
    np.testing.assert_allclose([cosines[0, 1], cosines[0, 2], cosines[1, 2]], TRIPLE, atol=1e-3)


@pytest.mark.large
def test_it_has_no_pooler_and_neither_has_a_copy(tmp_path):
    backbone = builder.build("minilm_l3")
    assert [group.name for group in backbone.groups] == [
        "embeddings",
        "layer_1",
        "layer_2",
        "layer_3",
    ]
    builder.save_assets(backbone, tmp_path)
    again = builder.rebuild(backbone.blueprint, tmp_path)
    assert set(again.taps) == set(backbone.taps) == {"sequence", "mask"}


def test_an_onnx_file_is_read_as_the_package_onnx_reads_it(tmp_path):
    onnx = pytest.importorskip("onnx")
    rng = np.random.default_rng(0)
    tensors = {
        "kernel": rng.normal(size=(3, 4)).astype("float32"),
        "dense.bias": rng.normal(size=4).astype("float32"),
        "place": np.array([1, 2]),
    }
    nodes = [
        onnx.helper.make_node("MatMul", ["x", "kernel"], ["product"]),
        onnx.helper.make_node("Add", ["dense.bias", "product"], ["y"]),
    ]
    values = [
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ("batch", size))
        for name, size in (("x", 3), ("y", 4))
    ]
    stored = [onnx.numpy_helper.from_array(array, name) for name, array in tensors.items()]
    graph = onnx.helper.make_graph(nodes, "made", values[:1], values[1:], stored)
    onnx.save(onnx.helper.make_model(graph), tmp_path / "made.onnx")
    found = onnx_bert.read(tmp_path / "made.onnx")
    assert set(found.tensors) == {"kernel", "dense.bias"}, "others than float32 are left out"
    for name, array in found.tensors.items():
        np.testing.assert_array_equal(array, tensors[name])
    assert [(node.kind, node.inputs) for node in found.nodes] == [
        ("MatMul", ("x", "kernel")),
        ("Add", ("dense.bias", "product")),
    ]
    with pytest.raises(ModelError, match="has no weight 'embeddings"):
        onnx_bert.bert_arrays(found, 1, 1, "")


@pytest.mark.parametrize("content", [b"", b"not protobuf", empty_pb2.Empty().SerializeToString()])
def test_another_file_is_refused(tmp_path, content):
    (tmp_path / "bad.onnx").write_bytes(content)
    with pytest.raises(ModelError, match="is not a readable ONNX file"):
        onnx_bert.read(tmp_path / "bad.onnx")


def _tiny_graph(rng, heads, width, inner):
    """A Graph with the names that PyTorch's exporter gives to a BERT of one layer, and its arrays."""
    sizes = {"attention.self.query": (width, width), "attention.self.key": (width, width)}
    sizes |= {"attention.self.value": (width, width), "attention.output.dense": (width, width)}
    sizes |= {"intermediate.dense": (width, inner), "output.dense": (inner, width)}
    tensors, nodes = {}, []
    for number, (name, size) in enumerate(sizes.items()):
        tensors[f"onnx::MatMul_{number}"] = rng.normal(size=size).astype("float32")
        tensors[f"encoder.layer.0.{name}.bias"] = rng.normal(size=size[1]).astype("float32")
        product = f"p{number}"
        nodes.append(onnx_bert.Node("MatMul", ("x", f"onnx::MatMul_{number}"), (product,)))
        both = (f"encoder.layer.0.{name}.bias", product)
        nodes.append(onnx_bert.Node("Add", both[:: 1 if number % 2 else -1], (f"s{number}",)))
    for name in ("attention.output.LayerNorm", "output.LayerNorm"):
        for kind in ("weight", "bias"):
            tensors[f"encoder.layer.0.{name}.{kind}"] = rng.normal(size=width).astype("float32")
    for name, size in (("word", 20), ("position", 9), ("token_type", 2)):
        shape = (size, width)
        tensors[f"embeddings.{name}_embeddings.weight"] = rng.normal(size=shape).astype("float32")
    for kind in ("weight", "bias"):
        tensors[f"embeddings.LayerNorm.{kind}"] = rng.normal(size=width).astype("float32")
    return onnx_bert.Graph(tensors, tuple(nodes))


def test_kernels_are_found_by_their_biases_and_cut_into_heads():
    rng = np.random.default_rng(1)
    graph = _tiny_graph(rng, heads=2, width=6, inner=10)
    made = onnx_bert.bert_arrays(graph, 1, 2, "")
    x = rng.normal(size=(5, 6)).astype("float32")
    at = "transformer_layer_0/self_attention_layer"
    query = np.einsum("ld,dhk->lhk", x, made[f"{at}/query/kernel"]) + made[f"{at}/query/bias"]
    plain = x @ graph.tensors["onnx::MatMul_0"]
    plain += graph.tensors["encoder.layer.0.attention.self.query.bias"]
    np.testing.assert_allclose(query.reshape(5, 6), plain, rtol=1e-5)
    mixed = rng.normal(size=(5, 2, 3)).astype("float32")
    out = np.einsum("lhk,hkd->ld", mixed, made[f"{at}/attention_output/kernel"])
    plain = mixed.reshape(5, 6) @ graph.tensors["onnx::MatMul_3"]
    np.testing.assert_allclose(out, plain, rtol=1e-5, atol=1e-6)

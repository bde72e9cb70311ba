"""int8 of a BERT: its masks leave steps for the rest, and what int8 spoils stays in float32."""

import keras
import numpy as np
import pytest

from tests import served
from tltf.serving.export import litert_process, scores_graph

pytest.importorskip("ai_edge_litert")

FLOATS = {"ADD", "MUL", "MEAN", "SQUARED_DIFFERENCE", "RSQRT", "SOFTMAX", "GELU"}


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
    """A tiny BERT with wide attention."""
    keras.utils.set_random_seed(1)
    trained = served.bert(tmp_path_factory.mktemp("bert") / "bert")
    for weight in trained.core.model.weights:
        if "/query/" in weight.path or "/key/" in weight.path:
            weight.assign(8 * weight)
    return trained


def tokens(count):
    """Texts of 2 to 12 made-up tokens, padded to 12."""
    numbers = np.random.default_rng(0)
    lengths = numbers.integers(2, 13, count)
    mask = (np.arange(12) < lengths[:, None]).astype(np.int32)
    ids = numbers.integers(2, len(served.PIECES), (count, 12)).astype(np.int32) * mask
    return {"token_ids": ids, "padding_mask": mask, "segment_ids": np.zeros_like(ids)}


def converted(bert, folder, quantize):
    scores_graph.ScoresModule(bert).save(folder)
    ranges = tokens(32) if quantize == "int8" else None
    return litert_process.convert(str(folder), quantize, ranges, quantize == "int8")


def answers(content):
    """float32[N, C]: the probabilities of a .tflite file."""
    from ai_edge_litert.interpreter import Interpreter

    return Interpreter(model_content=content).get_signature_runner()(**tokens(32))["probabilities"]


def first_types(content):
    """Operator -> types of the first input of each."""
    from ai_edge_litert import schema_py_generated as schema

    operators = {code: name for name, code in vars(schema.BuiltinOperator).items()}
    types = {code: name for name, code in vars(schema.TensorType).items()}
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content, 0))
    found = {}
    for operator in model.subgraphs[0].operators:
        name = operators[model.operatorCodes[operator.opcodeIndex].builtinCode]
        tensor = model.subgraphs[0].tensors[operator.inputs[0]]
        found.setdefault(name, set()).add(types[tensor.type])
    return found


def test_int8_of_a_bert_answers_nearly_as_before(bert, tmp_path, monkeypatch):
    expected = answers(converted(bert, tmp_path / "float", "none"))
    content = converted(bert, tmp_path / "int8", "int8")
    difference = np.abs(answers(content) - expected).mean()
    monkeypatch.setattr(litert_process, "MASK", -1e9)
    spoiled = np.abs(answers(converted(bert, tmp_path / "spoiled", "int8")) - expected).mean()
    assert difference < 0.02 and difference < spoiled / 3, "Keras's own mask of -1e9 spoils it"
    types = first_types(content)
    assert types["FULLY_CONNECTED"] == types["BATCH_MATMUL"] == {"INT8"}
    assert {name for name in FLOATS if types[name] - {"INT32"} == {"FLOAT32"}} == FLOATS


def test_masks_alone_become_smaller(bert, tmp_path):
    scores_graph.ScoresModule(bert).save(tmp_path)
    before = constants(tmp_path)
    litert_process._make_masks_smaller(tmp_path / "saved_model.pb")
    after = constants(tmp_path)
    changed = {name for name, values in before.items() if not np.array_equal(values, after[name])}
    assert changed and all(np.all(before[name] <= -1e9) for name in changed)
    assert {float(after[name]) for name in changed} == {litert_process.MASK}


def constants(folder):
    """Name -> values of each constant of a SavedModel's functions."""
    import tensorflow as tf
    from tensorflow.core.protobuf import saved_model_pb2

    model = saved_model_pb2.SavedModel.FromString((folder / "saved_model.pb").read_bytes())
    library = model.meta_graphs[0].graph_def.library
    return {
        f"{function.signature.name}/{node.name}": tf.make_ndarray(node.attr["value"].tensor)
        for function in library.function
        for node in function.node_def
        if node.op == "Const"
    }

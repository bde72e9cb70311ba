"""A packed .tflite file computes what the converter's own did, bit for bit, and is smaller."""

import functools
import tempfile

import keras
import numpy as np
import pytest
from sklearn import datasets

from tests import served
from tltf.serving.export import litert, litert_packing, litert_process, scores_graph

pytest.importorskip("ai_edge_litert")


@functools.cache
def folder():
    """The SavedModel of a small network, which is kept until the process ends."""
    made = tempfile.TemporaryDirectory()
    keras.utils.set_random_seed(1)
    network = "small_cnn(filters=[8, 32], channels=3)"  # kernels that `dynamic` quantises
    scores_graph.ScoresModule(served.image(network)).save(made.name)
    return made


@functools.cache
def photos():
    """float32[32, 16, 16, 3]: pieces of two photographs."""
    pieces = [
        photo[16 * row : 16 * row + 16, 32 * row : 32 * row + 16]
        for photo in datasets.load_sample_images().images
        for row in range(16)
    ]
    return np.stack(pieces).astype(np.float32)


@functools.cache
def converted(quantize):
    """What the converter writes."""
    ranges = {"image": photos()} if quantize == "int8" else None
    return litert_process.convert(folder().name, quantize, ranges)


def answers(content, pixels):
    """float32[N, C]: the probabilities of a .tflite file."""
    from ai_edge_litert.interpreter import Interpreter

    return Interpreter(model_content=content).get_signature_runner()(image=pixels)["probabilities"]


def tensor_vectors(content):
    """`(place in the file, numbers)` of each tensor's bytes."""
    from ai_edge_litert import schema_py_generated as schema

    model = schema.Model.GetRootAs(content, 0)
    found = []
    for place in range(model.BuffersLength()):
        buffer = model.Buffers(place)
        if buffer.DataLength():
            values = buffer.DataAsNumpy()
            start = values.__array_interface__["data"][0]
            found.append((start - np.frombuffer(content, np.uint8).ctypes.data, values))
    return found


@pytest.mark.parametrize("quantize", litert.QUANTIZE)
def test_a_packed_file_answers_bit_for_bit_as_before(quantize):
    before = converted(quantize)
    packed = litert_packing.pack(before)
    aligned = litert_packing.ALIGNMENT * len(tensor_vectors(before))
    assert len(packed) <= len(before) + aligned
    assert quantize != "int8" or len(packed) < 0.95 * len(before), "others have no zero points"
    noise = np.random.default_rng(1).uniform(0, 255, photos().shape).astype(np.float32)
    for pixels in (photos(), noise):
        expected = answers(before, pixels)
        assert len(np.unique(expected)) > 8, "the inputs give other answers each"
        np.testing.assert_array_equal(answers(packed, pixels), expected)


@pytest.mark.parametrize("quantize", ["none", "int8"])
def test_bytes_of_tensors_are_the_same_and_aligned(quantize):
    packed = litert_packing.pack(converted(quantize))
    before, after = tensor_vectors(converted(quantize)), tensor_vectors(packed)
    assert {place % litert_packing.ALIGNMENT for place, _ in after} == {0}
    assert {place % litert_packing.ALIGNMENT for place, _ in before} != {0}
    for (_, expected), (_, found) in zip(before, after, strict=True):
        np.testing.assert_array_equal(found, expected)


def test_zero_points_are_written_once():
    from ai_edge_litert import schema_py_generated as schema

    content = litert_packing.pack(converted("int8"))
    graph = schema.Model.GetRootAs(content, 0).Subgraphs(0)
    places = {}
    for tensor in map(graph.Tensors, range(graph.TensorsLength())):
        values = tensor.Quantization().ZeroPointAsNumpy()
        if tensor.Quantization().ZeroPointLength() > 1:
            start = values.__array_interface__["data"][0]
            places.setdefault(values.tobytes(), []).append(start)
    assert max(map(len, places.values())) > 1, "a kernel and its bias have as many zeros"
    assert all(len(set(starts)) == 1 for starts in places.values())


def test_packing_twice_changes_nothing():
    packed = litert_packing.pack(converted("none"))
    assert litert_packing.pack(packed) == packed


def test_a_file_with_tensors_behind_the_flatbuffer_is_left_as_it_is():
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(converted("none"), 0))
    model.buffers[1].offset, model.buffers[1].size = 4096, 8
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), file_identifier=litert_packing.IDENTIFIER)
    content = bytes(builder.Output())
    assert litert_packing.pack(content) == content

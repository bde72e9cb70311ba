"""ONNX: one file for ONNX Runtime and whatever else reads the format."""

import json
import pathlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

from tltf.errors import ModelError, printable
from tltf.serving.export import scores_graph
from tltf.serving.export.format_export import GraphExport

if TYPE_CHECKING:
    import onnx

OPSET = 17
"""The version of ONNX's operators, of 2022, which all runtimes of today know."""
IR_VERSION = 8
"""The version of the file's structure that came with OPSET; newer ones are refused by older runtimes."""


class OnnxExport(GraphExport):
    """An ONNX export, `model.onnx`, with our names of inputs, outputs and free axes.

    Batches may have any size, and texts any length where the network takes it. tltf.json's content
    is in the file too, as metadata under the key `tltf`. Arguments and errors as `FormatExport`.
    """

    name = "onnx"
    extra = "onnx"
    packages = ("onnx", "tf2onnx", "onnxruntime")
    runtime = "onnxruntime"
    files = ("model.onnx",)

    def write(self, part: pathlib.Path) -> None:
        """Converts the graph and names its outputs and axes."""
        import onnx
        import tf2onnx

        module = scores_graph.ScoresModule(self.trained, any_length=True)
        try:
            with scores_graph.hide_notes():
                model, _ = tf2onnx.convert.from_function(
                    module.positional(), list(module.specs.values()), opset=OPSET
                )
        except (ValueError, RuntimeError, NotImplementedError, KeyError) as error:
            what = f"tf2onnx cannot convert this model: {printable(str(error))[:300]}"
            raise ModelError(what) from error
        facts = self.describe(part, module)
        _rename(model.graph, dict(zip(_names(model.graph.output), module.outputs, strict=True)))
        specs = module.specs | module.outputs
        for value in (*model.graph.input, *model.graph.output):
            shape = scores_graph.shape_text(specs[value.name])
            for axis, size in zip(value.type.tensor_type.shape.dim, shape, strict=True):
                if isinstance(size, str):
                    axis.dim_param = size
        model.ir_version = IR_VERSION
        model.producer_name = "tltf"
        entry = model.metadata_props.add()
        entry.key, entry.value = "tltf", json.dumps(facts, ensure_ascii=False)
        onnx.checker.check_model(model)
        onnx.save(model, str(part / self.files[0]))


def _names(values: "Sequence[onnx.ValueInfoProto]") -> list[str]:
    return [value.name for value in values]


def _rename(graph: "onnx.GraphProto", names: dict[str, str]) -> None:
    """Gives tensors of a graph other names, wherever they stand."""
    for node in graph.node:
        node.output[:] = [names.get(name, name) for name in node.output]
        node.input[:] = [names.get(name, name) for name in node.input]
    for value in graph.output:
        value.name = names.get(value.name, value.name)

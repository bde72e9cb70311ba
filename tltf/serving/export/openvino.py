"""OpenVINO: two files for Intel's runtime."""

import dataclasses
import json
import pathlib
import tempfile

from tltf.errors import ModelError, printable
from tltf.evaluation.report.format_rows import FormatRow
from tltf.serving.export import measuring, scores_graph
from tltf.serving.export.format_export import GraphExport
from tltf.serving.export.measuring import Subject
from tltf.serving.export.prepared_rows import PreparedRows

FLOAT32 = {"INFERENCE_PRECISION_HINT": "f32"}
"""The setting with which OpenVINO computes in float32; by itself it takes bfloat16 where it is faster."""
NUM_BY_DEFAULT = 256
"""Rows on which OpenVINO's own choice of precision is compared too."""


class OpenVinoExport(GraphExport):
    """An OpenVINO export, `model.xml` and `model.bin`, in float32.

    Batches may have any size, and texts any length where the network takes it. On processors with
    bfloat16 the runtime computes in bfloat16 unless it is told otherwise:
    `compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})` is what the export is checked
    with, and the difference without that hint is noted. Arguments and errors as `FormatExport`.
    """

    name = "openvino"
    extra = "openvino"
    packages = ("openvino",)
    runtime = "openvino"
    files = ("model.xml", "model.bin")

    @property
    def subject(self) -> Subject:
        """The written files, which are checked in float32."""
        return Subject(self.name, self.part, self.runtime, self.files, settings=FLOAT32)

    def write(self, part: pathlib.Path) -> None:
        """Converts the graph; the weights stay float32, which is not OpenVINO's default."""
        import openvino as ov

        module = scores_graph.ScoresModule(self.trained, any_length=True)
        with tempfile.TemporaryDirectory() as scratch:
            module.save(scratch)
            try:
                model = ov.convert_model(scratch)
            except Exception as error:  # OpenVINO's frontends raise classes of their own
                what = f"OpenVINO cannot convert this model: {printable(str(error))[:300]}"
                raise ModelError(what) from error
            facts = self.describe(part, module)
            model.set_rt_info(json.dumps(facts, ensure_ascii=False), ["tltf"])
            ov.save_model(model, str(part / self.files[0]), compress_to_fp16=False)

    def measure(self, rows: PreparedRows) -> FormatRow:
        """As `FormatExport.measure`; the note says how much OpenVINO's own precision differs."""
        row, head = super().measure(rows), self.trained.core.head
        _, outputs = measuring.run(self.subject, rows, num_rows=NUM_BY_DEFAULT, settings={})
        scores = measuring.scores_of(outputs, head)
        largest = measuring.differences_of(scores, rows.scores, head).max()
        note = f"with the hint f32; without it the largest difference is {largest:.1e}"
        note = "; ".join(filter(None, [note, row.note]))
        self._row = dataclasses.replace(row, note=note)
        return self._row

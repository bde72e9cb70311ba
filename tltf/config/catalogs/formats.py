"""FORMATS: what a core is exported as."""

from tltf.config.catalogs.row import Row

FORMATS = {
    "saved_model": Row(
        "tltf.serving.export.saved_model:SavedModelExport",
        {"warmup": "made_up", "warmup_batches": (1, 8, 32)},
        "a SavedModel for TF Serving, with raw and tensor signatures",
    ),
    "litert": Row(
        "tltf.serving.export.litert:LiteRtExport",
        {"quantize": "none"},
        "one file for phones and small devices; quantize=none|float16|dynamic|int8",
        paper="Jacob et al. 2018, arXiv:1712.05877",
        extra="litert",
    ),
    "onnx": Row(
        "tltf.serving.export.onnx:OnnxExport",
        {},
        "one file for ONNX Runtime and whatever else reads ONNX",
        extra="onnx",
    ),
    "openvino": Row(
        "tltf.serving.export.openvino:OpenVinoExport",
        {},
        "two files for OpenVINO, Intel's runtime",
        extra="openvino",
    ),
    "hf": Row(
        "tltf.serving.export.hugging_face:HuggingFaceExport",
        {},
        "a run on a BERT as a Hugging Face folder with its tokenizer",
    ),
}

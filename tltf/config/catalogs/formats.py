"""FORMATS: what a core is exported as."""

from tltf.config.catalogs.row import Row

FORMATS = {
    "saved_model": Row(
        "tltf.serving.export.saved_model:SavedModelExport",
        {"warmup": "made_up", "warmup_batches": (1, 8, 32)},
        "a SavedModel for TF Serving, with raw and tensor signatures",
    ),
}

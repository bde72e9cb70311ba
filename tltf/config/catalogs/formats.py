"""FORMATS: what a core is exported as."""

from tltf.config.catalogs.row import Row

FORMATS = {
    "saved_model": Row(
        "tltf.serving.export.saved_model:SavedModelExport",
        {},
        "a SavedModel for TF Serving, with raw and tensor signatures",
    ),
}

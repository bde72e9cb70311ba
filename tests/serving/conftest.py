"""Tiny exports that the tests of servers and clients share."""

import io

import numpy as np
import PIL.Image
import pytest

from tests import served


def png(size):
    numbers = np.random.default_rng(size).integers(0, 256, (size, size + 3, 3), np.uint8)
    file = io.BytesIO()
    PIL.Image.fromarray(numbers).save(file, "PNG")
    return file.getvalue()


@pytest.fixture(scope="session")
def exports(tmp_path_factory):
    """`(name -> model, name -> folder of versions)`; each has version 3."""
    from tltf.serving.export import saved_model

    trained = {"photos": served.image_once(), "reviews": served.text_once()}
    folders = {name: tmp_path_factory.mktemp(name) for name in trained}
    for name, folder in folders.items():
        saved_model.export_saved_model(trained[name], folder, 3, False, warmup_batches=(1, 2))
    return trained, folders


@pytest.fixture(scope="session")
def loaded(exports):
    """Name -> ServedModel of each export, under a label too."""
    from tltf.serving.server import exported_model

    made = {}
    for name, folder in exports[1].items():
        versions = exported_model.load_versions(folder, "latest")
        made[name] = exported_model.ServedModel(name, versions, {"stable": 3})
    return made

import importlib
import subprocess
import sys

import pytest

from tltf.console import lazy_imports


def test_module_is_imported_at_its_first_use():
    sys.modules.pop("sndhdr", None)
    sys.modules.pop("colorsys", None)
    module = lazy_imports.Module("colorsys")
    assert "colorsys" not in sys.modules
    assert module.rgb_to_hsv(1, 1, 1) == (0.0, 0.0, 1)
    assert "colorsys" in sys.modules


def test_hidden_packages_cannot_be_imported_inside_only():
    sys.modules.pop("colorsys", None)
    with lazy_imports.hide_packages("colorsys", "json"):
        with pytest.raises(ImportError):
            importlib.import_module("colorsys")
        importlib.import_module("json").dumps(1)
    assert importlib.import_module("colorsys").hsv_to_rgb(0, 0, 1) == (1, 1, 1)


def test_training_waits_for_no_package_of_the_report():
    code = (
        "from tltf.console import command as console; console.quiet_tensorflow(False); console.load_tensorflow()\n"
        "from tltf.experiments import rounds; from tltf.training import training\n"
        "from tltf.data.sources import samples\n"
        "import sys\n"
        "print([n for n in ('sklearn', 'matplotlib', 'tensorflow_datasets', 'scipy.stats')"
        " if n in sys.modules])\n"
        "import keras, sklearn, matplotlib.figure\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=True
    )
    assert done.stdout == "[]\n"

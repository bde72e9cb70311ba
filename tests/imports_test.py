"""Imports point down only: commands, services, methods, model or data parts, base."""

import ast
import pathlib

import pytest

import tltf

PACKAGE = pathlib.Path(__file__).resolve().parents[1] / "tltf"
ORDER = ["base", "model", "data", "method", "service", "command"]
BELOW = {
    "base": {"base"},
    "model": {"base", "model"},
    "data": {"base", "data"},
    "method": {"base", "model", "data", "method"},
    "service": {"base", "model", "data", "method", "service"},
    "command": {"base", "service"},
}
LAYERS = {
    "base": """
        tltf archives assets blas_threads catalogs chatter checkpoints command_options console defaults difficulty errors flagfiles folders foreign_files habits lazy leftovers locations memory
        names options origins progress registries row_store runs specs stopping storage streams targets thresholds torch_files versions
    """,
    "model": "adversaries allowances backbones cutting embedding_rows fingerprints finiteness folding freezing graphs heads inserts models multi_label noise optimizers ordinal recalibration regression transfer weights",
    "data": "data",
    "method": "methods",
    "service": """
        adapters baselines boundaries caching calibration callbacks checking convex convex_examples data_report disk_space diverging evaluation exporting feeding fitting inputs judging keeping lengths loading
        multi_worker own_data plots predicting predictions preprocessing publishing rate_finding raw_inputs reevaluating
        reload reports resampling resuming rounds rows runtime saving serving solving summaries thumbnails tracking
        trained trained_rows training verifying wording
    """,
    "command": "check evaluate export lr_find predict train",
}
PARTS = {part: layer for layer, names in LAYERS.items() for part in names.split()}
HEAVY = {"tensorflow", "keras", "keras_hub", "tensorflow_text", "tensorflow_datasets", "sklearn"}
FILES = sorted(PACKAGE.rglob("*.py"))


def part_of(path):
    """The first name below tltf: `data` for tltf/data/images.py, `tltf` for tltf/__init__.py."""
    names = path.relative_to(PACKAGE).with_suffix("").parts
    return "tltf" if names == ("__init__",) else names[0]


def imported(tree, is_nested=True):
    """Dotted names that a module imports; without those inside functions if not `is_nested`."""
    nodes = ast.walk(tree) if is_nested else _outside_functions(tree)
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _outside_functions(tree):
    for node in tree.body:
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield from ast.walk(node)


def parse(path):
    return ast.parse(path.read_text(encoding="utf-8"))


def test_every_module_has_a_layer_and_every_layer_its_modules():
    there = {part_of(path) for path in FILES}
    assert there - set(PARTS) == set(), "new modules: give them a layer above"
    assert set(PARTS) - there == set(), "modules that are gone"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_down(path):
    layer = PARTS[part_of(path)]
    for name in imported(parse(path)):
        if name.startswith("tltf."):
            part = name.split(".")[1]
            part = part if part in PARTS else "tltf"
            assert PARTS[part] in BELOW[layer], f"{layer} imports {PARTS[part]}: {name}"
        assert not name.startswith((".", "None.")), "imports are absolute"
        assert name.split(".")[0] not in ("tests", "tools")


@pytest.mark.parametrize(
    "path",
    [path for path in FILES if PARTS.get(part_of(path)) in ("base", "command")],
    ids=lambda path: str(path.relative_to(PACKAGE)),
)
def test_base_and_commands_are_free_of_tensorflow(path):
    assert not {name.split(".")[0] for name in imported(parse(path), is_nested=False)} & HEAVY


def test_commands_import_services_inside_functions_only():
    for path in FILES:
        if PARTS.get(part_of(path)) == "command":
            for name in imported(parse(path), is_nested=False):
                part = name.split(".")[1] if name.startswith("tltf.") else "tltf"
                assert PARTS.get(part, "base") == "base", f"{path.name} imports {name}"


def test_the_order_is_that_of_the_design():
    assert all(ORDER.index(low) <= ORDER.index(high) for high in BELOW for low in BELOW[high])
    assert "model" not in BELOW["data"] and "data" not in BELOW["model"]


def test_names_of_the_package_are_no_modules():
    assert not {part_of(path) for path in FILES} & set(tltf.__all__)


def test_only_fitting_calls_fit():
    calls = {
        path.name
        for path in FILES
        for node in ast.walk(parse(path))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "fit"
    }
    assert calls <= {"fitting.py", "baselines.py", "linear.py"}, "those two call scikit-learn's"


def test_files_and_functions_stay_short():
    long = []
    for path in FILES:
        if len(path.read_text(encoding="utf-8").splitlines()) > 400:
            long.append(path.name)
        for node in ast.walk(parse(path)):
            if isinstance(node, ast.FunctionDef) and _length(node) > 45:
                long.append(f"{path.name}: {node.name}")
    assert not long


def _length(function):
    """Lines of a function without its docstring and arguments."""
    body = function.body
    if isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant):
        body = body[1:]
    return body[-1].end_lineno - body[0].lineno + 1 if body else 0

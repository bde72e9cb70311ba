"""Where packages stand: each imports only what is left of it, and no circle of files is there."""

import ast
import pathlib

import pytest

import tltf
from tltf.config.commands import COMMANDS
from tltf.runs import layout

ROOT = pathlib.Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "tltf"
ORDER = "errors < files < config < console < runs < data, graphs < backbones, heads < methods < caching < models < training, evaluation < active_learning < serving < experiments < commands"
"""A package imports only those left of it, never a neighbour that a comma joins to it."""
RANK = {name: place for place, names in enumerate(ORDER.split(" < ")) for name in names.split(", ")}
WITHOUT_TENSORFLOW = {"errors", "files", "config", "console", "runs", "commands"}
HEAVY = {"tensorflow", "keras", "keras_hub", "tensorflow_text", "tensorflow_datasets", "sklearn"}
FILES = sorted(PACKAGE.rglob("*.py"))
MOST_AT_THE_TOP = 17
"""Entries beside the commands."""
MOST_LINES, MOST_FUNCTION_LINES = 400, 45


def dotted(path):
    """`tltf.data.images.preprocessing` of its path."""
    names = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(names[:-1] if names[-1] == "__init__" else names)


NAMES = {dotted(path): path for path in FILES}


def package_of(name):
    """The package of a dotted name below tltf; `commands` for a command and for the program."""
    part = [*name.split("."), ""][1]
    return "commands" if part in {*COMMANDS, "__main__"} else part


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


def files_of(names):
    """The files of tltf that imported names need: a module, or the module of an attribute."""
    for name in names:
        owner = name if name in NAMES else name.rpartition(".")[0]
        if owner in NAMES:
            yield NAMES[owner]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_left(path):
    own = package_of(dotted(path))
    for name in imported(parse(path)):
        assert not name.startswith((".", "None.")), "imports are absolute"
        assert name.split(".")[0] not in ("tests", "tools")
        if name.split(".")[0] == "tltf" and own:
            other = package_of(name)
            assert other == own or RANK[other] < RANK[own], f"{own} imports {other}: {name}"


def test_packages_stand_in_the_order_and_the_top_is_short():
    there = {package_of(dotted(path)) for path in FILES} - {""}
    assert there == set(RANK)
    top = {path.relative_to(PACKAGE).parts[0].removesuffix(".py") for path in FILES}
    assert len({name for name in top if not name.startswith("__")} - {*COMMANDS}) <= MOST_AT_THE_TOP


def test_no_circle_of_files():
    """Imports inside functions count too: a file that needs its caller is in the wrong place."""
    arrows = {path: set(files_of(imported(parse(path)))) - {path} for path in FILES}
    left = dict(arrows)
    while ends := [path for path in left if not left[path] & left.keys()]:
        for path in ends:
            del left[path]
    assert not left, f"in or above a circle: {sorted(map(dotted, left))}"


def test_only_config_and_the_users_own_functions_are_found_by_a_string():
    """A string is an arrow that this file does not see."""
    calls = {dotted(path) for path in FILES if "load_target(" in path.read_text(encoding="utf-8")}
    assert calls == {"tltf.config.call_strings", "tltf.config.commands"}


@pytest.mark.parametrize(
    "path",
    [path for path in FILES if package_of(dotted(path)) in WITHOUT_TENSORFLOW],
    ids=lambda path: str(path.relative_to(PACKAGE)),
)
def test_what_commands_begin_with_is_free_of_tensorflow(path):
    assert not {name.split(".")[0] for name in imported(parse(path), is_nested=False)} & HEAVY


def test_commands_import_services_inside_functions_only():
    for path in FILES:
        if package_of(dotted(path)) == "commands":
            for name in imported(parse(path), is_nested=False):
                if name.split(".")[0] == "tltf":
                    assert package_of(name) in WITHOUT_TENSORFLOW, f"{path.name} imports {name}"


def test_names_of_the_package_are_no_modules():
    assert not {package_of(dotted(path)) for path in FILES} & set(tltf.__all__)


def test_only_fit_calls_fit():
    calls = {
        dotted(path)
        for path in FILES
        for node in ast.walk(parse(path))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "fit"
    }
    ours = {name for name in calls if not name.startswith("tltf.evaluation.")}
    assert ours == {"tltf.training.fit"}, "those of evaluation call scikit-learn's"


def test_no_line_is_kept_from_the_formatter():
    """A file that is too long with its lines laid out is two files."""
    mark = "fmt" + ": "
    for folder in ("tltf", "tests", "tools"):
        for path in (PACKAGE.parent / folder).rglob("*.py"):
            text = path.read_text(encoding="utf-8")
            assert f"# {mark}skip" not in text and f"# {mark}off" not in text, path


def test_files_and_functions_stay_short():
    long = []
    for path in FILES:
        if len(path.read_text(encoding="utf-8").splitlines()) > MOST_LINES:
            long.append(path.name)
        for node in ast.walk(parse(path)):
            if isinstance(node, ast.FunctionDef) and _length(node) > MOST_FUNCTION_LINES:
                long.append(f"{path.name}: {node.name}")
    assert not long


def _length(function):
    """Lines of a function without its docstring and arguments."""
    body = function.body
    if isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant):
        body = body[1:]
    return body[-1].end_lineno - body[0].lineno + 1 if body else 0


def test_only_the_layout_spells_names_of_the_run_folder():
    names = {*layout.OF_A_RUN, *layout.OF_A_TRAINING, layout.CORE, layout.WEIGHTS} - {layout.LOCK}
    spelled = {
        (dotted(path), node.value)
        for path in FILES
        for node in ast.walk(parse(path))
        if isinstance(node, ast.Constant) and node.value in names
    }
    assert {module for module, _ in spelled} <= {"tltf.runs.layout", "tltf.console.streams"}

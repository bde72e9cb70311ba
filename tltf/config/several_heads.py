"""What a run of several heads on one network does not take; the only place that says so."""

from collections.abc import Iterator

from tltf.config.catalogs import METHODS
from tltf.config.options import Options
from tltf.config.paths import HEAD_STARTS
from tltf.config.recipe import Recipe
from tltf.config.task_heads import TaskCalls
from tltf.errors import FlagError

SOLVER = "method"
"""The value of a method's argument `solver` that solves for one head."""
EXPORTED_AS = "saved_model"
"""The only format that several heads are exported in."""


def require_taken(options: Options, recipe: Recipe) -> None:
    """Checks that everything in a run takes several heads, where --head names several.

    Args:
        options: the options of the run.
        recipe: what their call strings name.

    Raises:
        FlagError: something takes one head only; the error names it.
    """
    if not isinstance(recipe.head, TaskCalls):
        return
    tasks = ", ".join(recipe.head.tasks)
    for flag, thing, fix in _taking_one(options, recipe):
        what = f"{thing} takes one head, and --head names several ({tasks})"
        raise FlagError(what, flag=flag, fix=fix)


def refuse(thing: str, flag: str, fix: str = "") -> FlagError:
    """The FlagError for something that takes one head and was given a run of several."""
    what = f"{thing} takes a run of one head, and this one has several"
    return FlagError(what, flag=flag, fix=fix or "train each task by itself")


def _taking_one(options: Options, recipe: Recipe) -> Iterator[tuple[str, str, str]]:
    """(flag, what takes one head, what to do) for all that takes one head only."""
    method = recipe.method
    if method and (method.row is None or not method.row.several_heads):
        names = [name for name, row in METHODS.items() if row.several_heads]
        yield "method", f"the method {method.name}", f"--method= one of {', '.join(names)}"
    if method and method.kwargs.get("solver") == SOLVER:
        solver = method.kwargs["solver"]
        yield "method", f"solver={solver}", f"--method='{method.name}(solver=gradient)'"
    if recipe.baselines:
        yield "baseline", f"the baseline {recipe.baselines[0]}", "--baseline=none"
    for form in recipe.formats:
        if form.name != EXPORTED_AS:
            yield "export_format", f"the format {form.name}", f"--export_format={EXPORTED_AS}"
    if recipe.split.row is None or recipe.split.row.round:
        yield "split", f"--split={recipe.split.name}", "--split=holdout"
    if options.runtime.seeds > 1:
        yield "seeds", "--seeds", "--seeds=1"
    usual = {"class_weights": "none", "sampling": "none", "metric": "auto", "abstain": "none"}
    for name, value in usual.items():
        if getattr(options.train, name) != value:
            yield name, f"--{name}", f"--{name}={value}"
    if options.model.head_weights not in HEAD_STARTS:
        yield "head_weights", "--head_weights", "leave --head_weights out"

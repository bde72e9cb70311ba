"""Loading of data: the Source of a call string of --data, and the splits of a run's options."""

import dataclasses

from tltf.config import call_strings, task_heads
from tltf.config.call_strings import Call
from tltf.config.catalogs.row import HeadRow, Row
from tltf.config.catalogs.sources import SOURCES
from tltf.config.data_sets import DataCalls
from tltf.config.option_groups import ScanOptions
from tltf.config.options import Options
from tltf.config.recipe import DataRecipe, label_kind_of, may_order_classes
from tltf.config.task_heads import TaskCalls
from tltf.data import fewer_rows, more_rows, near_duplicates, splits, task_labels, united_sets
from tltf.data.source import LoadSettings, Source, Splits, require_labels
from tltf.data.texts import copies
from tltf.errors import FlagError


def load(
    text: str | Call[Row],
    *,
    seed: int = 0,
    scan: ScanOptions | None = None,
    least_classes: int = 2,
    target: str = "class",
    flag: str = "data",
    needs_labels: bool = True,
    leaves_out_unlabelled: bool = False,
) -> Source:
    """The Source that a call string of --data names, checked and counted.

    Args:
        text: a call string such as `csv(path=all.csv, text=text, label=label)`, or its Call.
        seed: seed of the random choices in a source, such as which rows `num_train` takes.
        scan: what the scan lets pass; None for the defaults of the flags.
        least_classes: smallest number of classes; one is enough to evaluate on.
        target: name of the kind of labels that labels are read as; the head's `target`.
        flag: name of the flag that names it.
        needs_labels: whether images must be in folders of classes.
        leaves_out_unlabelled: whether a row of a table with an empty label is left out, and is no bad row.

    Raises:
        FlagError: a source, an argument, a path or a column is unknown.
        DataError: the data cannot be used.
        StorageError: a packaged sample cannot be fetched.
    """
    given = seed, scan or ScanOptions(), least_classes, target, needs_labels, leaves_out_unlabelled
    settings = LoadSettings(*given)
    source = call_strings.pick(SOURCES, text, flag=flag).build(settings)
    return source if source.labels is None else source.convert_labels(target)


def load_labelled(
    call: Call[Row],
    head: Call[HeadRow],
    *,
    seed: int = 0,
    scan: ScanOptions | None = None,
    least_classes: int = 2,
    leaves_out_unlabelled: bool = False,
) -> Source:
    """The labelled Source that a call of --data names, with its classes in the order of a head's outputs.

    Args:
        call: of the source.
        head: of the head, or of several.
        seed: see `load`.
        scan: see `load`.
        least_classes: see `load`.
        leaves_out_unlabelled: see `load`; not for several tasks.

    Raises:
        FlagError: the data has no labels, or as `load` and `order_classes` say.
        DataError, StorageError: as `load` says.
    """
    if isinstance(call, DataCalls) and isinstance(head, TaskCalls):
        found = {
            task: load_labelled(
                call.sets[task], own, seed=seed, scan=scan, least_classes=least_classes
            )
            for task, own in head.tasks.items()
        }
        return united_sets.unite(found, call.alpha)
    if isinstance(head, TaskCalls):
        return _load_tasks(call, head, seed, scan or ScanOptions(), least_classes)
    target = label_kind_of(head)
    source = load(
        call,
        seed=seed,
        scan=scan,
        least_classes=least_classes,
        target=target,
        leaves_out_unlabelled=leaves_out_unlabelled,
    )
    require_labels(source)
    return order_classes(source, head)


def _load_tasks(
    call: Call[Row], heads: TaskCalls, seed: int, scan: ScanOptions, least_classes: int
) -> Source:
    """The Source of several tasks: the data is read for each column of labels, and once without one.

    So each task has the checks of its own kind of labels. Rows without a label of a task are not bad
    rows, so that no share of them is too large.
    """
    lenient, found = dataclasses.replace(scan, max_bad_fraction=1.0), dict[str, Source]()
    for task, column in task_heads.columns_of(call, heads.tasks).items():
        found[task] = load_labelled(
            call.change(label=column),
            heads.tasks[task],
            seed=seed,
            scan=lenient,
            least_classes=least_classes,
        )
    ids = [list(source.ids) for source in found.values()]
    if all(own == ids[0] for own in ids):
        return task_labels.join(next(iter(found.values())), found)
    return task_labels.join(load(call.change(label=""), seed=seed, scan=scan), found)


def order_classes(source: Source, head: Call[HeadRow]) -> Source:
    """The source with its classes in the order of the head's outputs.

    A head is built only where it may have an order of its own, because that needs TensorFlow.

    Args:
        source: the rows.
        head: the call of the head.

    Raises:
        FlagError: the head orders other classes than the source has.
    """
    if not may_order_classes(head):
        return source
    return source.reorder_classes(head.build().class_order(source))


def load_parts(options: Options, recipe: DataRecipe, looks_near: bool = False) -> Splits:
    """The checked Splits of a run's data.

    Args:
        options: the options of the run.
        recipe: what their call strings name.
        looks_near: whether near duplicates are looked for.

    Raises:
        FlagError: the data has no labels.
        DataError: the data or the splits cannot be used.
    """
    source = load_labelled(
        recipe.source,
        recipe.head,
        seed=options.runtime.seed,
        scan=options.data.scan,
        leaves_out_unlabelled=is_read_twice(recipe),
    )
    if options.data.limit:
        source = fewer_rows.limit_rows(source, options.data.limit, options.runtime.seed)
    parts = splits.split(source, recipe.split, options.runtime.seed, options.data.scan)
    if looks_near:
        parts = parts.with_scan(near_duplicates.find_near_duplicates(source, parts))
    return _with_more_rows(parts, options, recipe)


def is_read_twice(recipe: DataRecipe) -> bool:
    """Whether --data and --unlabelled_data are one table, in which only some rows have a label."""
    own, other = recipe.source, recipe.unlabelled
    if other is None or isinstance(own, DataCalls):
        return False
    path = own.kwargs.get("path")
    return bool(path) and (own.name, path) == (other.name, other.kwargs.get("path"))


def _with_more_rows(parts: Splits, options: Options, recipe: DataRecipe) -> Splits:
    """The splits with the rows of --target_data and --unlabelled_data.

    Raises:
        FlagError: there are several tasks, which no method learns from rows without labels.
    """
    given = [f"{role}_data" for role in ("target", "unlabelled") if getattr(recipe, role)]
    if given and isinstance(recipe.head, TaskCalls):
        what = "is for one task, and --head names several"
        raise FlagError(what, flag=given[0], fix="--head=classify")

    def read(call: Call[Row], flag: str) -> Source:
        if flag == "unlabelled_data" and call.kwargs.get("label"):
            call = call.change(label="")
        return load(
            call,
            seed=options.runtime.seed,
            scan=options.data.scan,
            least_classes=1,
            target=recipe.label_kind,
            flag=flag,
            needs_labels=flag != "unlabelled_data",
        )

    if recipe.target:
        target = read(recipe.target, "target_data").reorder_classes(parts.train.class_names)
        parts = more_rows.add_target(parts, target, recipe, options)
    if recipe.unlabelled:
        parts = more_rows.add_unlabelled(parts, read(recipe.unlabelled, "unlabelled_data"))
    return parts


def training_parts(options: Options, recipe: DataRecipe, looks_near: bool = False) -> Splits:
    """The Splits of `load_parts`, with the copies of training texts that --augment adds."""
    from tltf.data import augment  # with TensorFlow, which a scan of texts does not need

    parts = load_parts(options, recipe, looks_near)
    augment.require_modality(recipe.augments, parts["train"].modality)
    parts["train"] = copies.add_copies(parts["train"], recipe.augments, options.runtime.seed)
    return parts

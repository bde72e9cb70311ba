"""From the call string of --data to a Source, and from a run's options to its splits."""

from tltf.config import call_strings
from tltf.config.call_strings import Call
from tltf.config.catalogs.row import Row
from tltf.config.catalogs.sources import SOURCES
from tltf.config.option_groups import ScanOptions
from tltf.config.options import Options
from tltf.config.recipe import DataRecipe
from tltf.data import augment, near_duplicates, splits
from tltf.data.source import LoadSettings, Source, Splits, require_labels
from tltf.data.texts import copies


def load(
    text: str | Call[Row],
    *,
    seed: int = 0,
    scan: ScanOptions | None = None,
    least_classes: int = 2,
    target: str = "class",
) -> Source:
    """The `Source` that a call string of --data names, checked and counted.

    Args:
        text: a call string such as `csv(path=all.csv, text=text, label=label)`, or its Call.
        seed: of the random choices in a source, such as which rows `num_train` takes.
        scan: ScanOptions; None for those of the flags' defaults.
        least_classes: fewer are refused; one will do to evaluate on.
        target: what a label is read as: class, labels (several) or number; the head's `target`.

    Raises:
        FlagError: unknown source, argument, path or column.
        DataError: data that cannot be used.
        StorageError: a packaged sample that cannot be fetched.
    """
    settings = LoadSettings(seed, scan or ScanOptions(), least_classes, target)
    source = call_strings.pick(SOURCES, text, flag="data").build(settings)
    return source if source.labels is None else source.as_target(target)


def load_parts(options: Options, recipe: DataRecipe, looks_near: bool = False) -> Splits:
    """The Splits of a run's data, checked.

    Args:
        options: Options.
        recipe: what their call strings name.
        looks_near: whether near duplicates are looked for.

    Raises:
        FlagError: data without labels.
        DataError: data or splits that cannot be used.
    """
    source = load(
        recipe.source,
        seed=options.runtime.seed,
        scan=options.data.scan,
        target=recipe.label_kind,
    )
    require_labels(source)
    source = source.in_classes(recipe.head.build().class_order(source))
    parts = splits.split(source, recipe.split, options.runtime.seed, options.data.scan)
    if not looks_near:
        return parts
    scan = near_duplicates.find_near_duplicates(source, parts)
    return parts.with_scan(scan)


def training_parts(options: Options, recipe: DataRecipe, looks_near: bool = False) -> Splits:
    """`load_parts` with the copies of training texts that --augment adds."""
    parts, wanted = load_parts(options, recipe, looks_near), recipe.augments
    augment.require_modality(wanted, parts["train"].modality)
    parts["train"] = copies.add_copies(parts["train"], wanted, options.runtime.seed)
    return parts

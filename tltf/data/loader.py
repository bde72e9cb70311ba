"""From the call string of --data to a Source, and from a run's options to its splits."""

from typing import Any

from tltf.config import call_strings
from tltf.config.catalogs.heads import HEADS
from tltf.config.catalogs.sources import SOURCES
from tltf.config.command_options import FindOptions
from tltf.config.options import Options, ScanOptions
from tltf.data import augment, near_duplicates, splits
from tltf.data.source import LoadSettings, Source, Splits, require_labels
from tltf.data.texts import copies


def load(
    text: Any,
    *,
    seed: int = 0,
    scan: ScanOptions | None = None,
    least_classes: int = 2,
    target: str = "class",
) -> Source:
    """The `Source` that a call string of --data names, checked and counted.

    Args:
        text: a call string such as `csv(path=all.csv, text=text, label=label)`.
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


def load_parts(options: FindOptions | Options, looks_near: bool = False) -> Splits:
    """The Splits of a run's data, checked.

    Args:
        options: Options.
        looks_near: whether near duplicates are looked for.

    Raises:
        FlagError: unknown names, or data without labels.
        DataError: data or splits that cannot be used.
    """
    head = call_strings.pick(HEADS, options.model.head, "head").build()
    source = load(
        options.data.data,
        seed=options.runtime.seed,
        scan=options.data.scan,
        target=head.target,
    )
    require_labels(source)
    source = source.in_classes(head.class_order(source))
    parts = splits.split(source, options.data.split, options.runtime.seed, options.data.scan)
    if not looks_near:
        return parts
    scan = near_duplicates.find_near_duplicates(source, parts)
    return parts.with_scan(scan)


def training_parts(options: FindOptions | Options, looks_near: bool = False) -> Splits:
    """`load_parts` with the copies of training texts that --augment adds."""
    parts, wanted = load_parts(options, looks_near), options.data.augment
    augment.require_modality(wanted, parts["train"].modality)
    parts["train"] = copies.add_copies(parts["train"], wanted, options.runtime.seed)
    return parts

"""From the call string of --data to a Source."""

from tltf import specs
from tltf.catalogs.sources import SOURCES
from tltf.data.source import LoadSettings
from tltf.options import ScanOptions


def load(text, *, seed=0, scan=None, least_classes=2, target="class"):
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
    source = specs.pick(SOURCES, text, flag="data").build(settings)
    return source if source.labels is None else source.as_target(target)

"""How inputs of a prediction are read: from which columns, and of tables in which dialect."""

import dataclasses
from typing import Any

from tltf.config import call_strings, data_sets
from tltf.config.catalogs import SOURCES
from tltf.config.command_options import TableOptions
from tltf.data.sources.table_files import Dialect
from tltf.errors import FlagError

COLUMNS = {"text": ("text",), "image": ("path", "image")}
"""Modality -> columns that are read where the run names none."""


@dataclasses.dataclass(frozen=True)
class InputFormat:
    """The format in which inputs are read.

    Args:
        modality: `image` or `text`.
        columns: field of an example -> names of columns, of which the first that a table has is read.
        has_column: whether --column names the column, so that no other is read.
        run_column: the column that the run's own data had; empty where there was none.
        dialect: the dialect of tables.
        has_delimiter: whether --delimiter gives the dialect's delimiter.
    """

    modality: str
    columns: dict[str, tuple[str, ...]]
    has_column: bool = False
    run_column: str = ""
    dialect: Dialect = dataclasses.field(default_factory=lambda: Dialect(flag="input"))
    has_delimiter: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """All columns that may be read."""
        return tuple(name for names in self.columns.values() for name in names)


def format_of(
    options: TableOptions, modality: str, data: str, fields: tuple[str, ...] = ()
) -> InputFormat:
    """The InputFormat of options; what they leave open is as in the run's data.

    Args:
        options: the flags that say how tables are read.
        modality: `image` or `text`.
        data: the call string of the run's --data.
        fields: the fields of the run's examples; the modality alone by default.

    Raises:
        FlagError: the delimiter cannot separate columns, or --column has too few or too many names.
    """
    kwargs = read_arguments_of(data, modality)
    usual = kwargs.get(modality, "")
    kwargs = kwargs if usual else {}
    dialect = Dialect(
        options.delimiter or kwargs.get("delimiter", ","),
        options.encoding or kwargs.get("encoding", "utf-8"),
        options.quote or kwargs.get("quote", '"'),
        flag="input",
    )
    dialect.check()
    columns = _columns_of(options.column, fields or (modality,), usual, modality)
    has_column, has_delimiter = bool(options.column), bool(options.delimiter)
    return InputFormat(modality, columns, has_column, usual, dialect, has_delimiter)


def _columns_of(
    asked: str, fields: tuple[str, ...], usual: str, modality: str
) -> dict[str, tuple[str, ...]]:
    """`InputFormat.columns`; those of several fields have the fields' names unless `asked` has others."""
    if len(fields) == 1:
        names = (asked,) if asked else (usual, *COLUMNS[modality])
        return {fields[0]: tuple(filter(None, names))}
    names = tuple(part.strip() for part in asked.split("|")) if asked else fields
    if len(names) != len(fields):
        what = f"the model takes {len(fields)} columns per input: {', '.join(fields)}"
        raise FlagError(what, flag="column", fix=f"--column='{'|'.join(fields)}'")
    return {field: (name,) for field, name in zip(fields, names, strict=True)}


def column_of(data: str, modality: str, of: str = "") -> str:
    """The column that a run's --data reads texts, images or labels from; empty where it names none.

    Args:
        data: a call string of SOURCES.
        modality: `image` or `text`.
        of: the argument that names the column, such as `label`; empty for the modality.
    """
    return read_arguments_of(data, modality).get(of or modality, "")


def read_arguments_of(data: str, modality: str) -> dict[str, Any]:
    """The arguments of a run's --data; {} where its source has no columns of the modality.

    Of several data sets they are those of the first.
    """
    if data_sets.are_several(data):
        data = next(iter(data_sets.texts_of(data).values()))
    if call_strings.name_of(data) == call_strings.IN_MEMORY:
        return call_strings.read_arguments(data, "data")
    row = SOURCES.get(call_strings.name_of(data))
    if row is None or modality not in row.args:
        return {}
    return call_strings.pick(SOURCES, data, "data").kwargs

"""The reader of labels in the records of a table."""

import ast
import collections
import json
from collections.abc import Iterable, Sequence
from typing import Any

from tltf.data import label_kinds, row_scan
from tltf.data.row_scan import Scan
from tltf.data.sources import table_files
from tltf.errors import DataError, FlagError

NOT_A_LABEL = frozenset(("", "nan", "NaN", "<NA>", "NaT"))
"""The cells without a label: empty ones, and what pandas writes for them. NA, null and None are names."""
OTHER_SEPARATORS = ",;#/ "
MOST_TEXTS = 10_000
"""The number of different cells that are searched for other separators."""
SEVERAL_SHARE = 0.1
"""The share of cells such as `cat|dog` from which on they are taken for several labels, not for names."""


class LabelReader:
    """A reader of the labels of records.

    Args:
        column: name of the column, or names of several columns joined with `|`; empty without labels.
        target: the kind of labels, a name of label_kinds.KINDS.
        separator: what stands between several labels in a cell; empty for `|`.
        leaves_out_empty: whether a row with an empty label is left out, and is no bad row.
    """

    def __init__(
        self, column: str, target: str, separator: str = "", *, leaves_out_empty: bool = False
    ) -> None:
        self.kind = label_kinds.KINDS[target]
        """The kind of the labels: that of `target`, or another where they stand in several columns."""
        self._column, self._is_several = column, target == label_kinds.LABELS
        self._is_class = target == label_kinds.CLASS
        self._is_counted = self._is_class or self._is_several
        self._separator, self._leaves_out_empty = separator, leaves_out_empty
        self._columns = [column] if column else []
        self._texts: collections.Counter[str] = collections.Counter()
        self._has_several = False

    @property
    def has_labels(self) -> bool:
        """Whether the data has labels."""
        return bool(self._column)

    def find_columns(self, record: dict[str, Any]) -> list[str]:
        """The names of the columns of labels, which a record must have."""
        if self.kind.columns_kind and self._column and self._value(record) is None:
            parts = self._column.split(label_kinds.SEPARATOR)
            self._columns = list(dict.fromkeys(part.strip() for part in parts))
            if len(self._columns) == 1:
                self._column = self._columns[0]
            else:
                self.kind = label_kinds.KINDS[self.kind.columns_kind]
        return self._columns

    @property
    def only_column(self) -> str | None:
        """The name of the column of labels; empty without labels, None where there are several."""
        return None if len(self._columns) > 1 else self._column

    @property
    def class_names(self) -> Sequence[str] | None:
        """The class names where the columns are the classes; None where the cells name them."""
        return self.kind.names_of_columns(self._columns)

    def _value(self, record: dict[str, Any], column: str = "") -> Any:
        return table_files.field(record, column or self._column)

    def __call__(self, record: dict[str, Any], row_id: str, scan: Scan) -> str | None:
        """The text of the label of a record; None if the record was skipped.

        Raises:
            DataError: a label has the separator in its name.
            FlagError: the cell is a list or an object where one class is read.
        """
        if len(self._columns) > 1:
            self._has_several = True
            return self._read_columns(record, row_id, scan)
        value = self._value(record)
        if isinstance(value, (list, dict)) and not (self._is_several and isinstance(value, list)):
            raise self._list_error(value, row_id)
        name = self._read_cell(value, 1)
        if name is None:
            leave_out = scan.exclude if self._leaves_out_empty else scan.skip
            leave_out(row_id, "has no label")
        return name

    def read_cells(
        self, values: Sequence[str | int], counts: Sequence[int], num_others: int
    ) -> list[str | None] | None:
        """The texts of the labels in cells of the only column, None for a cell that is not a label.

        Args:
            values: N different cells, in the order in which they stand in the file.
            counts: N, how often each of them stands there.
            num_others: the number of cells among them that are read one by one.

        Returns:
            None where there are so many different cells that it matters in which order all are read.
        """
        if self._is_counted and len(self._texts) + len(values) + num_others > MOST_TEXTS:
            return None
        names: list[str | None] = []
        for value, count in zip(values, counts, strict=True):
            try:
                names.append(self._read_cell(value, count))
            except DataError:
                names.append(None)
        return names

    def _read_cell(self, value: Any, count: int) -> str | None:
        """The text of the label in cells of one value; None where there is no label.

        Args:
            value: of the cells.
            count: the number of such cells.

        Raises:
            DataError: a label has the separator in its name.
        """
        if self._is_several and (names := self._split_cell(value)) is not None:
            self._has_several = self._has_several or len(names) > 1
            return label_kinds.join_labels(names)
        name = label_text(value)
        if name not in NOT_A_LABEL:
            if self._is_counted and (len(self._texts) < MOST_TEXTS or name in self._texts):
                self._texts[name] += count
            return name
        return "" if self._is_several else None

    def _list_error(self, value: list[Any] | dict[str, Any], row_id: str) -> FlagError:
        is_list = isinstance(value, list)
        fix = "--head=multi_label" if is_list else f"label={self._column}.FIELD"
        what = f"{self._column} is {'a list' if is_list else 'an object'}, not one class"
        return FlagError(what, flag="data", place=row_id, fix=fix)

    def _split_cell(self, value: Any) -> list[str] | None:
        """The labels in a list, a text that spells one, or a text with the separator; otherwise None."""
        if isinstance(value, list):
            return [str(item).strip() for item in value]
        if isinstance(value, str) and value.strip()[:1] == "[":
            items = _parse_list(value.strip())
            if items is not None:
                return [str(item).strip() for item in items]
        if isinstance(value, str) and self._separator:
            names = [part.strip() for part in value.split(self._separator)]
            return [name for name in names if name not in NOT_A_LABEL]
        return None

    def try_label(self, record: dict[str, Any]) -> str:
        """The label of a record that is skipped for another reason; empty if it has none."""
        try:
            return self(record, "", row_scan.Scan("")) or ""
        except (DataError, FlagError):
            return ""

    def warn_of_other_separators(self, scan: Scan) -> None:
        """Warns where no row has more than one label, and adds a fault where classes are several labels."""
        several = {text for text in self._texts if label_kinds.SEPARATOR in text}
        if self._is_class and several:
            share = sum(self._texts[text] for text in several) / self._texts.total()
            if share >= SEVERAL_SHARE and _has_repeated_parts(self._texts, label_kinds.SEPARATOR):
                what = f"{share:.0%} of the labels are several labels each, such as {sorted(several)[0]!r}"
                scan.add(FlagError(what, flag="head", fix="--head=multi_label"))
        if not self._is_several or self._has_several or several or not self._texts:
            return
        marks = [mark for mark in OTHER_SEPARATORS if _has_repeated_parts(self._texts, mark)]
        fix = f"; label_separator='{marks[0]}' splits them there" if marks else ""
        example = (
            f", such as {next(t for t in sorted(self._texts) if marks[0] in t)!r}" if marks else ""
        )
        scan.warn(f"no row has more than one label{example}; labels are split at |{fix}")

    def _read_columns(self, record: dict[str, str], row_id: str, scan: Scan) -> str | None:
        texts = {column: label_text(self._value(record, column)) for column in self._columns}
        label, fault = self.kind.join_columns(texts)
        if fault:
            scan.skip(row_id, fault)
            return None
        return label


def _has_repeated_parts(texts: Iterable[str], mark: str) -> bool:
    """Whether texts have parts between a mark, most of which stand in several texts."""
    parts_of_texts = [
        {part.strip() for part in text.split(mark)} - {""} for text in texts if text.strip(mark)
    ]
    with_mark = [parts for parts in parts_of_texts if len(parts) > 1]
    counts = collections.Counter(part for parts in parts_of_texts for part in parts)
    shared = sum(any(counts[part] > 1 for part in parts) for parts in with_mark)
    return len(with_mark) > 0 and shared * 2 > len(with_mark)


def _parse_list(text: str) -> list[Any] | None:
    """The list that a text spells in JSON or Python; None if it is not a list."""
    for read in (json.loads, ast.literal_eval):
        try:
            value = read(text)
        except (ValueError, SyntaxError, RecursionError, MemoryError, TypeError):
            continue
        if isinstance(value, list):
            return value
    return None


def label_text(value: object) -> str:
    """The text of a label; empty for a value that is not a label."""
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        value = json.dumps(value) if isinstance(value, bool) else ""
    return str(value).strip()

"""What a record of a table says as its label."""

import json

from tltf import targets
from tltf.data import checks

NOT_A_LABEL = frozenset(("", "nan", "NaN"))
"""Empty, and what pandas writes for it; NA, null and None are names like any other."""
FLAGS = {"1": True, "1.0": True, "true": True, "True": True,
         "0": False, "0.0": False, "false": False, "False": False}  # fmt: skip
"""What a column of a label of its own may hold."""


class Labelling:
    """Reads the label of a record.

    Args:
        column: its name, or those of columns of 0 and 1 joined with `|`.
        target: one of targets.TARGETS.
    """

    def __init__(self, column, target):
        self._column, self._is_several = column, target == targets.LABELS
        self._columns = [column] if column else []

    @property
    def is_asked_for(self):
        """Whether there are labels."""
        return bool(self._column)

    def check(self, record, file):
        """Raises FlagError for a column that the first record does not have."""
        if self._is_several and self._column and self._column not in record:
            self._columns = [part.strip() for part in self._column.split(targets.SEPARATOR)]
        for column in self._columns:
            checks.check_column(column, list(record), "label", file)

    def __call__(self, record, row_id, scan):
        """The text of the label; None if the record was skipped."""
        if len(self._columns) > 1:
            return self._from_columns(record, row_id, scan)
        value = record.get(self._column)
        if self._is_several and isinstance(value, list):
            return targets.joined(value)
        name = label_text(value)
        if name not in NOT_A_LABEL:
            return name
        if self._is_several:
            return ""
        scan.skip(row_id, "has no label")
        return None

    def named(self, record):
        """The label of a record that is skipped for another reason; empty if it has none."""
        label = self(record, "", checks.Scan(""))
        return label or ""

    def _from_columns(self, record, row_id, scan):
        found = {column: label_text(record.get(column)) for column in self._columns}
        odd = [f"{column} is {text!r}" for column, text in found.items() if text not in FLAGS]
        if odd:
            scan.skip(row_id, f"{odd[0]}, neither 0 nor 1")
            return None
        return targets.joined(column for column, text in found.items() if FLAGS[text])


def label_text(value):
    """The text of a label; empty for what is none."""
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        value = json.dumps(value) if isinstance(value, bool) else ""
    return str(value).strip()

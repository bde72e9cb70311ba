"""Exports a model in one or several formats, and writes the table that compares them."""

import contextlib
import dataclasses
import json
import pathlib
import sys
from collections.abc import Sequence
from typing import Any

from tltf.config.call_strings import Call
from tltf.config.catalogs import Row
from tltf.config.checks import EXPORT_FORMAT
from tltf.config.command_options import ExportOptions
from tltf.data import run_data
from tltf.data.source import Source, Splits
from tltf.errors import DataError, FlagError, ModelError, StorageError, printable
from tltf.evaluation import evaluators
from tltf.evaluation.report import format_rows
from tltf.evaluation.report.format_rows import FormatRow
from tltf.evaluation.report.wording import Wording
from tltf.files import atomic_files, untrusted
from tltf.models import loading
from tltf.models.transfer_model import TransferModel
from tltf.runs import layout, machine
from tltf.serving.export import bundle, measuring, prepared_rows


class Exports:
    """The exports of a model in several formats: written when made, checked and in place by `finish`.

    A SavedModel alone is checked on some rows while the caller goes on. As soon as there is another
    format, all of them compute the whole test split in their own runtimes and are timed.

    Args:
        trained: the model, with its splits if they are at hand.
        calls: the calls of the formats.
        root: the folder of the exports, see `layout.format_folder`.
        version: whole number above 0, or None for one more than the largest of any format.
        verify: whether they are checked.

    Raises:
        FlagError: a version exists, or a package is missing.
        ModelError: a format cannot hold the model.
        StorageError: the folder cannot be written.
    """

    def __init__(
        self,
        trained: TransferModel,
        calls: Sequence[Call[Row]],
        root: pathlib.Path | str,
        version: int | None,
        verify: bool,
    ) -> None:
        self.rows: list[FormatRow] = []
        self._trained, self._root, self._verify = trained, pathlib.Path(root), verify
        self._exports: list[Any] = []
        version = version or layout.next_version(self._root)
        for call in calls:
            getattr(call.load(), "require_packages", lambda: None)()
        try:
            for call in calls:
                self._exports.append(
                    call.build(trained, folder_of(self._root, call), version, verify)
                )
        except BaseException:
            self.abandon()
            raise

    def finish(self) -> list[pathlib.Path]:
        """The folders of the exports, which are there from now on; `rows` has the table.

        Raises:
            ModelError: an export gives other answers; then no export is left.
            StorageError: the folder cannot be written.
        """
        with contextlib.ExitStack() as stack:
            stack.callback(self.abandon)
            if self._verify and any(
                hasattr(export, "require_packages") for export in self._exports
            ):
                self._measure()
            paths = [export.finish() for export in self._exports]
            stack.pop_all()
        if self.rows:
            _write_table(self._root, self._trained, self.rows)
        return paths

    def abandon(self) -> None:
        """Removes all that is not in place yet."""
        for export in self._exports:
            export.abandon()

    def _measure(self) -> None:
        """Fills `rows`: the model itself, and each format that can be measured."""
        head = self._trained.core.head
        said = evaluators.evaluator_for(head).wording
        with prepared_rows.prepare(self._trained) as prepared:
            rows = [measuring.own_row(self._trained, prepared, format_rows.MODEL)]
            for export in self._exports:
                if not hasattr(export, "measure"):
                    continue
                row = export.measure(prepared)
                place = export.target.relative_to(self._root).as_posix()
                rows.append(dataclasses.replace(row, place=place))
                _say(rows[-1], said)
        self.rows = rows


def _say(row: FormatRow, said: Wording) -> None:
    """Prints what was measured of a format on standard error, and warns of a large loss."""
    what = (
        f"{said.title} {said.text(said.metric, row.score, (2, 4))}, "
        if row.score is not None
        else ""
    )
    print(
        f"export: {row.name} in {row.runtime}, a clean process; {row.num_inputs} inputs, {what}"
        f"largest difference from the model {row.largest_difference:.2g}",
        file=sys.stderr,
    )
    if warning := format_rows.loss_text(row, said):
        print(f"export: warning: {warning}", file=sys.stderr)


def folder_of(root: pathlib.Path, call: Call[Row]) -> pathlib.Path:
    """The folder of the versions of a format, which is named by its arguments that are not defaults."""
    defaults = call.row.args if call.row else {}
    variant = [str(value) for key, value in call.kwargs.items() if defaults.get(key) != value]
    return layout.format_folder(root, call.name.rpartition(":")[2], variant)


def export_run(options: ExportOptions, calls: Sequence[Call[Row]]) -> list[pathlib.Path]:
    """Exports a run and returns the new folders.

    The check uses the run's own test split if its data can still be read and is not code.

    Args:
        options: the options of the command.
        calls: the calls that --format names.
    """
    trained = loading.load(options.run)
    needs_data = options.verify or any(
        call.name != EXPORT_FORMAT or call.kwargs.get("warmup") == bundle.REAL for call in calls
    )
    if needs_data and trained.options is not None:
        trained.splits = _splits_of(options.run)
    root = options.output or pathlib.Path(options.run) / layout.EXPORT
    return Exports(trained, calls, root, options.version, options.verify).finish()


def _splits_of(run: str) -> Splits | dict[str, Source]:
    """The splits of a run; {} if its data cannot be read."""
    try:
        return run_data.load_parts(run)
    except (FlagError, DataError, ModelError, StorageError) as error:
        print(
            f"export: the run's data cannot be read ({printable(error.what)}); made-up inputs "
            "take their place in the check",
            file=sys.stderr,
        )
        return {}


def _write_table(root: pathlib.Path, trained: TransferModel, rows: Sequence[FormatRow]) -> None:
    """Writes table.json and table.md; rows of other folders that are still there are kept."""
    path = root / layout.FORMATS_JSON
    new = {row.place for row in rows}
    kept = [row for row in read_table(root) if row.place and row.place not in new]
    rows = [rows[0], *kept, *rows[1:]]
    with atomic_files.replace_file(path) as file:
        json.dump([row.to_json() for row in rows], file, indent=1, ensure_ascii=False)
    said = evaluators.evaluator_for(trained.core.head).wording
    own = machine.this_machine()
    with atomic_files.replace_file(root / layout.FORMATS_MARKDOWN) as file:
        file.write(format_rows.page(rows, said, f"{own.cpu}, {own.cores} cores"))


def read_table(root: pathlib.Path) -> list[FormatRow]:
    """The rows of table.json whose folders are there, the model itself first; [] without a table."""
    try:
        values = untrusted.read_json(root / layout.FORMATS_JSON)
        rows = [FormatRow.from_json(value) for value in values]
    except (FileNotFoundError, ModelError, TypeError, AttributeError):
        return []
    return [row for row in rows if not row.place or (root / row.place).is_dir()]

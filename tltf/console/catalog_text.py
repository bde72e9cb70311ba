"""The catalogs as --list prints them: backbones as tables by what they take, others as lines."""

import pathlib
import re

from tltf.config.catalogs import BACKBONES, CATALOGS
from tltf.config.catalogs.row import BackboneRow, Row
from tltf.config.defaults import usual_backbone
from tltf.console.lines import amount_text, bytes_text
from tltf.errors import FlagError, StorageError, choices_text
from tltf.files import assets
from tltf.files.asset_catalog import ASSETS

_MILLIONS = re.compile(r"([\d.]+)M parameters")
_REST = re.compile(
    r",? ?[\d.]+M parameters(?: without its dense layers)?|, ImageNet weights from a package:"
    r"|, weights from a package|; it has no pretrained weights"
)
"""What the columns of the table say already."""
BYTES_PER_WEIGHT = 4
ALSO = """\
  --backbone also takes
    hub:PRESET    a preset of KerasHub, such as hub:bert_base_en_uncased: images or texts
    FOLDER        a KerasHub preset or a Hugging Face checkpoint on this disk
    RUN           the folder of a finished tltf run, whose network goes on from there"""


def list_text(name: str) -> str:
    """The rows of a catalog, one per line.

    Raises:
        FlagError: there is no such catalog.
    """
    if name not in CATALOGS:
        near = choices_text(name, CATALOGS)
        raise FlagError(
            f"there is no list {name!r} (choices: {near})",
            flag="list",
            fix=f"--list={near.split(',')[0]}",
        )
    if name == "backbones":
        return _backbones_text()
    rows = CATALOGS[name]
    width = max(map(len, rows), default=0)
    return "\n".join(f"  {key:<{width}}  {_row_text(row)}" for key, row in rows.items())


def _row_text(row: Row) -> str:
    notes = "; ".join(filter(None, [row.paper, row.licence]))
    return row.summary + _arguments_text(row) + (f"  [{notes}]" if notes else "")


def _arguments_text(row: Row) -> str:
    arguments = ", ".join(
        key if isinstance(value, type) else f"{key}={value if value != '' else repr(value)}"
        for key, value in row.args.items()
    )
    return f"  ({arguments})" if arguments else ""


def _backbones_text() -> str:
    header = f"    {'name':<20} {'params':>7} {'size':>7}  {'weights':<9} {'licence':<13} what"
    lines = list[str]()
    for modality in ("image", "text"):
        rows = {name: row for name, row in BACKBONES.items() if row.modality == modality}
        lines += [f"  for {modality}s", header]
        lines += [_backbone_line(name, row) for name, row in rows.items()]
        lines.append("")
    start = "* is a good start: it is fast on a CPU, and its weights come as a package."
    places = "weights: here on this disk, fetched by the first run, or random without any."
    return "\n".join([*lines, f"  {start}", f"  {places}", "", ALSO])


def _backbone_line(name: str, row: BackboneRow) -> str:
    """Its name, number of weights, size of the file, where its weights are, licence, and what it is."""
    found = _MILLIONS.search(row.summary)
    num = round(float(found[1]) * 1e6) if found else 0
    what = _REST.sub("", row.summary).strip(" ,:")
    mark = "*" if name == usual_backbone(row.modality) else " "
    return (
        f"  {mark} {name:<20} {amount_text(num) if num else '-':>7} {_size_text(name, row, num):>7}  "
        f"{_place_of(name, row):<9} {row.licence or '-':<13} {what}{_arguments_text(row)}"
    )


def _size_text(name: str, row: BackboneRow, num: int) -> str:
    if not row.weights:
        return "-"
    return bytes_text(ASSETS[name].size_mb * 1e6 if name in ASSETS else num * BYTES_PER_WEIGHT)


def _place_of(name: str, row: BackboneRow) -> str:
    """`here` where the weights are on this disk, `fetched` where a run fetches them, or `random`."""
    if not row.weights:
        return "random"
    if name in ASSETS:
        try:
            return "here" if (assets.cache_folder() / "assets" / name).is_dir() else "fetched"
        except StorageError:
            return "fetched"
    wanted = _plain(row.keras_class)
    models = pathlib.Path("~/.keras/models").expanduser()
    names = [_plain(path.name) for path in models.glob("*notop*")] if models.is_dir() else []
    is_here = any(file.startswith((f"{wanted}weights", f"{wanted}notop")) for file in names)
    return "here" if is_here else "fetched"


def _plain(name: str) -> str:
    return re.sub(r"[_-]", "", name).lower()

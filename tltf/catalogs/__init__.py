"""The literal tables of everything that a call string can name. No TensorFlow here."""

from tltf.catalogs.augments import AUGMENTS
from tltf.catalogs.backbones import BACKBONES
from tltf.catalogs.formats import FORMATS
from tltf.catalogs.heads import HEADS
from tltf.catalogs.methods import METHODS
from tltf.catalogs.row import BackboneRow, Row
from tltf.catalogs.sources import SOURCES
from tltf.catalogs.splits import SPLITS

CATALOGS: dict[str, dict] = {
    "sources": SOURCES,
    "splits": SPLITS,
    "augments": AUGMENTS,
    "backbones": BACKBONES,
    "heads": HEADS,
    "methods": METHODS,
    "formats": FORMATS,
}

__all__ = [
    "AUGMENTS",
    "BACKBONES",
    "CATALOGS",
    "FORMATS",
    "HEADS",
    "METHODS",
    "SOURCES",
    "SPLITS",
    "BackboneRow",
    "Row",
]

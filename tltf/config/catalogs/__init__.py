"""The literal tables of everything that a call string can name, free of TensorFlow."""

from tltf.config.catalogs.abstentions import ABSTENTIONS
from tltf.config.catalogs.alarms import ALARMS
from tltf.config.catalogs.augments import AUGMENTS
from tltf.config.catalogs.backbones import BACKBONES
from tltf.config.catalogs.explainers import EXPLAINERS
from tltf.config.catalogs.formats import FORMATS
from tltf.config.catalogs.heads import HEADS
from tltf.config.catalogs.methods import METHODS
from tltf.config.catalogs.queries import QUERIES
from tltf.config.catalogs.row import (
    AugmentRow,
    BackboneRow,
    HeadRow,
    MethodRow,
    Row,
    TrackerRow,
)
from tltf.config.catalogs.sources import SOURCES
from tltf.config.catalogs.splits import SPLITS
from tltf.config.catalogs.trackers import TRACKERS

CATALOGS: dict[str, dict] = {
    "sources": SOURCES,
    "splits": SPLITS,
    "augments": AUGMENTS,
    "backbones": BACKBONES,
    "heads": HEADS,
    "methods": METHODS,
    "formats": FORMATS,
    "trackers": TRACKERS,
    "explainers": EXPLAINERS,
    "abstentions": ABSTENTIONS,
    "alarms": ALARMS,
    "queries": QUERIES,
}

__all__ = [
    "ABSTENTIONS",
    "ALARMS",
    "AUGMENTS",
    "BACKBONES",
    "CATALOGS",
    "EXPLAINERS",
    "FORMATS",
    "HEADS",
    "METHODS",
    "QUERIES",
    "SOURCES",
    "SPLITS",
    "TRACKERS",
    "AugmentRow",
    "BackboneRow",
    "HeadRow",
    "MethodRow",
    "Row",
    "TrackerRow",
]

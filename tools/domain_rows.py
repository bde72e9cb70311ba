"""Domains with their features, and methods trained on them in one process: a side of the scripts on domains."""

import copy
import dataclasses
import functools
import pathlib

import keras
import numpy as np
import tensorflow as tf

from tltf.config import checks, defaults
from tltf.config.options import make
from tltf.data import fewer_rows, loader, lookups, more_rows, pipeline, splits, unlabelled
from tltf.data.source import TARGET, TEST, TRAIN, VALIDATION
from tltf.graphs import frozen_prefix
from tltf.graphs.backbone import Backbone
from tltf.graphs.core import attach_head
from tltf.heads.pooling import pool
from tltf.methods.context import FitContext
from tltf.models.forward import ForwardPass
from tltf.training import assembly
from tltf.training.callbacks.log_epochs import EveryLog
from tltf.training.distribution import strategies
from tltf.training.feed import Feed
from tltf.training.fit import Fit

TEXTS = {"backbone": "minilm_l6", "text_length": 48}
IMAGES = {
    "backbone": "efficientnet_lite0",
    "image_size_px": 96,
    "head": "classify(features=[stage_6])",
}
"""With 192 features a light head is chosen in seconds; with the 1,280 of the last stage, on 640 rows, it took 39 s."""
DOMAINS = {
    **{name: (f"vader(domain={name})", TEXTS) for name in ("movie", "amazon", "nyt", "tweets")},
    **{name: (f"emoji(vendor={name})", IMAGES) for name in ("google", "twitter", "symbola")},
    "digits": ("digits", IMAGES),
    "mnist": ("mnist_5k", IMAGES),
}
MOST_ROWS = 1000
"""Rows of a domain that are used, chosen once."""
SPLIT = "holdout(test=.4, validation=.1)"
INPUT = f"{frozen_prefix.BOUNDARY}0"
"""The name under which the features are read, as those of a cached frozen network are."""


@dataclasses.dataclass(frozen=True)
class Domain:
    """The rows of a domain, and what the pretrained network makes of them.

    Args:
        rows: Source.
        features: float32[N, d].
        flags: of its network, by name.
    """

    rows: object
    features: np.ndarray
    flags: dict

    @functools.cached_property
    def places(self):
        """The id of a row -> its place."""
        return {id_: place for place, id_ in enumerate(self.rows.ids)}

    def features_of(self, part):
        """float32[M, d] of some of the rows."""
        return self.features[[self.places[id_] for id_ in part.ids]]


@functools.cache
def domain(folder, name):
    """The Domain of a name, whose features are computed once and kept in FOLDER."""
    text, flags = DOMAINS[name]
    rows, path = loader.load(text), pathlib.Path(folder) / f"{name}.npy"
    if len(rows) > MOST_ROWS:
        rows = fewer_rows.limit_rows(rows, MOST_ROWS, 0)
    if not path.exists():
        options = make(data=text, method="probe", baseline="none", **flags)
        recipe = checks.resolve(options, needs_output=False)
        strategy = strategies.start(options.runtime)
        trained, _ = assembly.assemble(options, recipe, {TRAIN: rows}, strategy)
        backbone = trained.core.backbone
        pooled = pool(backbone.taps, backbone.modality, "auto", trained.core.head.features)
        model = keras.Model(backbone.inputs, {INPUT: pooled})
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, ForwardPass(model, (INPUT,))(trained.dataset(rows, 128))[: len(rows)])
    return Domain(rows, np.load(path), flags)


class Case:
    """The rows of one pair of domains under one seed, with their features.

    Args:
        folder: of the features.
        pair: `SOURCE > TARGET`, names of DOMAINS.
        seed: of the splits and of the training.
    """

    def __init__(self, folder, pair, seed):
        source, target = (domain(folder, name) for name in pair.split(" > "))
        self.names, self.seed, self.flags = pair.split(" > "), seed, source.flags
        options, recipe = self.options("probe")
        parts = splits.split(source.rows, recipe.split, seed)
        ordered = target.rows.reorder_classes(parts.train.class_names)
        self.parts = more_rows.add_target(parts, ordered, recipe, options)
        owner = {role: target if role in (TARGET, TEST) else source for role in self.parts}
        self.features = {role: owner[role].features_of(part) for role, part in self.parts.items()}
        self.class_names = parts.train.class_names

    def labels(self, role):
        """int[N] of a role."""
        return np.asarray(self.parts[role].labels)

    def options(self, method, **flags):
        """`(Options, Recipe)` of a run of a method."""
        data, target = (DOMAINS[name][0] for name in self.names)
        given = {"data": data, "target_data": target, "split": SPLIT, "seed": self.seed}
        given |= {"method": method, "baseline": "none", **self.flags, **flags}
        options = make(**given)
        return options, checks.resolve(options, needs_output=False)

    def of_few(self, rows):
        """The case whose training rows are rows int64[M] of the target, with labels, without validation."""
        few = copy.copy(self)
        few.parts = type(self.parts)({TRAIN: self.parts[TARGET].take(rows), TEST: self.parts[TEST]})
        few.features = {TRAIN: self.features[TARGET][rows], TEST: self.features[TEST]}
        return few

    def accuracy(self, answers):
        """The share of the target's test rows that int[M] answers have right."""
        return float((answers == self.labels(TEST)).mean())

    def fit(self, method, core=None, **flags):
        """The core that a method trains on the features, and the Fit that trained it."""
        options, recipe = self.options(method, **flags)
        strategy = strategies.start(options.runtime)
        keras.utils.set_random_seed(self.seed)
        core = core or self._core(recipe.head)
        situation = defaults.Situation(
            modality=self.parts.train.modality,
            num_train=len(self.parts.train),
            num_classes=len(self.class_names),
            is_pretrained=True,
            has_validation=VALIDATION in self.parts,
            num_unlabelled=len(self.parts.get(TARGET) or ()),
            has_target=TARGET in self.parts,
        )
        call = defaults.choose_method(recipe.method, situation)
        options = defaults.resolve(options, situation, call)
        fit = Fit(core, call.build(), self._feed(options), options, strategy, EveryLog())
        fit.prepare(FitContext(self.class_names))
        return fit(), fit

    def source_free(self, method, **flags):
        """The core that `shot` makes of one that learned the source, its hidden layer among it."""
        core, _ = self.fit("coral(weight=0, shares=source)", **flags)
        return self.fit(method, core=core, head_weights="given", **flags)[0]

    def answers(self, core, role=TEST):
        """int[M]: the answers of a core to the rows of a role."""
        logits = ForwardPass(core.model, core.outputs)(self._in_order(role)[0])
        return logits[: len(self.parts[role])].argmax(axis=1)

    def _core(self, head):
        """A core whose input is the features, which the head pools no further."""
        width = self.features[TRAIN].shape[1]
        features = keras.Input((width,), name=INPUT)
        given = {"inputs": {INPUT: features}, "taps": {"pooled": features}, "groups": ()}
        sizes = {"image_size_px": 0, "channels": 0, "text_length": 0, "tokenizer": None}
        backbone = Backbone(
            "features", "text", **given, **sizes, pretrained=True, blueprint={}, transfer=()
        )
        return attach_head(
            backbone, head.change(pooling="pooled", features=()), len(self.class_names)
        )

    def _lookup(self, role):
        table = tf.constant(self.features[role], tf.float32)
        return lookups.Lookup(lambda rows: {INPUT: tf.gather(table, rows)})

    def _in_order(self, role):
        """`(dataset, labels)` of the rows of a role in their order."""
        read = pipeline.build(self.parts[role], None, batch_size=128, reads=self._lookup(role))
        return read.map(lambda inputs, *_: (inputs,)), self.labels(role)

    def _feed(self, options):
        """The Feed of a fit; each part is read as above a cached frozen network."""
        size, seed = options.train.batch_size, self.seed
        lookup = self._lookup(TRAIN)
        others = self._lookup(TARGET) if TARGET in self.parts else None

        def training(first_epoch, num_epochs, rows=None, skip=0, is_drawn=True):
            given = {"batch_size": size, "training": True, "seed": seed, "reads": lookup}
            where = {"first_epoch": first_epoch, "num_epochs": num_epochs, "skip": skip}
            return pipeline.build(self.parts.train, None, **given, **where, part=rows)

        def target(first_epoch, num_epochs, skip=0, augment="", views=4, steps=None):
            where = {"first_epoch": first_epoch, "num_epochs": num_epochs, "skip": skip}
            given = {"batch_size": size, "seed": seed, "steps": steps}
            return unlabelled.build(self.parts[TARGET], None, others, **given, **where)

        return Feed(
            training,
            len(self.parts.train),
            self._in_order(VALIDATION) if VALIDATION in self.parts else None,
            class_names=tuple(self.class_names),
            in_order=lambda: self._in_order(TRAIN),
            unlabelled=target if others else None,
            unlabelled_in_order=(lambda prefix: self._in_order(TARGET)[0]) if others else None,
            num_unlabelled=len(self.parts.get(TARGET) or ()),
        )

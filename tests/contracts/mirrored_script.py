"""Trains tiny cores by cases of METHODS over one or two logical devices.

    python -m tests.contracts.mirrored_script NUM_DEVICES OUTPUT TRAINING...

A training is JSON, [case, {flag: value}]; `rows` among the flags is how many are trained on. Writes
an npz, `<number of the training>/<weight name>` -> array, and prints the number of devices. Without
dropout two devices compute what one does. `main` takes the function that changes the methods to
compare by halves and to find earlier runs, so that a test can have it undone.
"""

import json
import os
import sys

from tltf.methods import bss, distillation, fastfit, prototypes, soup
from tltf.methods.method import RowsToOrder
from tltf.methods.other_rows import OtherRowsMethod

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

FLAGS = {
    "train_epochs": 2,
    "batch_size": 8,
    "eval_batch_size": 8,
    "optimizer": "sgd",
    "momentum": 0.0,
    "learning_rate": 0.05,
    "schedule": "constant",
    "warmup_fraction": 0.0,
    "weight_decay": 0.0,
    "norm": "frozen",
    "keep": "last",
}


def main(arguments, change=setattr):
    """Trains and writes."""
    import numpy as np

    from tltf.config.options import make
    from tltf.training.distribution import strategies

    num_devices, output, *trainings = arguments
    kind = "mirrored" if num_devices == "2" else "one_device"
    strategy = strategies.start(make(strategy=kind, logical_devices=int(num_devices)).runtime)
    if num_devices == "1":
        compare_by_halves(change)
    change(distillation, "_load", lambda context, run: earlier_run())
    change(
        soup,
        "_weights",
        lambda run, names: {k: np.full(v.shape, len(run)) for k, v in names.items()},
    )
    found = {}
    for number, (case, flags) in enumerate(json.loads(training) for training in trainings):
        num_rows = flags.pop("rows", 24)
        core = trained(case, make(**{**FLAGS, **flags}, method=case), strategy, num_rows)
        found |= {f"{number}/{name}": v.numpy() for name, v in core.named_weights().items()}
    np.savez(output, **found)
    print(strategy.num_replicas_in_sync)


def compare_by_halves(change):
    """Has methods that compare the rows of a batch do so in each half, as each of two devices does."""
    half = FLAGS["batch_size"] // 2
    change(RowsToOrder, "share", half)
    for kind in (bss.SpectralShrinkage, prototypes.Prototypes, fastfit.FastFit):
        change(kind, "penalty", by_halves(kind, half))
    # as many rows of the target
    change(OtherRowsMethod, "penalty", by_halves(OtherRowsMethod, 2 * half))


def by_halves(kind, half):
    """A penalty of rows that is the mean of those of two halves of a batch; names stay whole."""
    whole, num_split = kind.penalty, {fastfit.FastFit: 3}.get(kind)

    def penalty(self, *given):
        split, others = given[:num_split], given[num_split:] if num_split else ()
        parts = [[one[:half] for one in split], [one[half:] for one in split]]
        return sum(whole(self, *part, *others) for part in parts) / 2

    return penalty


def make_core(is_text):
    """A tiny core without dropout."""
    from tests import tiny

    if is_text:
        return tiny.core(tiny.text_backbone(num_blocks=1, dropout=0.0))
    return tiny.core(tiny.image_backbone(dropout=0.0))


def earlier_run():
    """What `distill` finds as its teacher, on images."""
    import types

    import keras

    keras.utils.set_random_seed(5)
    return types.SimpleNamespace(core=make_core(False), class_names=("a", "b", "c"))


def trained(case, options, strategy, num_rows):
    """The core that a case leaves."""
    import keras

    from tests.contracts.cases import ON_TEXTS
    from tests.contracts.given import reads_others, with_target
    from tests.training.fit_test import Log, feed, text_feed, text_inputs
    from tltf.config import call_strings
    from tltf.config.catalogs import METHODS
    from tltf.methods.context import FitContext
    from tltf.training import fit

    is_text = case in ON_TEXTS
    keras.utils.set_random_seed(0)
    with strategy.scope():
        core = make_core(is_text)
    data = text_feed(num_rows) if is_text else feed(num_rows)
    data = with_target(data) if reads_others(case) else data
    method = call_strings.pick(METHODS, case).build()
    run = fit.Fit(core, method, data, options, strategy, Log())
    run.prepare(FitContext(("a", "b", "c"), text_inputs=text_inputs if is_text else None))
    return run()


if __name__ == "__main__":
    main(sys.argv[1:])

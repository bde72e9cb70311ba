"""Trains tiny cores by cases of METHODS over one or two logical devices.

    python -m tests.contracts.mirrored_script NUM_DEVICES CASE...

Prints one JSON line, case -> {weight name: its values' sum of squares}. Without dropout and with
frozen batch norm two devices compute what one does.
"""

import json
import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

FLAGS = {
    "train_epochs": 2, "batch_size": 8, "eval_batch_size": 8, "optimizer": "sgd", "momentum": 0.0,
    "learning_rate": 0.05, "schedule": "constant", "warmup_fraction": 0.0, "weight_decay": 0.0,
    "norm": "frozen", "keep": "last",
}  # fmt: skip


def main(arguments):
    """Prints the line."""
    import numpy as np

    from tltf import runtime
    from tltf.options import make

    num_devices, *cases = arguments
    kind = "mirrored" if num_devices == "2" else "one_device"
    options = make(**FLAGS, strategy=kind, logical_devices=int(num_devices))
    strategy = runtime.start(options.runtime)
    found = {}
    for case in cases:
        core = trained(case, options, strategy)
        found[case] = {name: float(np.square(v.numpy(), dtype=np.float64).sum())
                       for name, v in core.named_weights().items()}  # fmt: skip
    print(json.dumps({"devices": strategy.num_replicas_in_sync, "weights": found}))


def trained(case, options, strategy):
    """The core that a case leaves."""
    import types

    import keras
    import numpy as np

    from tests import tiny
    from tests.contracts.cases import ON_TEXTS
    from tests.fitting_test import Log, feed, text_feed
    from tltf import fitting, specs
    from tltf.catalogs import METHODS
    from tltf.methods import soups, teaching
    from tltf.options import replace

    def make_core():
        is_text = case in ON_TEXTS
        backbone = tiny.text_backbone(dropout=0.0) if is_text else tiny.image_backbone(dropout=0.0)
        return tiny.core(backbone)

    def load(run):
        keras.utils.set_random_seed(5)
        return types.SimpleNamespace(core=make_core(), class_names=("a", "b", "c"))

    teaching._load = load
    soups._weights = lambda run, names: {k: np.full(v.shape, len(run)) for k, v in names.items()}
    keras.utils.set_random_seed(0)
    with strategy.scope():
        core = make_core()
    data = text_feed(24) if case in ON_TEXTS else feed(24)
    method = specs.pick(METHODS, case).build()
    fit = fitting.Fit(core, method, data, replace(options, method=case), strategy, Log())
    return fit()


if __name__ == "__main__":
    main(sys.argv[1:])

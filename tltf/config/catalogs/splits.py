"""SPLITS: which examples train, which choose, which judge."""

from tltf.config.catalogs.row import Row

SPLITS = {
    "holdout": Row(
        "tltf.data.splits:holdout",
        {"test": 0.2, "validation": 0.1},
        "stratified shares by content hash and seed; splits that the data gives are kept",
        check="tltf.data.splits:check_holdout",
    ),
    "kfold": Row(
        "tltf.data.splits:kfold",
        {"folds": 5, "fold": 0, "validation": 0.1},
        "fold number `fold` of `folds` is the test split; fold=-1: a run for each in turn",
        check="tltf.data.splits:check_kfold",
    ),
    "given": Row(
        "tltf.data.splits:keep_given",
        {},
        "exactly the splits that the data gives; an error where one is missing",
    ),
}

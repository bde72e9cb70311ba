"""SPLITS: ways to choose the examples for training, validation and test."""

from tltf.config.catalogs.row import Row

SPLITS = {
    "holdout": Row(
        "tltf.data.splits:holdout",
        {"test": 0.2, "validation": 0.1},
        "stratified shares, drawn by content hash and seed; splits that the data has already are kept",
        check="tltf.data.splits:check_holdout",
    ),
    "kfold": Row(
        "tltf.data.splits:kfold",
        {"folds": 5, "fold": 0, "validation": 0.1},
        "fold number `fold` of `folds` is the test split; fold=-1 makes one run per fold",
        check="tltf.data.splits:check_kfold",
    ),
    "given": Row(
        "tltf.data.splits:keep_given",
        {},
        "exactly the splits that the data has; it is an error if one is missing",
    ),
}

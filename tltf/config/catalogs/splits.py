"""SPLITS: ways to choose the examples for training, validation and test."""

from tltf.config.catalogs.row import SplitRow

SPLITS = {
    "holdout": SplitRow(
        "tltf.data.splits:holdout",
        {"test": 0.2, "validation": 0.1, "train_on_validation": False},
        "stratified shares, drawn by content hash and seed; splits that the data has already are kept",
        check="tltf.data.split_checks:check_holdout",
    ),
    "kfold": SplitRow(
        "tltf.data.splits:kfold",
        {"folds": 5, "fold": 0, "validation": 0.1, "repeats": 1},
        "fold number `fold` of `folds` is the test split; fold=-1 makes one run per fold, `repeats` times",
        check="tltf.data.split_checks:check_kfold",
        rounds=("folds", "repeats"),
        round="fold",
    ),
    "few_shot": SplitRow(
        "tltf.data.splits:few_shot",
        {"labels_a_class": 8, "draws": 10, "draw": 0, "test": 0.2},
        "trains on a few rows of each class, drawn at random; draw=-1 makes one run per draw",
        check="tltf.data.split_checks:check_few_shot",
        rounds=("draws",),
        round="draw",
    ),
    "given": SplitRow(
        "tltf.data.splits:keep_given",
        {},
        "exactly the splits that the data has; it is an error if one is missing",
    ),
}

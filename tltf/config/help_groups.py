"""The headings of --help, and the flags that it lists under each, without and with --helpfull."""

GROUPS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "data": (
        ("data", "target_data", "unlabelled_data", "split", "augment", "limit"),
        (
            "near_duplicates",
            "max_bad_fraction",
            "allow_empty_classes",
            "follow_links",
            "unknown_classes",
            "strict",
            "skip_bad_shards",
        ),
    ),
    "model": (
        ("backbone", "head", "image_size_px", "text_length"),
        ("backbone_weights", "head_weights", "backbone_dropout", "stochastic_depth"),
    ),
    "method": (
        ("method", "train_epochs", "batch_size", "class_weights"),
        (
            "early_stopping_epochs",
            "stop_when_learned",
            "norm",
            "sampling",
            "loss",
            "focal_gamma",
            "label_smoothing",
            "keep",
            "metric",
            "watch_test",
            "ema_decay",
            "calibrate",
            "abstain",
        ),
    ),
    "optimizer": (
        ("learning_rate", "optimizer"),
        (
            "schedule",
            "snapshots",
            "warmup_fraction",
            "weight_decay",
            "momentum",
            "adam_beta_1",
            "adam_beta_2",
            "adam_epsilon",
            "clipnorm",
            "global_clipnorm",
        ),
    ),
    "run": (
        ("seed", "resume", "dry_run"),
        (
            "seeds",
            "strategy",
            "precision",
            "deterministic",
            "logical_devices",
            "eval_batch_size",
            "cache",
            "cache_views",
            "cache_memory_mb",
            "cache_disk_gb",
            "cache_precision",
            "checkpoint_minutes",
        ),
    ),
    "output": (
        ("output", "overwrite", "baseline", "export", "quiet"),
        ("title", "explain", "track", "export_format"),
    ),
}
"""Heading -> (common flags of a run, its other flags)."""


def group_flags(names: list[str], is_full: bool) -> list[tuple[str, list[str]]]:
    """(heading, flags) in the order of --help.

    Args:
        names: the names of a command's flags; they get one heading where a command does not have
            all flags of a run.
        is_full: whether flags that few need are listed too.
    """
    grouped = {name for common, more in GROUPS.values() for name in (*common, *more)}
    if not grouped <= set(names):
        return [("flags", names)]
    own = [name for name in names if name not in grouped]
    groups = [
        (heading, [*common, *(more if is_full else ())])
        for heading, (common, more) in GROUPS.items()
    ]
    return [("flags", own), *groups] if own else groups

"""--resume: the flags that may differ between a run's start and its continuation."""

from tltf.config.options import Options, flags_of
from tltf.errors import FlagError, choices_text

VERSIONS = "versions"
"""The name of all versions together in --resume."""
HARMLESS = (
    "output",
    "title",
    "explain",
    "export",
    "export_format",
    "baseline",
    "track",
    "checkpoint_minutes",
    "eval_batch_size",
    "calibrate",
    "abstain",
    "cache_memory_mb",
    "cache_disk_gb",
    "near_duplicates",
    "max_bad_fraction",
    "allow_empty_classes",
    "follow_links",
    "unknown_classes",
    "strict",
    "skip_bad_shards",
)
"""Flags that may always differ, because they do not change what the training computes. The flags of the
scan are among them because the rows that it lets pass are compared themselves."""


def allowed_changes(resume: str) -> tuple[str, ...]:
    """The names in --resume, which are joined with `|`; () for auto and never.

    Raises:
        FlagError: a name that is not a flag.
    """
    if resume in ("auto", "never"):
        return ()
    names = tuple(name.strip() for name in resume.split("|") if name.strip())
    known = ["auto", "never", VERSIONS, *flags_of(Options)]
    for name in names:
        if name not in known[2:]:
            what = f"takes auto, never, or the names of flags that may differ, or {VERSIONS} (received {name!r})"
            near = choices_text(name, known, limit=3)
            raise FlagError(f"{what}; nearest: {near}", flag="resume", fix="--resume=auto")
    return names

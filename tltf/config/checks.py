"""Checks every call string of a run against its catalog, before TensorFlow is imported."""

import os
import pathlib

from tltf.config import call_strings
from tltf.config.catalogs import AUGMENTS, BACKBONES, HEADS, METHODS, SOURCES, SPLITS
from tltf.config.command_options import FindOptions
from tltf.config.options import ModelOptions, Options
from tltf.config.resume import allowed_changes
from tltf.errors import FlagError, ModelError, choices_text

BASELINES = ("logistic", "scratch")


def wanted_baselines(text: str) -> list[str]:
    """The names in --baseline, which are joined with `|`.

    Raises:
        FlagError: an unknown one.
    """
    names = [name.strip() for name in text.split("|") if name.strip()]
    for name in names:
        if name not in BASELINES:
            near = choices_text(name, BASELINES)
            raise FlagError(f"no baseline {name!r} (choices: {near})", flag="baseline")
    return names


def check(options: FindOptions | Options) -> None:
    """Raises FlagError for a flag that is missing, or a name or an argument that is not there.

    Args:
        options: Options.
    """
    required = {"data": options.data.data, "backbone": options.model.backbone}
    if not options.output.dry_run:
        required["output"] = options.output.output
    for name, value in required.items():
        if not value:
            raise FlagError("must be given", flag=name, fix=f"--{name}=...; see --help")
    check_output(options.output.output, options.data.data)
    call_strings.pick(SPLITS, options.data.split, "split").check()
    call_strings.pick(HEADS, options.model.head, "head")
    if options.train.method != "auto":
        call_strings.pick(METHODS, options.train.method, "method")
    for part in call_strings.split_outside(options.data.augment, "|", "augment"):
        call_strings.pick(AUGMENTS, part, "augment")
    wanted_baselines(options.output.baseline)
    allowed_changes(options.output.resume)
    if options.train.clipnorm and options.train.global_clipnorm:
        raise FlagError("and --global_clipnorm exclude each other", flag="clipnorm")
    check_backbone(options.model)


def check_output(output: str, data: str) -> None:
    """Raises FlagError for an --output inside of the folder of --data: it would be read as data.

    Args:
        output: the folder to be written, or "".
        data: a call string of SOURCES.
    """
    call = call_strings.pick(SOURCES, data, "data")
    if not output or call.row is None:
        return
    place = os.path.realpath(os.path.expanduser(output))
    if "path" in call.row.paths:
        path = os.path.expanduser(str(call.kwargs["path"]))
        if os.path.isdir(path) and os.path.commonpath(
            [os.path.realpath(path), place]
        ) == os.path.realpath(path):
            raise FlagError(
                f"{output} lies in the data folder {path}, where it would be taken for data",
                flag="output",
                fix=f"--output={os.path.join('runs', os.path.basename(place) or 'run')}",
            )


def refuse_model_file(text: str) -> None:
    """Raises ModelError where --backbone is a file: a whole model holds code of whoever made it."""
    path = pathlib.Path(os.path.expanduser(text))
    if text not in BACKBONES and path.is_file():
        raise ModelError(
            f"a {path.suffix or 'nameless'} file is not opened as a backbone: it may hold code",
            flag="backbone", place=path,
            fix="name the network with --backbone and give its --backbone_weights=FILE",
        )  # fmt: skip


def check_backbone(model: ModelOptions) -> None:
    """Raises FlagError for a backbone that is neither in the catalog, nor hub:, nor a folder."""
    text = model.backbone
    refuse_model_file(text)
    if text.startswith("hub:") or pathlib.Path(text).is_dir():
        return
    if "/" in text:
        raise FlagError(f"no folder {text}", flag="backbone", fix="see --list=backbones")
    row = call_strings.pick(BACKBONES, text, "backbone").row
    size_px = model.image_size_px
    if row and row.modality == "image" and size_px and size_px < row.min_image_size_px:
        what = (
            f"{text} takes images of {row.min_image_size_px} pixels and more (received {size_px})"
        )
        raise FlagError(what, flag="image_size_px", fix=f"--image_size_px={row.min_image_size_px}")

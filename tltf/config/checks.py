"""Resolves every call string of a run against its catalog, before TensorFlow is imported."""

import importlib.util
import os
import pathlib

from tltf.config import (
    call_strings,
    data_paths,
    data_sets,
    defaults,
    habits,
    several_heads,
    task_heads,
)
from tltf.config.call_strings import Call
from tltf.config.catalogs import (
    ABSTENTIONS,
    AUGMENTS,
    BACKBONES,
    EXPLAINERS,
    FORMATS,
    METHODS,
    SOURCES,
    SPLITS,
    TRACKERS,
)
from tltf.config.catalogs.row import BackboneRow, MethodRow, Row, TrackerRow
from tltf.config.options import Options, flag_values
from tltf.config.paths import HEAD_STARTS
from tltf.config.recipe import DataRecipe, Recipe
from tltf.config.resume import allowed_changes
from tltf.errors import FlagError, ModelError, nearest

WITHOUT_SOURCE = "without_source"
"""The baseline of the same run from where its source, the run that --backbone names, had begun."""
BASELINES = ("logistic", "probe", "oracle", "classical", "scratch", WITHOUT_SOURCE)
NO_BASELINE = NO_TRACKER = "none"
AUTO, NOTHING = "auto", "none"
USUAL = "usual"
"""The --backbone that depends on images or texts alone, see `defaults.usual_backbone`."""
NEVER_ABSTAINS = "none"
EXPORT_FORMAT = "saved_model"
"""The format that a run is exported in when its training is done."""
PRESET_PREFIX = "hub:"
"""The beginning of a KerasHub preset's name in --backbone."""


def resolve(options: Options, needs_output: bool = True, source: Call[Row] | None = None) -> Recipe:
    """The Recipe of a run's Options.

    Args:
        options: the run's.
        needs_output: whether --output must be given; a dry run never needs it.
        source: the call of data in memory, which takes the place of --data.

    Raises:
        FlagError: a flag is missing, or a name or an argument does not exist.
        ModelError: the backbone is a file, see `refuse_model_file`.
    """
    data, train, output = options.data, options.train, options.output
    require("data", data.data)
    if needs_output and not output.dry_run:
        require("output", output.output)
    head, output_folder = options.model.head, output.output
    read = resolve_data(
        data.data,
        data.split,
        head,
        data.augment,
        output_folder,
        source,
        target=data.target_data,
        unlabelled=data.unlabelled_data,
    )
    method = None
    if train.method != "auto":
        method = call_strings.pick(METHODS, train.method, "method")
        _require_rows(method, read)
        _require_start(method, options)
    baselines = _fitting_baselines(options)
    allowed_changes(output.resume)
    if train.clipnorm and train.global_clipnorm:
        raise FlagError(
            "and --global_clipnorm exclude each other", flag="clipnorm", fix="give one of the two"
        )
    name = options.model.backbone
    require("backbone", name)
    backbone = pick_backbone(fitting_backbone(read.source) if name in (USUAL, AUTO) else name)
    if backbone and options.model.image_size_px and name != AUTO:
        require_size(backbone, options.model.image_size_px)
    formats = call_strings.pick_each(FORMATS, output.export_format, "export_format")
    recipe = Recipe(
        **vars(read),
        backbone=backbone,
        method=method,
        formats=formats if output.export else (),
        baselines=baselines,
        trackers=pick_trackers(output.track),
        explainer=pick_explainer(output.explain, backbone),
        abstention=pick_abstention(train.abstain),
    )
    several_heads.require_taken(options, recipe)
    _require_one_repetition(options.runtime.seeds, recipe)
    return recipe


def _require_one_repetition(seeds: int, recipe: Recipe) -> None:
    """Raises FlagError where --seeds and the split both ask for several trainings."""
    row, split = recipe.every_round, recipe.split
    if seeds == 1 or row is None:
        return
    what = f"trains {seeds} times, and --split={split.name} trains several times already"
    fix = f"more {row.rounds[0]} in --split"
    if "repeats" in row.rounds:
        fix = f"--split='{split.change(repeats=seeds)}'"
    raise FlagError(what, flag="seeds", fix=f"{fix}, without --seeds")


def pick_explainer(text: str, backbone: Call[BackboneRow] | None) -> Call[Row] | None:
    """The Call of --explain; None for `auto` and `none`.

    Raises:
        FlagError: it does not exist, or is not for what the backbone takes.
    """
    if text in (AUTO, NOTHING):
        return None
    call = call_strings.pick(EXPLAINERS, text, "explain")
    takes = call.row.modality if call.row else ""
    if takes and backbone and backbone.row and backbone.row.modality != takes:
        what = f"{call.name} explains {takes}s, and {backbone.name} takes {backbone.row.modality}s"
        raise FlagError(what, flag="explain", fix="--explain=auto")
    return call


def _require_rows(method: Call[MethodRow], read: DataRecipe) -> None:
    """Raises FlagError where the rows without labels that a method learns from are not given."""
    reads = method.row.reads if method.row else ()
    if not reads or any(getattr(read, role) for role in reads):
        return
    flags = [f"{role}_data" for role in reads]
    raise FlagError(
        f"{method.name} learns from rows without labels, and there are none",
        flag="method",
        fix=f"--{' or --'.join(flags)} names them",
    )


def _require_start(method: Call[MethodRow], options: Options) -> None:
    """Raises FlagError where a flag is not given without which a method has nothing to start from."""
    given = flag_values(options)
    for name in method.row.needs if method.row else ():
        if given[name] in HEAD_STARTS:
            what = f"{method.name} starts from a finished run, and --{name} names none"
            fix = f"--backbone=RUN --{name}=RUN, with RUN the folder of that run"
            raise FlagError(what, flag="method", fix=fix)


def resolve_data(
    data: str,
    split: str,
    head: str,
    augment: str = "",
    output: str = "",
    source: Call[Row] | None = None,
    *,
    target: str = "",
    unlabelled: str = "",
) -> DataRecipe:
    """The DataRecipe of the texts of --data, --split, --head and --augment.

    Args:
        data: a call string of SOURCES.
        split: a call string of SPLITS.
        head: a call string of HEADS, or several, see `task_heads`.
        augment: call strings of AUGMENTS, joined with `|`.
        output: the folder that will be written, which must not lie in that of the data; "" for none.
        source: the call of data in memory, which takes the place of `data`.
        target: a call string of SOURCES, of rows of another domain; "" for none.
        unlabelled: a call string of SOURCES, of rows without labels; "" for none.

    Raises:
        FlagError: a name or an argument does not exist, or a value fits no data.
    """
    source = source or pick_source(data, output)
    split_call = call_strings.pick(SPLITS, split, "split")
    split_call.check()
    head_call = task_heads.pick_head(head)
    data_sets.require_tasks(source, head_call)
    return DataRecipe(
        source,
        split_call,
        head_call,
        call_strings.pick_each(AUGMENTS, augment, "augment"),
        pick_source(target, output, "target_data") if target else None,
        pick_source(unlabelled, output, "unlabelled_data") if unlabelled else None,
    )


def require(name: str, value: str) -> None:
    """Raises FlagError where a flag that a command needs is empty."""
    if not value:
        raise FlagError("must be given", flag=name, fix=f"--{name}=...; see --help")


def pick_source(data: str, output: str = "", flag: str = "data") -> Call[Row]:
    """The Call of --data, or of another flag of the same kind.

    Args:
        data: a call string of SOURCES, or the path of a table or of a folder of pictures; or several
            with names, see `data_sets`.
        output: the folder that will be written, or "".
        flag: name of the flag.

    Raises:
        FlagError: a name or an argument does not exist, or --output lies inside the folder of
            --data, where the files of the run would be read as data.
    """
    if data_sets.are_several(data):
        return data_sets.pick(data, flag, lambda own: pick_source(own, output, flag))
    if call_strings.name_of(data) == call_strings.IN_MEMORY:
        raise FlagError(
            "the data of this run was in the memory of a Python program",
            flag=flag,
            fix=f"--{flag}='csv(path=all.csv, text=text, label=label)' with such rows, or tltf.fit",
        )
    call = call_strings.pick(SOURCES, data_paths.name_source(data), flag)
    if not output or call.row is None or "path" not in call.row.paths:
        return call
    place = os.path.realpath(os.path.expanduser(output))
    path = os.path.expanduser(str(call.kwargs["path"]))
    folder = os.path.realpath(path)
    if os.path.isdir(path) and os.path.commonpath([folder, place]) == folder:
        raise FlagError(
            f"{output} lies in the data folder {path}, so that its files would be read as data",
            flag="output",
            fix=f"--output={os.path.join('runs', os.path.basename(place) or 'run')}",
        )
    return call


def pick_baselines(text: str) -> tuple[str, ...] | None:
    """The names in --baseline, which are joined with `|`; () for none, None for `auto`.

    Raises:
        FlagError: a name is unknown.
    """
    names = tuple(name.strip() for name in text.split("|") if name.strip())
    if names == ("auto",):
        return None
    if names == (NO_BASELINE,):
        return ()
    for name in names:
        if name not in BASELINES:
            choices = ", ".join(("auto", NO_BASELINE, *BASELINES))
            meant = habits.value("baseline", name)
            meant = meant if meant != name else (*nearest(name, BASELINES, 1), "auto")[0]
            raise FlagError(
                f"there is no baseline {name!r} (choices: {choices})",
                flag="baseline",
                fix=f"--baseline='{meant}'" if "|" in meant else f"--baseline={meant}",
            )
    return names


def pick_trackers(text: str) -> tuple[Call[TrackerRow], ...]:
    """The calls of --track, which are joined with `|`; () for `none`.

    Raises:
        FlagError: a name or an argument does not exist, or a package is not installed.
    """
    if text.strip() == NO_TRACKER:
        return ()
    calls = call_strings.pick_each(TRACKERS, text, "track")
    for call in calls:
        if call.row and importlib.util.find_spec(call.row.package) is None:
            missing = ModuleNotFoundError(name=call.row.package)
            raise call_strings.missing_extra(missing, call.row.extra)
        call.check()
    return calls


def pick_abstention(text: str) -> Call[Row] | None:
    """The Call of --abstain, whose first argument needs no name, as in `coverage(.9)`; None for none.

    Raises:
        FlagError: a name or an argument does not exist.
    """
    if text.strip() in ("", NEVER_ABSTAINS):
        return None
    name, _, rest = text.strip().partition("(")
    value, row = rest.removesuffix(")").strip(), ABSTENTIONS.get(name.strip())
    if row and rest.endswith(")") and value and not set(value) & set("=,"):
        text = f"{name.strip()}({next(iter(row.args))}={value})"
    return call_strings.pick(ABSTENTIONS, text, "abstain")


def fitting_backbone(source: Call[Row]) -> str:
    """What --backbone=usual means for a source.

    Raises:
        FlagError: the call does not say whether its examples are images or texts.
    """
    if isinstance(source, data_sets.DataCalls):
        return fitting_backbone(source.first)
    modality = source.row.modality if source.row else ""
    is_in_memory = source.name == call_strings.IN_MEMORY
    given = call_strings.read_arguments(source.text) if is_in_memory else source.kwargs
    for name in ("text", "image"):
        modality = name if given.get(name) else modality
    if not modality:
        what = f"it cannot be told whether the examples of {source.text} are images or texts"
        fix = " or ".join(f"--backbone={name}" for name in defaults.BACKBONES.values())
        raise FlagError(what, flag="backbone", fix=fix)
    return defaults.usual_backbone(modality)


def _fitting_baselines(options: Options) -> tuple[str, ...] | None:
    """The names in --baseline, see `pick_baselines`.

    Raises:
        FlagError: a name is unknown, or a run is to be trained without its source and has none.
    """
    baselines = pick_baselines(options.output.baseline)
    if WITHOUT_SOURCE in (baselines or ()) and not begins_at_run(options):
        what = f"{WITHOUT_SOURCE} is of a run that begins at another one, and --backbone names none"
        raise FlagError(what, flag="baseline", fix="--backbone=RUN, or --baseline=scratch")
    return baselines


def begins_at_run(options: Options) -> bool:
    """Whether --backbone is the folder of a finished run, whose network another one goes on with."""
    name = options.model.backbone
    return (
        name not in (USUAL, AUTO) and not name.startswith(PRESET_PREFIX) and not pick_backbone(name)
    )


def pick_backbone(text: str) -> Call[BackboneRow] | None:
    """The Call of --backbone; None for `hub:PRESET` and for a folder.

    A name of the catalog means that network even where a folder has the same name.

    Raises:
        FlagError: it is neither a name of the catalog, nor a preset, nor a folder.
        ModelError: it is a file, see `refuse_model_file`.
    """
    refuse_model_file(text)
    name, path = call_strings.name_of(text), pathlib.Path(os.path.expanduser(text))
    if text.startswith(PRESET_PREFIX):
        return None
    if name not in BACKBONES and path.is_dir():
        return None
    if text.startswith((os.sep, ".", "~")) or "/" in name:
        raise FlagError(f"there is no folder {text}", flag="backbone", fix="see --list=backbones")
    return call_strings.pick(BACKBONES, text, "backbone")


def refuse_model_file(text: str) -> None:
    """Raises ModelError where --backbone is a file, since a whole model holds code of whoever made it."""
    path = pathlib.Path(os.path.expanduser(text))
    if text not in BACKBONES and path.is_file():
        kind = f"a {path.suffix} file" if path.suffix else "a file without a suffix"
        raise ModelError(
            f"{kind} is not opened as a backbone: it may hold code",
            flag="backbone",
            place=path,
            fix="name the network with --backbone and give its --backbone_weights=FILE",
        )


def require_size(backbone: Call[BackboneRow], image_size_px: int) -> None:
    """Raises FlagError where images are smaller than the network of a row accepts."""
    row = backbone.row
    if row and row.modality == "image" and image_size_px < row.min_image_size_px:
        what = f"{backbone.text} takes images of {row.min_image_size_px} pixels or more"
        raise FlagError(
            f"{what} (received {image_size_px})",
            flag="image_size_px",
            fix=f"--image_size_px={row.min_image_size_px}",
        )

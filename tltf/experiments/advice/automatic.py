"""--backbone=auto: the run takes the first network of the advice for its data."""

import dataclasses
import json
import pathlib
from typing import Any

from tltf.config import checks, flagfiles
from tltf.config.options import Options, replace
from tltf.config.recipe import Recipe
from tltf.config.resume import HARMLESS
from tltf.console import lines
from tltf.errors import ModelError
from tltf.evaluation.report.wording import percent
from tltf.experiments.advice import advising, page
from tltf.runs import folder, layout

GIVEN, NETWORK = "given", "network"
"""In advice.json, the flags that a run was given, and those of the network that it took."""


def choose_network(options: Options, recipe: Recipe) -> tuple[Options, Recipe]:
    """The options and the recipe of a run, with the network that the advice begins with for --backbone=auto.

    The advice is written into RUN/advice. A run that is gone on with takes the network of the advice that is
    there: what was measured anew may be another.

    Raises:
        FlagError: the labels are not one class a row, or the run has several rounds.
        DataError: the data cannot be read, or has too few rows.
    """
    if options.model.backbone != checks.AUTO:
        return options, recipe
    advising.require_advisable(options, recipe)
    with folder.claim_folder(options.output) as run:
        flags = read_network(run, options) if run else None
        if flags is None:
            found = advising.run(advising.advise_options(options), recipe)
            flags = advising.first_flags(found)
            network = found.networks[0]
            text = f"{network.name}, {percent(network.accuracy)} right with a light head"
            lines.say("backbone", text)
            for warning in found.warnings:
                lines.say("warning", warning)
            if run:
                page.write(found, run / layout.ADVICE)
                write_network(run, options, flags)
    chosen = replace(options, **flags)
    return chosen, dataclasses.replace(recipe, backbone=checks.pick_backbone(chosen.model.backbone))


def write_network(run: pathlib.Path, options: Options, flags: dict[str, Any]) -> None:
    """Adds to the advice of a run which network it took, and for which flags."""
    path = run / layout.ADVICE / layout.ADVICE_JSON
    content = json.loads(path.read_text(encoding="utf-8"))
    content |= {GIVEN: given_flags(options), NETWORK: flags}
    page.write_json(path, content)


def read_network(run: pathlib.Path, options: Options) -> dict[str, Any] | None:
    """The flags of the network that a run with the same flags took; None where there is none, or it is replaced."""
    path = run / layout.ADVICE / layout.ADVICE_JSON
    if options.output.overwrite or options.output.resume == "never" or not path.exists():
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        flags = content[NETWORK] if content[GIVEN] == given_flags(options) else None
    except (OSError, ValueError, KeyError) as error:
        raise ModelError("cannot be read", place=path, fix="another --output") from error
    return flags


def given_flags(options: Options) -> list[str]:
    """The flags of a run as texts, but for those that do not change what is trained, such as its folder."""
    values = flagfiles.flatten(options)
    return flagfiles.texts({name: value for name, value in values.items() if name not in HARMLESS})

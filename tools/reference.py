"""Writes the reference pages from the catalogs, the flags and the docstrings of their builders.

    python tools/reference.py            writes docs/reference/*.md
    python tools/reference.py --check    ends with code 1 where a page there is stale

It imports no TensorFlow: builders are read as text.
"""

import argparse
import ast
import functools
import pathlib
import re
import sys

from tltf.config import (
    advise_options,
    call_strings,
    command_options,
    default_spaces,
    ensemble_options,
    help_groups,
    label_options,
    options,
    preset_options,
    rank_options,
    search_options,
)
from tltf.config.catalogs import CATALOGS, AugmentRow
from tltf.config.commands import COMMANDS
from tltf.config.flag_fields import KINDS, flag_text

ROOT = pathlib.Path(__file__).resolve().parents[1]
FOLDER = ROOT / "docs" / "reference"
MADE = "<!-- Made by tools/reference.py from the code; change the code, then run it. -->\n\n# {title}\n"
CATALOG_PAGES = {
    "sources": ("Sources: what `--data` takes", "photos.md, texts.md"),
    "splits": ("Splits: what `--split` takes", "photos.md, texts.md"),
    "augments": ("Augmentations: what `--augment` takes", "photos.md, texts.md"),
    "backbones": ("Backbones: what `--backbone` takes", "backbones.md"),
    "heads": ("Heads: what `--head` takes", "backbones.md"),
    "methods": ("Methods: what `--method` takes", "methods.md"),
    "trackers": ("Trackers: what `--track` takes", "runs.md"),
    "explainers": (
        "Explainers: what `--explainer` of `python -m tltf.explain` takes, and `--explain` of a run",
        "report.md",
    ),
    "alarms": ("Alarms: what `--alarm` of `python -m tltf.monitor` takes", "monitoring.md"),
    "queries": ("Queries: what `--query` of `python -m tltf.label` takes", "labelling.md"),
    "formats": ("Formats: what `--format` of `python -m tltf.export` takes", "deploying.md"),
    "abstentions": ("Abstentions: what `--abstain` takes", "report.md"),
}
"""Catalog -> (title of its page, guides that it points to)."""
OPTIONS_OF = {
    "train": preset_options.TrainCommandOptions,
    "lr_find": command_options.FindOptions,
    "rank": rank_options.RankOptions,
    "advise": advise_options.AdviseOptions,
    "search": search_options.SearchOptions,
    "check": command_options.CheckOptions,
    "update": command_options.UpdateOptions,
    "label": label_options.LabelOptions,
    "compare": command_options.CompareOptions,
    "ensemble": ensemble_options.EnsembleOptions,
    "explain": command_options.ExplainOptions,
    "monitor": command_options.MonitorOptions,
    "evaluate": command_options.EvaluateOptions,
    "predict": command_options.PredictOptions,
    "export": command_options.ExportOptions,
    "demo": command_options.DemoOptions,
    "serve": command_options.ServeOptions,
}
HEADINGS = {
    "data": "What is learned from",
    "model": "What is trained",
    "method": "How it is trained",
    "optimizer": "The optimizer",
    "run": "Devices, arithmetic, caches and checkpoints",
    "output": "What is left behind",
}
SHARED = {"see `Head`": "classify", "see `classify`": "classify"}
"""What a docstring says of arguments that are explained elsewhere -> the entry that explains them."""
EXPLAINED_BY = {
    "jsonl": "tltf.data.sources.tables:csv",
    "classify": "tltf.heads.head:Head",
}
"""Entry -> the builder whose docstring explains its arguments."""
NOTES = {
    "backbones": "Beside these names `--backbone` takes `hub:PRESET` of KerasHub, a folder (a KerasHub "
    "preset, a Hugging Face BERT, DistilBERT or RoBERTa, or a run folder of tltf), and "
    "`package.module:name(key=value)`.",
    "augments": "Several are joined with `|` and applied in that order.",
    "alarms": "Several are joined with `|`. An alarm of your own is `package.module:name`; see "
    "`tltf.serving.monitoring.alarms.alarm` for what it must have.",
    "queries": "Beside these, `--query` takes `skactiveml:CLASS(key=value)`, a strategy of scikit-activeml, with the "
    "extra active; and `package.module:name(key=value)`, a function that `tltf.active_learning.query` describes.",
    "formats": "A format of your own is `package.module:name`.",
    "trackers": "Several are joined with `|`. A tracker of your own is `package.module:name`, a class with the "
    "three methods of `tltf.experiments.tracking.tracker.Tracker`.",
    "abstentions": "The first argument needs no name: `coverage(.8)` is `coverage(share=.8)`.",
}


def cell(text):
    """Text for a cell of a table."""
    return " ".join(str(text).split()).replace("|", "\\|")


def code(text):
    """Text as code in a cell of a table."""
    return f"`{cell(text)}`" if text else "empty"


def table(head, rows):
    """The lines of a table."""
    lines = [head, ["---"] * len(head), *rows]
    return ["| " + " | ".join(line) + " |" for line in lines]


def values_of(flag):
    """What a flag takes, in words."""
    if flag.choices:
        return ", ".join(code(choice) for choice in flag.choices)
    signs = ((">", flag.above), (">=", flag.least), ("<=", flag.most), ("<", flag.below))
    bounds = [f"{sign} {bound:g}" for sign, bound in signs if bound is not None]
    return ", ".join([KINDS[flag.kind], *bounds])


def flag_rows(flags):
    """A row per flag."""
    return [
        [code(f"--{name}"), code(flag_text(flag.default)), values_of(flag), cell(prose(flag.help))]
        for name, flag in flags.items()
    ]


def command_lines(command):
    """The heading of a command and what it does."""
    does = f"`python -m tltf.{command}`, or `tltf {command}`, {COMMANDS[command]}."
    return ["", f"## tltf.{command}", "", does]


def flags_page():
    """The page of the flags of all commands."""
    head = ["flag", "default", "takes", "what it does"]
    lines = [
        MADE.format(title="Flags"),
        "The flags of every command. They are written `--name=value` on the command line, one per line in a",
        "file for `--flagfile`, and as `name=value` in `tltf.fit` and `tltf.make_options`. `auto` is chosen",
        "by the kind and the amount of data. Every command also has `--flagfile`, `--debug`, `--help` and",
        "`--helpfull`; `--list=backbones` prints a catalog.",
    ]
    train = options.flags_of(options.Options)
    lines += command_lines("train")
    for heading, names in help_groups.group_flags(list(train), is_full=True):
        lines += ["", f"### {HEADINGS[heading]}", ""]
        lines += table(head, flag_rows({name: train[name] for name in names}))
    whole = options.flags_of(OPTIONS_OF["train"])
    own = {name: flag for name, flag in whole.items() if name not in train}
    lines += ["", "### What is tried before it", "", "Of the command alone, not of `tltf.fit`.", ""]
    lines += table(head, flag_rows(own))
    for command in COMMANDS:
        if command == "train":
            continue
        flags = options.flags_of(OPTIONS_OF[command])
        lines += [*command_lines(command), ""]
        if set(train) <= set(flags):
            lines += ["It takes every flag of `tltf.train`, and:", ""]
            flags = {name: flag for name, flag in flags.items() if name not in train}
        lines += table(head, flag_rows(flags))
    return "\n".join(lines) + "\n"


@functools.cache
def documentation(target):
    """The docstring of `package.module:name`, which is not imported."""
    module, name = target.split(":")
    path = ROOT / (module.replace(".", "/") + ".py")
    nodes = ast.parse(path.read_text(encoding="utf-8")).body
    return (
        ast.get_docstring(next(node for node in nodes if getattr(node, "name", "") == name)) or ""
    )


def details_of(row):
    """The paragraphs of the builder's docstring between its first one and its sections."""
    paragraphs = documentation(row.target).split("\n\n")[1:]
    sections = tuple(f"{name}:\n" for name in ("Args", "Returns", "Raises"))
    return [prose(text) for text in paragraphs if not text.startswith(sections)]


@functools.cache
def arguments_of(target):
    """Argument -> what the docstring of a builder says of it."""
    _, _, text = documentation(target).partition("Args:\n")
    text = re.split(r"\n\n(?=\S)", text)[0]
    found = re.findall(r"^    (\w+)(?: \([^)]*\))?: (.*(?:\n {5,}.*)*)", text, re.MULTILINE)
    return {argument: prose(what).rstrip(".") for argument, what in found}


def prose(text):
    """Text of a docstring on one line, in which nothing is read as a tag of HTML."""
    line = " ".join(text.split())
    return "".join(
        part if part.startswith("`") else re.sub(r"<(?=\w)", "&lt;", part)
        for part in re.split(r"(`[^`]*`)", line)
    )


def example_of(name, row):
    """The call string with its defaults; an argument that must be given is in capitals."""
    arguments = [
        f"{key}={key.upper() if isinstance(value, type) else literal(value)}"
        for key, value in row.args.items()
    ]
    return f"{name}({', '.join(arguments)})" if arguments else name


def literal(value):
    """A default as a call string has it."""
    return call_strings.render("", {"": value})[2:-1]


def sentence(text):
    """A summary with a capital and a full stop."""
    return f"{text[0].upper()}{text[1:].rstrip('.')}."


def entry(name, row):
    """The lines of one entry of a catalog."""
    details = details_of(row)
    lines = ["", f"## {name}", "", prose(sentence(row.summary)), "", "```", example_of(name, row)]
    lines += ["```", *(line for text in details for line in ("", text))]
    explained = argument_lines(name, row)
    facts = " ".join(facts_of(row, details))
    for block in [explained, [facts] if facts else []]:
        lines += ["", *block] if block else []
    return lines


def said_of(name, row):
    """Argument -> what docstrings say of it: that of the entry's builder, and of what explains it."""
    return arguments_of(row.target) | arguments_of(EXPLAINED_BY.get(name, row.target))


def argument_lines(name, row):
    """A line for each argument that a docstring explains, and one for those of another entry."""
    said = said_of(name, row)
    own, elsewhere = [], {}
    for key in row.args:
        what = said.get(key)
        if what in SHARED:
            elsewhere.setdefault(SHARED[what], []).append(f"`{key}`")
        elif what:
            own.append(f"- `{key}`: {what.removesuffix('; or')}.")
    links = [f"- {', '.join(keys)}: see [{other}](#{other})." for other, keys in elsewhere.items()]
    return [*own, *links]


def facts_of(row, details):
    """What an entry is for, where it comes from and what it needs, a sentence each."""
    if isinstance(row, AugmentRow):
        yield f"For {row.modality}s."
    if row.paper and not all(part in " ".join(details) for part in row.paper.split(", ")):
        yield f"Paper: {row.paper}."
    if row.licence:
        yield f"Licence: {row.licence}."
    if row.extra:
        yield f"Needs `pip install '.[{row.extra}]'`."


def backbone_rows():
    """A row per backbone."""
    for name, row in CATALOGS["backbones"].items():
        size = f"{row.image_size_px} px" if row.modality == "image" else f"{row.text_length} tokens"
        facts = [row.modality, size, row.weights or "none", row.licence or "", row.paper]
        yield [code(example_of(name, row)), cell(prose(row.summary)), *map(cell, facts)]


def catalog_page(catalog):
    """The page of a catalog."""
    title, guides = CATALOG_PAGES[catalog]
    links = " and ".join(f"[{guide}](../{guide})" for guide in guides.split(", "))
    lines = [MADE.format(title=title)]
    lines += [f"`--list={catalog}` prints them too. How to choose: {links}."]
    if catalog in NOTES:
        lines += ["", NOTES[catalog]]
    if catalog == "backbones":
        head = ["call string", "what it is", "takes", "default size", "weights", "licence", "paper"]
        lines += ["", *table(head, backbone_rows())]
        rows = {name: row for name, row in CATALOGS[catalog].items() if row.args}
    else:
        rows = CATALOGS[catalog]
    for name, row in rows.items():
        lines += entry(name, row)
    return "\n".join(lines) + "\n"


def spaces_page():
    """The page of what `python -m tltf.search` changes where --space is not given."""
    lines = [
        MADE.format(
            title="Search spaces: what `--space` of `python -m tltf.search` is where it is empty"
        ),
        "How to write one: [choosing.md](../choosing.md#search). Arguments that `--method` names are not searched.",
        "",
    ]
    rows = [[code(name), code(default_spaces.space_of(name))] for name in default_spaces.SPACES]
    rows.append(["others", code(default_spaces.OTHERS.flags)])
    return "\n".join([*lines, *table(["method", "what is searched"], rows)]) + "\n"


def pages():
    """File name -> text of each reference page."""
    return {
        "flags.md": flags_page(),
        "search_spaces.md": spaces_page(),
        **{f"{catalog}.md": catalog_page(catalog) for catalog in CATALOG_PAGES},
    }


def stale_pages(folder=FOLDER):
    """The names of the pages that are missing, or differ from what the code says, or have no source."""
    made = pages()
    there = {path.name: path.read_text(encoding="utf-8") for path in folder.glob("*.md")}
    return sorted(name for name in {*made, *there} if made.get(name) != there.get(name))


def main(argv=None):
    """Writes or checks the pages; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing; 1 if a page is stale")
    if parser.parse_args(argv).check:
        stale = stale_pages()
        print("\n".join(f"stale: docs/reference/{name}" for name in stale) or "up to date")
        return int(bool(stale))
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, text in pages().items():
        (FOLDER / name).write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())

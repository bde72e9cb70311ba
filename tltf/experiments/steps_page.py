"""The accuracies of a sequence of steps, as a page for people, as JSON, and as lines of a terminal."""

import json
import pathlib
import shlex

from tltf.config import call_strings
from tltf.config.catalogs import SOURCES
from tltf.config.options import Options
from tltf.console import lines
from tltf.evaluation.report import step_matrix, templating
from tltf.evaluation.report.sections import NAME, NUMBER, Column, Row, Table
from tltf.evaluation.report.wording import NOTHING, percent, points
from tltf.evaluation.step_accuracies import StepAccuracies
from tltf.files import atomic_files
from tltf.runs import layout


def write(found: StepAccuracies, folder: pathlib.Path, chosen: Options) -> pathlib.Path:
    """Writes steps.html and steps.json into a run folder; returns the page's path.

    Args:
        found: the accuracies.
        folder: the run folder of all steps.
        chosen: its options.

    Raises:
        StorageError: a file cannot be written.
    """
    with atomic_files.replace_file(folder / layout.STEPS_JSON) as file:
        file.write(
            json.dumps(found.to_json(), indent=1, allow_nan=False, ensure_ascii=False) + "\n"
        )
    call = call_strings.pick(SOURCES, chosen.data.data, "data")
    name = call_strings.name_of(call.kwargs.get("data") or call.name)
    page = templating.render(
        "steps.html.jinja",
        {
            "title": f"{name} in {len(found.names)} steps",
            "chips": [
                ("method", chosen.train.method),
                ("backbone", chosen.model.backbone),
                ("data", chosen.data.data),
                ("seed", str(chosen.runtime.seed)),
            ],
            "summary": summary_table(found),
            "matrix": step_matrix.step_matrix(found, "Accuracy in percent after each step"),
            "steps": steps_table(found),
            "runs": [
                (name, f"{layout.STEPS}/{number}/{layout.REPORT_HTML}")
                for number, name in enumerate(found.names, 1)
            ],
            "predict": _predict_command(found, folder),
        },
    )
    path = folder / layout.STEPS_HTML
    with atomic_files.replace_file(path) as file:
        file.write(page)
    return path


def _predict_command(found: StepAccuracies, folder: pathlib.Path) -> str:
    run = shlex.quote(str(folder / layout.STEPS / str(len(found.names))))
    return f"python -m tltf.predict --run={run} --input=..."


def summary_table(found: StepAccuracies) -> Table:
    """The numbers that stand for the whole matrix."""
    forward = found.forward_transfer()
    ahead = NOTHING if forward is None else points(forward)
    rows = [
        ("average accuracy", percent(found.average()), "on the test rows of all steps, in the end"),
        ("mean over the steps", percent(found.incremental()), "of that average after each step"),
        (
            "forgetting",
            points(found.forgetting()),
            "best accuracy on a step before the end, minus that in the end",
        ),
        (
            "backward transfer",
            points(found.backward_transfer()),
            "accuracy on a step in the end, minus that right after it",
        ),
        (
            "forward transfer",
            ahead,
            "accuracy on a step before it was learned, minus chance; none where its classes are new",
        ),
    ]
    columns = [Column("", NAME), Column("value", NUMBER), Column("what it is")]
    return Table(columns, [Row(list(row)) for row in rows])


def steps_table(found: StepAccuracies) -> Table:
    """A row for each step: right after it, in the end, and what of it was forgotten."""
    lost = [*map(points, found.forgotten()), NOTHING]
    rows = [
        Row(
            [
                f"{place + 1}",
                name,
                percent(found.average(place)),
                percent(found.values[place, place]),
                percent(found.values[-1, place]),
                lost[place],
            ]
        )
        for place, name in enumerate(found.names)
    ]
    heads = ("average so far", "right after it", "in the end", "forgotten")
    columns = [Column("step", NAME), Column("rows"), *(Column(head, NUMBER) for head in heads)]
    return Table(columns, rows)


def closing_text(found: StepAccuracies, folder: pathlib.Path) -> str:
    """The lines that a sequence prints last."""
    forward = found.forward_transfer()
    told = [
        f"average accuracy {percent(found.average())}",
        f"forgetting {points(found.forgetting())}",
        f"backward transfer {points(found.backward_transfer())}",
        "" if forward is None else f"forward transfer {points(forward)}",
    ]
    return "\n".join(
        [
            *lines.wrap("steps", "; ".join(filter(None, told))),
            f"{'report':<{lines.NAME}} {folder / layout.STEPS_HTML}",
            f"{'predict':<{lines.NAME}} {_predict_command(found, folder)}",
        ]
    )

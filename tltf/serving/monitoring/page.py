"""A watch as a page for people, with its series over time, and as lines of a terminal."""

import datetime
import itertools
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tltf.config.command_options import MonitorOptions
from tltf.console import lines
from tltf.data.label_kinds import CLASS
from tltf.evaluation.report import plots, templating
from tltf.evaluation.report.sections import NAME, NUMBER, Column, Row, Table
from tltf.evaluation.report.wording import NOTHING, count_of, number, percent
from tltf.files import atomic_files
from tltf.serving.monitoring import look
from tltf.serving.monitoring.alarms.alarm import Alarm
from tltf.serving.monitoring.look import Look, Summary
from tltf.serving.monitoring.reference import Reference
from tltf.serving.monitoring.state import State

MOST_SHOWN = 300
"""Windows that the page shows, the last ones."""
MOST_LISTED = 50
"""Alarms and windows that the page lists."""
MOST_PRINTED = 5
"""Windows, and alarms, that the command prints: the last ones."""
MOST_CURVES = 6
"""Classes whose rates are drawn: those that changed the most."""
NOT_SURE = "not sure"
"""The name of the rows that a model gave no class."""
LEAST_P = 1e-6
"""Smaller p-values are drawn here."""
P_TICKS = (1, 0.1, 0.01, 0.001, 1e-4, 1e-5, 1e-6)
TEST_NAMES = {look.OUTPUTS: "outputs", look.ANSWERS: "predicted classes", look.FEATURES: "features"}


def write(
    path: pathlib.Path,
    state: State,
    reference: Reference,
    alarms: Sequence[tuple[str, Alarm]],
    options: MonitorOptions,
    notes: Sequence[str],
) -> None:
    """Writes the page.

    Raises:
        StorageError: it cannot be written.
    """
    usual = look.summarize(reference.answers, reference.about)
    shown = state.looks[-MOST_SHOWN:]
    rung = [found for found in state.looks if found.rings]
    values = {
        "title": pathlib.Path(options.run).absolute().name,
        "input": state.input,
        "num_rows": state.num_rows,
        "num_looks": state.num_looks,
        "reference": reference_text(reference),
        "last": shown[-1] if shown else None,
        "rung": [(time_text(found.time), found) for found in rung[: -MOST_LISTED - 1 : -1]],
        "num_rung": len(rung),
        "notes": notes,
        "alarms": [text for text, _ in alarms],
        "expected": expected_text(alarms, shown, options.window),
        "plots": _plots(shown, usual, alarms),
        "shift": _shift_table(shown[-1], reference, usual) if shown else None,
        "windows": _windows_table(shown[: -MOST_LISTED - 1 : -1], usual),
        "tests": _test_texts(shown),
        "num_hidden": max(state.num_looks - len(shown), 0),
    }
    with atomic_files.replace_file(path) as file:
        file.write(templating.render("monitor.html.jinja", values))


def _test_texts(looks: Sequence[Look]) -> list[str]:
    """The tests that were made, and why features were not tested."""
    made = {test for found in looks for test in found.p_values}
    texts = [f"{TEST_NAMES[key]}: {what}" for key, what in look.TESTS.items() if key in made]
    if looks and looks[-1].p_values and look.FEATURES not in looks[-1].p_values:
        texts.append(
            "features of the last window were not tested: a log does not hold them, and "
            "--predict_again predicts its inputs again"
        )
    return texts


def reference_text(reference: Reference) -> str:
    """`2,000 of 2,500 validation rows`."""
    about = reference.about
    of = "" if len(reference) == about.num_rows else f" of {about.num_rows:,}"
    return f"{len(reference):,}{of} {about.role} rows"


def expected_text(alarms: Sequence[tuple[str, Alarm]], looks: Sequence[Look], window: int) -> str:
    """How often alarms ring although nothing has changed."""
    alpha = min(1.0, sum(alarm.alpha for _, alarm in alarms))
    if not alpha:
        return (
            "These alarms compare with fixed bounds, so how often they ring by chance is not known."
        )
    text = (
        f"Without any change, at most one look of {window:,} rows in {round(1 / alpha):,} rings by "
        f"chance (level {alpha:g} per look, corrected for all tests of the look)"
    )
    per_day = _looks_per_day(looks)
    if per_day is None:
        return f"{text}."
    return f"{text}: at the pace of this input, one in {_days_text(1 / alpha / per_day)}."


def _days_text(days: float) -> str:
    for unit, size in (("years", 365.0), ("months", 30.4), ("days", 1.0)):
        if days >= 2 * size:
            return f"about {days / size:,.0f} {unit}"
    return f"about {max(days * 24, 0.1):.1f} hours"


def _looks_per_day(looks: Sequence[Look]) -> float | None:
    """Windows per day; None where the times do not say."""
    times = _times(looks)
    if len(times) < 3:
        return None
    days = (times[-1] - times[0]).total_seconds() / 86_400
    return (len(times) - 1) / days if days > 0 else None


def _times(looks: Sequence[Look]) -> list[datetime.datetime]:
    """The times of the windows; [] where they do not rise, as when many were looked at together."""
    times = [datetime.datetime.fromisoformat(found.time) for found in looks]
    pairs = itertools.pairwise(times)
    return times if len(times) > 1 and all(first < second for first, second in pairs) else []


def _plots(looks: Sequence[Look], usual: Summary, alarms: Sequence[tuple[str, Alarm]]) -> list[str]:
    """The series over the windows; none before there are two."""
    if len(looks) < 2:
        return []
    places: Sequence[Any] = _times(looks) or [found.number for found in looks]
    made = [_p_value_plot(looks, places, alarms)] if any(found.p_values for found in looks) else []
    if usual.rates:
        made.append(_rate_plot(looks, places, usual))
    made += [_mean_plot(looks, places, name, mean) for name, mean in usual.means.items()]
    return made


def _series_plot(title: str, places: Sequence[Any], fill: Callable[[Any], None]) -> str:
    """A wide plot over the windows, whose axis has times where they are known."""

    def draw(axes: Any) -> None:
        fill(axes)
        if isinstance(places[0], datetime.datetime):
            axes.figure.autofmt_xdate(rotation=30)
        else:
            axes.set_xlabel("window")
            axes.xaxis.get_major_locator().set_params(integer=True)
        axes.legend(loc="best", labelcolor=plots.INK)

    return plots.draw(title, draw, 7.2, 3.6)


def _mark(axes: Any, looks: Sequence[Look], places: Sequence[Any]) -> None:
    """A pale line at each window with an alarm."""
    rung = [place for found, place in zip(looks, places, strict=True) if found.rings]
    for number_, place in enumerate(rung):
        label = "alarm" if number_ == 0 else None
        axes.axvline(place, color=plots.BAD, alpha=0.25, linewidth=3, zorder=0, label=label)


def _p_value_plot(
    looks: Sequence[Look], places: Sequence[Any], alarms: Sequence[tuple[str, Alarm]]
) -> str:
    alphas = [alarm.alpha for text, alarm in alarms if text.startswith("drift")]

    def fill(axes: Any) -> None:
        _mark(axes, looks, places)
        for place, (test, name) in enumerate(TEST_NAMES.items()):
            values = [max(found.p_values.get(test, np.nan), LEAST_P) for found in looks]
            if np.isfinite(values).any():
                axes.plot(
                    places,
                    values,
                    color=plots.SERIES[place],
                    marker="osD"[place],
                    markersize=3.5,
                    linewidth=1.4,
                    label=name,
                )
        if alphas:
            most = max(len(found.p_values) for found in looks)
            axes.axhline(
                min(alphas) / most,
                color=plots.INK,
                linewidth=1.2,
                linestyle="--",
                label="rings below",
            )
        axes.set_yscale("log")
        axes.minorticks_off()
        axes.set_yticks(P_TICKS, [f"{tick:.6f}".rstrip("0").rstrip(".") for tick in P_TICKS])
        axes.set_ylim(LEAST_P / 2, 1.6)
        axes.set_ylabel("p-value")

    return _series_plot("How unlike the reference each window is", places, fill)


def _rate_plot(looks: Sequence[Look], places: Sequence[Any], usual: Summary) -> str:
    def change(name: str) -> float:
        return max(abs(found.summary.rates.get(name, rate) - rate) for found in looks)

    names = []
    for name, rate in usual.rates.items():
        names.append((change(name), rate, name))
    chosen = {name for _, _, name in sorted(names, reverse=True)[:MOST_CURVES]}
    shown = [name for name in usual.rates if name in chosen]

    def fill(axes: Any) -> None:
        _mark(axes, looks, places)
        for place, name in enumerate(shown):
            colour = plots.SERIES[place % len(plots.SERIES)]
            values = [100 * found.summary.rates.get(name, np.nan) for found in looks]
            axes.plot(
                places,
                values,
                color=colour,
                marker="osD^vP"[place % 6],
                markersize=3.5,
                linewidth=1.4,
                label=plots.shortened(name, 18),
            )
            axes.axhline(100 * usual.rates[name], color=colour, linewidth=1, linestyle=":")
        axes.set_ylabel("% of the answers")
        axes.set_ylim(bottom=0)

    return _series_plot("How often each class is predicted (dotted: reference)", places, fill)


def _mean_plot(looks: Sequence[Look], places: Sequence[Any], name: str, mean: float) -> str:
    def fill(axes: Any) -> None:
        _mark(axes, looks, places)
        values = [found.summary.means.get(name, np.nan) for found in looks]
        axes.plot(
            places,
            values,
            color=plots.FIRST,
            marker="o",
            markersize=3.5,
            linewidth=1.4,
            label="window",
        )
        axes.axhline(mean, color=plots.INK, linewidth=1, linestyle=":", label="reference")

    return _series_plot(f"Mean of the predicted {name}", places, fill)


def _shift_table(last: Look, reference: Reference, usual: Summary) -> Table | None:
    """The rates of the last window beside those of the reference; None for numbers."""
    if not usual.rates or not last.summary.rates:
        return None
    columns = [Column("class", NAME), Column("predicted before", NUMBER)]
    columns.append(Column("predicted now", NUMBER))
    has_shift = last.class_shift is not None
    if reference.about.kind == CLASS:
        columns.append(Column("true before", NUMBER))
    if has_shift:
        columns.append(Column("true now, estimated", NUMBER))
    rows = []
    for place, (name, rate) in enumerate(usual.rates.items()):
        cells = [name, percent(rate), percent(last.summary.rates.get(name))]
        if reference.about.kind == CLASS:
            cells.append(percent(float((reference.truths == place).mean())))
        if last.class_shift is not None:
            cells.append(percent(last.class_shift[name]))
        rows.append(Row(cells))
    if usual.not_sure or last.summary.not_sure:
        cells = [NOT_SURE, percent(usual.not_sure), percent(last.summary.not_sure)]
        rows.append(Row([*cells, *[""] * (len(columns) - len(cells))]))
    return Table(columns, rows)


def _windows_table(looks: Sequence[Look], usual: Summary) -> Table:
    tests = [test for test in TEST_NAMES if any(test in found.p_values for found in looks)]
    names = list(usual.rates)[:2] if len(usual.rates) <= 2 else []
    columns = [
        Column("window", NAME),
        Column("time"),
        Column("rows", NUMBER),
        Column("bad", NUMBER),
    ]
    columns += [Column(f"p, {TEST_NAMES[test]}", NUMBER) for test in tests]
    columns += [Column(f"{name}", NUMBER) for name in names]
    columns += [Column(name, NUMBER) for name in usual.means] + [Column("alarms")]
    rows = []
    for found in looks:
        cells = [
            str(found.number),
            time_text(found.time),
            f"{found.num_rows:,}",
            f"{found.num_bad:,}",
        ]
        cells += [p_text(found.p_values.get(test)) for test in tests]
        cells += [percent(found.summary.rates.get(name)) for name in names]
        cells += [number(found.summary.means.get(name)) for name in usual.means]
        rows.append(Row([*cells, ", ".join(ring.alarm for ring in found.rings)]))
    return Table(columns, rows)


def p_text(p_value: float | None) -> str:
    """`0.32`, `below 0.0001`; a dash for None."""
    if p_value is None:
        return NOTHING
    return "below 0.0001" if p_value < 1e-4 else f"{p_value:.2g}"


def time_text(time: str) -> str:
    """`2026-03-01 12:00`, in UTC."""
    return datetime.datetime.fromisoformat(time).strftime("%Y-%m-%d %H:%M")


def terminal_lines(
    looks: Sequence[Look],
    rung: Sequence[Look],
    waiting: int,
    reference: Reference,
    notes: Sequence[str],
    expected: str,
    path: pathlib.Path,
) -> list[str]:
    """What the command prints."""
    text = lines.wrap("reference", reference_text(reference))
    for note in notes:
        text += lines.wrap("note", note)
    new = sum(found.num_rows + found.num_bad for found in looks)
    told = f"{count_of(new, 'new row')} in {count_of(len(looks), 'window')}"
    bad = sum(found.num_bad for found in looks)
    told += f", {bad:,} of them could not be read or predicted" if bad else ""
    told += f"; {count_of(waiting, 'row')} wait for a whole window" if waiting else ""
    text += lines.wrap("looked at", told)
    for found in looks[-MOST_PRINTED:]:
        text += lines.wrap(f"window {found.number}", _look_text(found))
    rings = [(found.number, ring.text) for found in rung for ring in found.rings]
    for window, said in rings[-MOST_PRINTED:]:
        text += lines.wrap("ALARM", f"window {window}, {said}")
    if len(rings) > MOST_PRINTED:
        text += lines.wrap("", f"{len(rings) - MOST_PRINTED} more are on the page")
    if not rung:
        text += lines.wrap("alarms", "none rings" if looks else "nothing new to look at")
    text += lines.wrap("chance", expected)
    return [*text, f"{'page':<{lines.NAME}} {path}"]


def _look_text(found: Look) -> str:
    tests = [f"{TEST_NAMES[test]} p {p_text(value)}" for test, value in found.p_values.items()]
    rates = sorted(found.summary.rates.items(), key=lambda item: -item[1])[:3]
    shown = [f"{name} {percent(rate)}" for name, rate in rates]
    shown += [f"{NOT_SURE} {percent(found.summary.not_sure)}"] if found.summary.not_sure else []
    shown += [f"mean {name} {number(value)}" for name, value in found.summary.means.items()]
    if not tests:
        tests = [f"too few rows to test ({found.num_rows})"]
    return "; ".join(filter(None, [", ".join(tests), ", ".join(shown)]))

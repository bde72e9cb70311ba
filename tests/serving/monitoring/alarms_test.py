"""Each alarm rings where it should, and says what is wrong with its arguments."""

import pytest
from scipy import stats

from tltf.config import call_strings
from tltf.config.catalogs import ALARMS
from tltf.errors import FlagError
from tltf.serving.monitoring import watch
from tltf.serving.monitoring.alarms.alarm import View
from tltf.serving.monitoring.look import Look, Ring, Summary
from tltf.serving.monitoring.reference import About

CLASSES = About("class", "label", "probabilities", ("a", "b"), ("bad", "good"), "validation", 9, "")
NUMBERS = About("number", "value", "quantiles", ("q",), ("value",), "validation", 9, "")


def a_look(bad=0.4, num=500, num_bad=0, means=None, number=1, rings=(), **more):
    rates = {} if means else {"bad": bad, "good": 1 - bad}
    return Look(
        number, num, num_bad, "2026-01-01", Summary(rates, means or {}), rings=rings, **more
    )


def ring(text, look, earlier=(), about=CLASSES, usual=None):
    ((name, alarm),) = watch.pick_alarms(text)
    alarm.check(about)
    reference = usual or Summary({"bad": 0.4, "good": 0.6}, {})
    return alarm.ring(View(look, about, reference, 1000, earlier), name)


@pytest.mark.parametrize(
    ("text", "share", "limit"),
    [
        ("rate(label=bad, above=.4)", 0.41, 0.4),
        ("rate(label=bad, above=.4)", 0.4, None),
        ("rate(label=bad, above=.6, below=.3)", 0.29, 0.3),
        ("rate(label=good, above=1)", 0.0, None),
    ],
)
def test_a_rate_rings_outside_of_its_bounds(text, share, limit):
    found = ring(text, a_look(share))
    assert (found and found.limit) == limit
    if found:
        assert found.alarm == text and "bad is" in found.text and "reference 40.0%" in found.text


def test_a_mean_rings_outside_of_its_bounds():
    usual = Summary({}, {"value": 2.0})
    look = a_look(means={"value": 3.5})
    found = ring("mean(above=3)", look, about=NUMBERS, usual=usual)
    assert found.value == 3.5 and "above 3 (reference 2)" in found.text
    assert ring("mean(above=4, below=1)", look, about=NUMBERS, usual=usual) is None


def test_failures_ring():
    assert ring("failures", a_look(num=95, num_bad=5)) is None
    assert "6 of 100 rows" in ring("failures", a_look(num=94, num_bad=6)).text


def test_drift_rings_below_alpha_and_names_the_tests():
    p_values = {"outputs": 0.0001, "answers": 0.2, "features": 0.001}
    look = a_look(p_values=p_values, parts={"outputs": "probability_a"}, p_value=0.0003)
    found = ring("drift", look)
    assert "the model's outputs (probability_a) and the features differ" in found.text
    assert ring("drift(alpha=.0006)", look) is not None
    quiet = a_look(p_values={"outputs": 0.004, "answers": 0.2, "features": 0.1}, p_value=0.012)
    assert ring("drift", quiet) is None and ring("drift(alpha=.05)", quiet) is not None
    assert ring("drift", a_look()) is None, "a window with too few rows has no p-value"


def test_a_surge_is_fishers_test_against_the_windows_before():
    earlier = [a_look(0.4, number=number) for number in range(1, 4)]
    look = a_look(0.55, number=4)
    expected = stats.fisher_exact([[275, 225], [600, 900]], alternative="greater").pvalue
    found = ring("surge(label=bad)", look, earlier)
    assert f"p {expected:.2g}" in found.text and "windows before" in found.text
    assert ring("surge(label=bad, points=.2)", look, earlier) is None, "too small to matter"
    assert ring(f"surge(label=bad, alpha={expected / 2})", look, earlier) is None
    assert ring("surge(label=good)", look, earlier) is None


def test_a_surge_goes_on_ringing_while_it_lasts():
    text = "surge(label=bad, windows=2)"
    rung = Ring(text, "", 0.7, 0.5)
    earlier = [a_look(0.4), a_look(0.7, rings=(rung,)), a_look(0.7, rings=(rung,))]
    assert ring(text, a_look(0.7), earlier) is not None
    plain = [a_look(0.4), a_look(0.7), a_look(0.7)]
    assert ring(text, a_look(0.7), plain) is None, "only the last windows are compared with"


def test_a_surge_compares_with_the_reference_at_first_or_where_it_is_told_to():
    usual = Summary({"bad": 0.2, "good": 0.8}, {})
    found = ring("surge(label=bad)", a_look(0.4), usual=usual)
    assert "from 20.0% in the reference" in found.text
    earlier = [a_look(0.4)]
    assert ring("surge(label=bad)", a_look(0.4), earlier, usual=usual) is None
    assert ring("surge(label=bad, windows=0)", a_look(0.4), earlier, usual=usual) is not None


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("rate(label=bad)", "needs a number as its bound"),
        ("rate(label=bad, above=much)", "needs a number as its bound"),
        ("rate(label=bad, above=40)", "from 0 to 1"),
        ("rate(above=.4)", "needs label"),
        ("rate(label=bda, above=.4)", "does not predict 'bda'"),
        ("surge(label=ugly)", "does not predict 'ugly'"),
        ("surge(label=bad, points=0)", "points above 0"),
        ("mean(above=2)", "this run predicts classes"),
        ("drift(alpha=2)", "between 0 and 1"),
        ("drift(alpha=.000001)", "too small for the permutation test"),
        ("failures(above=1)", "below 1"),
        ("drfit", "there is no alarm 'drfit'"),
        (" ", "names no alarm"),
    ],
)
def test_wrong_alarms_are_refused(text, what):
    with pytest.raises(FlagError, match=what) as error:
        ring(text, a_look())
    assert error.value.flag == "alarm" and error.value.fix


def test_rates_of_numbers_are_refused():
    with pytest.raises(FlagError, match="this run predicts numbers"):
        ring("rate(label=bad, above=.4)", a_look(), about=NUMBERS)


def test_the_levels_of_alarms_are_known():
    calls = {name: row.args for name, row in ALARMS.items()}
    assert [name for name, args in calls.items() if "alpha" in args] == ["drift", "surge"]
    for name in ("drift", "surge(label=a)", "rate(label=a, above=.1)", "mean(above=1)", "failures"):
        call = call_strings.pick(ALARMS, name, "alarm")
        assert call.build().alpha == call.kwargs.get("alpha", 0.0)

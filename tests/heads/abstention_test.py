import keras
import numpy as np
import pytest
import scipy.stats

from tltf.config import call_strings, checks
from tltf.config.catalogs import HEADS
from tltf.errors import FlagError
from tltf.heads import abstention
from tltf.models.prediction import Prediction

NAMES = ("a", "b", "c")


def rule(text):
    return checks.pick_abstention(text).build()


def head(text):
    return call_strings.pick(HEADS, text, "head").build()


def stated(num_rows, seed=0, sharpness=2.0, num_classes=3):
    """`(float32[N, C], int[N])`: probabilities, and classes that are drawn from them."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, sharpness, (num_rows, num_classes))
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    labels = (rng.random((num_rows, 1)) > shares.cumsum(axis=1)[:, :-1]).sum(axis=1)
    return shares.astype(np.float32), labels


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 1.0])
def test_coverage_answers_that_share_of_validation(share):
    probabilities, labels = stated(301)
    made = head("classify").abstain(rule(f"coverage({share})"), probabilities, labels)
    assert made.is_sure(probabilities).sum() == np.ceil(share * 301)
    tops = probabilities.max(axis=1)
    assert made.sure_from == pytest.approx(np.quantile(tops, 1 - share, method="lower"), rel=0.02)


def test_rows_that_share_the_threshold_are_answered_together():
    probabilities = np.tile(np.float32([[0.7, 0.2, 0.1], [0.5, 0.3, 0.2]]), (10, 1))
    made = head("classify").abstain(rule("coverage(.3)"), probabilities, np.zeros(20, int))
    assert made.sure_from == 0.7 and made.is_sure(probabilities).mean() == 0.5


def test_accuracy_takes_the_lowest_threshold_whose_bound_is_high_enough():
    """The bound is Clopper and Pearson's, for all twenty shares of the rows together."""
    probabilities, labels = stated(2000)
    tops, is_right = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    good = []
    for number in range(1, 21):
        edge = np.sort(tops)[::-1][number * 100 - 1]
        right, count = is_right[tops >= edge].sum(), (tops >= edge).sum()
        test = scipy.stats.binomtest(right, count, alternative="greater")
        bound = test.proportion_ci(1 - 0.05 / 20, method="exact").low
        good += [edge] * (bound >= 0.9)
    assert 1 < len(good) < 20
    assert rule("accuracy(.9)").choose(probabilities, labels).sure_from == pytest.approx(min(good))


def test_the_promised_accuracy_is_kept_with_the_promised_confidence():
    """Of thresholds that are chosen on 400 rows each, on very many new rows."""
    new, truths = stated(200_000, seed=99)
    tops, is_right = new.max(axis=1), new.argmax(axis=1) == truths
    order = np.argsort(-tops)
    running = np.cumsum(is_right[order]) / np.arange(1, len(order) + 1)
    kept, num_answered = 0, 0
    for seed in range(100):
        edge = rule("accuracy(least=.85, confidence=.8)").choose(*stated(400, seed)).sure_from
        count = int((tops >= edge).sum())
        num_answered += count > 0
        kept += count == 0 or running[count - 1] >= 0.85
    assert num_answered >= 90 and kept >= 80


def test_without_a_good_threshold_it_is_never_sure():
    probabilities, labels = stated(300)
    made = head("classify").abstain(rule("accuracy(.999)"), probabilities, labels)
    assert made.sure_from == abstention.NEVER and not made.is_sure(probabilities).any()


def test_conformal_sets_hold_the_true_class_as_often_as_promised():
    """Mean coverage over calibrations is within [1 - error, 1 - error + 1 / (n + 1)]: eq. 1 of the paper."""
    new, truths = stated(50_000, seed=99)
    shares = []
    for seed in range(60):
        edge = rule("conformal(.1)").choose(*stated(99, seed)).set_from
        shares.append((new[np.arange(len(new)), truths] >= np.float32(edge)).mean())
    assert np.mean(shares) == pytest.approx(0.905, abs=0.012)


def test_the_conformal_threshold_is_that_of_the_equation():
    probabilities, labels = stated(57)
    made = rule("conformal(.2)").choose(probabilities, labels)
    scores = np.sort(1 - probabilities[np.arange(57), labels])
    assert 1 - made.set_from == pytest.approx(scores[int(np.ceil(58 * 0.8)) - 1], rel=1e-6)
    assert rule("conformal(.01)").choose(probabilities, labels).set_from == 0, "57 rows are too few"


def test_a_conformal_model_is_sure_of_sets_of_one_class():
    made = head("classify(set_from=.3)")
    rows = np.float32([[0.9, 0.05, 0.05], [0.5, 0.4, 0.1], [0.29, 0.29, 0.29], [0.3, 0.2, 0.2]])
    assert made.is_sure(rows).tolist() == [True, False, False, True]


@pytest.mark.parametrize("text", ["coverage(.9)", "accuracy(.95)", "accuracy(.5)", "conformal(.1)"])
def test_the_least_rows_are_enough_and_one_fewer_is_not(text):
    made = rule(text)
    certain = np.float32([[0.98, 0.01, 0.01]])
    for count in (made.least_rows, made.least_rows - 1):
        rows = np.repeat(certain, max(count, 1), axis=0)
        found = head("classify").abstain(made, rows, np.zeros(len(rows), int))
        assert found.is_sure(certain)[0] == (count == made.least_rows or count == 0)


@pytest.mark.parametrize("limits", ["sure_from=.6", "set_from=.3", "sure_from=.5, set_from=.3"])
@pytest.mark.parametrize("name", ["classify", "ordinal"])
def test_every_way_out_says_the_same(name, limits):
    made = head(f"{name}({limits})")
    assert made.abstains
    rows, _ = stated(60, sharpness=1.0)
    is_sure = made.is_sure(rows)
    assert 0 < is_sure.sum() < 60
    served = made.serving_outputs(keras.ops.convert_to_tensor(rows), [n.encode() for n in NAMES])
    assert served["is_sure"].numpy().tolist() == is_sure.tolist()
    answers = [label.decode() for label in served["label"].numpy()]
    assert answers == made.answers(rows, NAMES)
    assert [bool(answer) for answer in answers] == is_sure.tolist()
    for row, answer, sure in zip(rows, answers, is_sure, strict=True):
        found = Prediction("x", **made.read(row, NAMES))
        assert (found.label, found.is_sure) == (answer, sure)
        assert repr(found).startswith("Prediction('" if sure else "Prediction(not sure: '")
        cells = made.answer_cells(vars(found), NAMES)
        assert cells["is_sure"] == sure and cells["confidence"] == pytest.approx(row.max())
        assert cells["predicted_label"] == (answer or None)


def test_a_head_that_always_answers_says_nothing_of_it():
    made = head("classify")
    rows, _ = stated(5)
    assert not made.abstains and made.is_sure(rows).all()
    served = made.serving_outputs(keras.ops.convert_to_tensor(rows), [n.encode() for n in NAMES])
    assert set(served) == {"label", "probabilities"}
    assert "is_sure" not in made.answer_cells(
        vars(Prediction("x", **made.read(rows[0], NAMES))), NAMES
    )


def test_a_users_threshold_stays():
    given, rows = head("classify(sure_from=.4)"), stated(50)
    assert given.abstain(rule("coverage(.9)"), *rows) is given


def test_a_model_that_abstains_takes_no_other_threshold():
    with pytest.raises(FlagError, match="gives no answer where it is not sure") as caught:
        head("classify(sure_from=.8)").positive_class(("no", "yes"))
    assert caught.value.flag == "threshold" and "--abstain=none" in caught.value.fix


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("coverage(0)", "coverage takes a share above 0"),
        ("coverage(1.1)", "coverage takes a share above 0"),
        ("accuracy(1.0)", "accuracy takes numbers above 0 and below 1"),
        ("accuracy(least=.9, confidence=0.0)", "accuracy takes numbers above 0 and below 1"),
        ("conformal(0.0)", "conformal takes a share above 0 and below 1"),
        ("coverage(high)", "coverage\\(share=...\\) takes a float"),
        ("coverage(.9, .8)", "is not key=value"),
        ("surely", "there is no abstain 'surely'"),
    ],
)
def test_refuses(text, said):
    with pytest.raises(FlagError, match=said):
        rule(text)


@pytest.mark.parametrize(
    "text", ["classify(temperature=0)", "classify(sure_from=-1)", "ordinal(temperature=high)"]
)
def test_refuses_what_is_no_limit(text):
    with pytest.raises(FlagError, match="takes a number above 0"):
        head(text)


def test_none_is_no_rule_and_the_first_argument_needs_no_name():
    assert checks.pick_abstention("none") is None and checks.pick_abstention("") is None
    assert checks.pick_abstention("coverage(.8)").kwargs == {"share": 0.8}
    assert checks.pick_abstention("coverage(share=.8)").kwargs == {"share": 0.8}
    assert checks.pick_abstention("conformal").kwargs == {"error": 0.1}

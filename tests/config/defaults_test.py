import pytest

from tltf.config import call_strings, defaults
from tltf.config.catalogs import METHODS
from tltf.config.options import flag_values, make
from tltf.errors import FlagError


def situation(**values):
    given = {
        "modality": "image",
        "num_train": 1000,
        "num_classes": 10,
        "is_pretrained": True,
        "has_validation": True,
    } | values
    return defaults.Situation(**given)


def resolve(options, case):
    """The options with every `auto` replaced, as a run does it."""
    text = options.train.method
    given = None if text == "auto" else call_strings.pick(METHODS, text, "method")
    return defaults.resolve(options, case, defaults.choose_method(given, case))


@pytest.mark.parametrize("modality", ["image", "text"])
@pytest.mark.parametrize(
    "method", ["auto", "linear_probe", "partial(last_groups=1)", "full", "scratch"]
)
@pytest.mark.parametrize("is_pretrained", [True, False])
@pytest.mark.parametrize("num_train", [5, 1000, 100_000])
def test_nothing_is_left_open(modality, method, is_pretrained, num_train):
    case = situation(modality=modality, is_pretrained=is_pretrained, num_train=num_train)
    resolved = resolve(make(method=method), case)
    train = resolved.train
    open_flags = [k for k, v in flag_values(resolved).items() if v is None or v == "auto"]
    as_pretrained = {"backbone_dropout", "stochastic_depth"}
    of_the_machine = {"strategy", "resume", "deterministic", "backbone", "precision"}
    of_the_head = {"metric", "calibrate"}
    left = (
        {"image_size_px", "text_length", "explain"} | of_the_machine | of_the_head | as_pretrained
    )
    assert set(open_flags) <= left
    assert 1 <= train.batch_size <= num_train and train.learning_rate > 0
    assert resolved == resolve(resolved, case), "resolving twice changes nothing"


@pytest.mark.parametrize(
    ("method", "values", "wanted"),
    [
        ("lp_ft", {"num_examples": 40_000}, "logistic"),
        ("lp_ft(solver=gradient)", {"num_examples": 40_000}, "none"),
        ("full", {"num_examples": 5_000}, "logistic"),
        ("full", {"num_examples": 5_001}, "none"),
        ("full", {"is_pretrained": False}, "none"),
        ("lp_ft", {"has_test": False}, "none"),
        ("linear_probe", {}, "logistic"),
        ("linear_probe(solver=lbfgs)", {}, "none"),
    ],
)
def test_the_linear_baseline_is_measured_where_it_costs_little(method, values, wanted):
    case = situation(**values)
    assert resolve(make(method=method), case).output.baseline == wanted
    for given in ("", "none", "scratch", "logistic|scratch"):
        assert resolve(make(method=method, baseline=given), case).output.baseline == given


@pytest.mark.parametrize(
    ("method", "has_oracle", "wanted"),
    [
        ("dann", True, "probe|oracle"),
        ("self_training", True, "probe|oracle"),
        ("dann", False, "logistic"),
        ("full", True, "logistic"),
    ],
)
def test_a_method_that_reads_a_target_is_beside_both_light_heads(method, has_oracle, wanted):
    case = situation(has_oracle=has_oracle)
    assert resolve(make(method=method), case).output.baseline == wanted


def test_what_is_given_is_kept():
    given = {
        "method": "full",
        "optimizer": "sgd",
        "learning_rate": 0.3,
        "batch_size": 7,
        "train_epochs": 2,
        "schedule": "plateau",
        "warmup_fraction": 0.0,
        "weight_decay": 0.1,
        "norm": "frozen",
        "keep": "last",
        "eval_batch_size": 9,
    }
    resolved = flag_values(resolve(make(**given), situation(modality="text")))
    assert {name: resolved[name] for name in given} == given


@pytest.mark.parametrize(
    ("values", "method"),
    [
        ({"num_train": 40}, "probe"),
        ({"num_train": 40, "has_unlabelled": True}, "label_propagation"),
        ({"num_train": 40, "has_unlabelled": True, "modality": "text"}, "probe"),
        ({"num_train": 41, "has_unlabelled": True}, defaults.MIXED),
        ({"num_train": 499}, defaults.MIXED),
        ({"num_train": 499, "has_several_heads": True}, "lp_ft"),
        ({"num_train": 500}, "lp_ft"),
        ({"num_train": 50_000}, "lp_ft"),
        ({"num_train": 50_001}, "full"),
        ({"num_train": 199, "is_solvable": False}, "linear_probe"),
        ({"num_train": 200, "is_solvable": False}, "full"),
        ({"num_train": 200, "is_pretrained": False}, "scratch"),
        ({"has_target": True}, "probe"),
        ({"has_target": True, "is_pretrained": False}, "scratch"),
        ({"has_target": True, "num_train": 200, "is_solvable": False}, "full"),
    ],
)
def test_auto_method(values, method):
    assert defaults.choose_method(None, situation(**values)).text == method


def test_few_rows_keep_the_last_epoch_of_few():
    few = resolve(make(), situation(num_train=250))
    assert few.train.keep == "last"
    assert few.train.train_epochs == 12
    assert few.train.warmup_fraction == 0.1
    assert resolve(make(method="lp_ft"), situation(num_train=250)).train.keep == "best"


@pytest.mark.parametrize(
    ("flags", "warmup"),
    [
        ({"method": "lp_ft"}, 0.1),
        ({"method": "wise_ft"}, 0.1),
        ({"method": "full"}, 0.0),
        ({"method": "full", "head_weights": "solved"}, 0.1),
        ({"method": "full", "head_weights": "solved", "warmup_fraction": 0.0}, 0.0),
        ({"method": "lp_ft", "schedule": "one_cycle"}, 0.3),
    ],
)
def test_pictures_warm_up_after_a_solved_head(flags, warmup):
    assert resolve(make(**flags), situation()).train.warmup_fraction == warmup


def test_auto_speaks_of_a_target_only_where_there_is_one():
    case = situation(num_train=40)
    assert defaults.choose_method(None, case).text == "probe"
    assert defaults.why_method(case) == "4 labels per class"


def test_auto_says_that_it_learns_from_the_source_alone():
    case = situation(has_target=True, has_oracle=True)
    assert defaults.why_method(case).startswith("the source alone")
    assert resolve(make(method="auto"), case).output.baseline == "oracle"
    assert resolve(make(method="align"), case).output.baseline == "probe|oracle"


def test_pretrained_batch_norms_keep_their_statistics_where_the_network_is_fine_tuned():
    norms = {
        method: resolve(make(method=method), situation()).train.norm
        for method in ("full", "rules", "lora", "lp_ft(backbone_rate=.5)", "wise_ft", "curriculum")
    }
    assert norms == {
        "full": "frozen",
        "rules": "train",
        "lora": "train",
        "lp_ft(backbone_rate=.5)": "frozen",
        "wise_ft": "frozen",
        "curriculum": "frozen",
    }
    anew = resolve(make(method="full"), situation(is_pretrained=False))
    assert anew.train.norm == "train", "random weights have no statistics to keep"
    given = resolve(make(method="lp_ft", norm="train"), situation())
    assert given.train.norm == "train"


def test_best_epoch_needs_a_validation_split():
    assert resolve(make(), situation()).train.keep == "best"
    assert resolve(make(), situation(has_validation=False)).train.keep == "last"


def test_only_adamw_decays_by_default():
    assert resolve(make(optimizer="adam"), situation()).train.weight_decay == 0
    assert resolve(make(optimizer="adamw"), situation()).train.weight_decay == 0.01


def test_fewer_epochs_for_more_data():
    epochs = [
        resolve(make(method="full"), situation(num_train=n)).train.train_epochs
        for n in (100, 1000, 10_000)
    ]
    assert epochs == sorted(epochs, reverse=True) and epochs[0] > epochs[-1]


@pytest.mark.parametrize("method", ["l2_sp", "l2_sp(alpha=.5)", "delta"])
def test_a_method_with_a_penalty_of_its_own_has_no_weight_decay_beside_it(method):
    """Li et al. 2018 put their penalty in the place of the decay; one that is asked for is kept."""
    decay = lambda **given: (  # noqa: E731
        resolve(make(**given), situation(modality="text")).train.weight_decay
    )
    assert decay(method=method) == 0.0
    assert decay(method=method, weight_decay=0.02) == 0.02
    assert decay(method="full") == 0.01


@pytest.mark.parametrize("weights", ["balanced", "effective"])
@pytest.mark.parametrize("method", ["full", "linear_probe(solver=lbfgs)"])
def test_classes_are_not_balanced_twice(weights, method):
    with pytest.raises(FlagError, match="balance them twice") as caught:
        given = {"class_weights": weights, "sampling": "balanced", "method": method}
        resolve(make(**given), situation())
    assert caught.value.flag == "class_weights"
    for given in ({"class_weights": weights}, {"sampling": "balanced"}):
        resolve(make(**given), situation())


def test_an_epoch_of_a_semi_supervised_method_passes_over_rows_without_labels():
    case = situation(num_train=8, num_classes=2, num_unlabelled=6400)
    train = resolve(make(method="fixmatch"), case).train
    assert (train.batch_size, train.train_epochs) == (64, 8), "800 steps"
    train = resolve(make(method="dann"), case).train
    assert train.batch_size == 8, "the others count training rows"


def test_a_method_whose_epoch_reads_rows_twice_takes_as_many_steps_as_another():
    case = situation(num_train=64, num_classes=2)
    steps = {
        name: resolve(make(method=name), case).train.train_epochs * passes * 2
        for name, passes in (("prototypes", 1), ("setfit", 2))
    }
    assert steps == {"prototypes": 50, "setfit": 48}


def test_a_usual_batch_size_that_few_rows_cannot_fill_is_not_warned_of(recwarn):
    assert resolve(make(method="full"), situation(num_train=5)).train.batch_size == 5
    assert not recwarn
    resolve(make(method="full", batch_size=6), situation(num_train=5))
    assert "--batch_size=6 is more than the training split can fill" in str(recwarn[0].message)


def test_several_heads_on_a_network_of_texts_train_at_twice_the_rate():
    for method, factor in {"lp_ft": 2, "full": 2, "linear_probe": 1, "lora": 1}.items():
        own, shared = (
            resolve(make(method=method), situation(modality="text", has_several_heads=several))
            for several in (False, True)
        )
        assert shared.train.learning_rate == factor * own.train.learning_rate
    given = resolve(make(method="full", learning_rate=1e-5), situation(has_several_heads=True))
    assert given.train.learning_rate == 1e-5

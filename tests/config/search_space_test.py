"""The text of --space: what it says, what is refused, and the spaces that methods have without one."""

import pytest

from tltf.config import default_spaces, flagfiles, options, search_space
from tltf.config.catalogs import METHODS
from tltf.config.search_options import SearchOptions
from tltf.config.search_space import Choice, Range
from tltf.errors import FlagError

TEXT = (
    "learning_rate: log(1e-5, 1e-2); method: [full, lp_ft, lora(rank=4), lora(rank=16, alpha=8)]; "
    "label_smoothing: uniform(0, .2); train_epochs: int(1, 6); batch_size: log(8, 128); norm: [auto, frozen]"
)


def test_each_kind_is_read_with_the_type_of_its_flag():
    assert search_space.parse(TEXT) == {
        "learning_rate": Range(1e-5, 1e-2, is_log=True),
        "method": Choice(("full", "lp_ft", "lora(rank=4)", "lora(rank=16, alpha=8)")),
        "label_smoothing": Range(0.0, 0.2),
        "train_epochs": Range(1, 6, is_whole=True),
        "batch_size": Range(8, 128, is_log=True, is_whole=True),
        "norm": Choice(("auto", "frozen")),
    }
    assert search_space.parse("learning_rate: [auto, 1e-3]")["learning_rate"] == Choice(
        (None, 0.001)
    )
    assert search_space.parse("augment: ['', 'flip|crop']")["augment"] == Choice(("", "flip|crop"))


def test_what_is_written_is_read_again():
    space = search_space.parse(TEXT)
    again = "; ".join(f"{name}: {search_space.kind_text(kind)}" for name, kind in space.items())
    assert search_space.parse(again) == space


@pytest.mark.parametrize(
    ("text", "said", "fix"),
    [
        ("", "is empty", "learning_rate: log"),
        (
            "learnin_rate: log(1, 2)",
            "no flag 'learnin_rate'.*choices: learning_rate",
            "learning_rate: log(1, 2)",
        ),
        ("data: [vader, digits]", "--data is the same for all trials", "leave it out"),
        (
            "learning_rate log(1e-5, 1)",
            "'learning_rate log.1e-5, 1.' is not FLAG: KIND",
            "learning_rate: log(1e-5, 1)",
        ),
        ("learning_rate: loguniform(1, .1)", "does not rise", ""),
        ("learning_rate: lgo(1, 2)", "'lgo.1, 2.' of learning_rate is no kind", ""),
        (
            "learning_rate: 0.1",
            "'0.1' of learning_rate is no kind",
            "--learning_rate=0.1, without it in --space",
        ),
        ("learning_rate: log(0, 1)", "takes a number > 0", ""),
        ("weight_decay: log(0, 1)", "begins at 0", ""),
        (
            "learning_rate: log(1e-5)",
            "needs its smallest and its largest number",
            "log(1e-5, 1e-2)",
        ),
        ("learning_rate: log(1e-5, x)", "'x' of learning_rate: takes a number", ""),
        ("learning_rate: log(1e-5, 1", "is not closed", ""),
        ("learning_rate: log(1, 2); learning_rate: [1]", "learning_rate is there twice", ""),
        (
            "train_epochs: uniform(1, 4)",
            "train_epochs takes a whole number",
            "train_epochs: int(1, 4)",
        ),
        (
            "label_smoothing: int(0, 1)",
            "label_smoothing takes a number",
            "label_smoothing: uniform(0, 1)",
        ),
        ("method: log(1, 2)", "are numbers, and method takes text", "[first, second"),
        ("train_epochs: [0, 1]", "'0' of train_epochs: takes a number >= 1", ""),
        ("method: []", "the list of method is empty", ""),
        ("batch_size: [16, 16]", "'16' is twice in the list of batch_size", ""),
        ("optimizer: [adam, sdg]", "'sdg' of optimizer: has no choice", ""),
    ],
)
def test_errors_say_which_part_is_wrong(text, said, fix):
    with pytest.raises(FlagError, match=said) as caught:
        search_space.parse(text)
    assert caught.value.flag == "space" and fix in caught.value.fix


def test_a_value_that_no_run_takes_is_refused_before_anything_is_trained():
    run = options.make(data="digits", backbone="small_cnn", output="x")
    search_space.check_values(search_space.parse("method: [full, lora(rank=4)]"), run)
    for text, said in [
        ("method: [full, lorra(rank=4)]", "'lorra.rank=4.' of method: there is no method 'lorra'"),
        ("method: [lora(rnk=4)]", "lora has no argument 'rnk'"),
        ("head: [classify, clasify]", "'clasify' of head"),
    ]:
        with pytest.raises(FlagError, match=said) as caught:
            search_space.check_values(search_space.parse(text), run)
        assert caught.value.flag == "space"


@pytest.mark.parametrize("method", ["auto", *METHODS])
def test_every_method_has_a_space_whose_values_are_its_own(method):
    row = METHODS.get(method)
    needs = row and any(isinstance(value, type) for value in row.args.values())
    if needs:
        pytest.skip("it has an argument that must be given")
    space = search_space.parse(default_spaces.space_of(method))
    run = options.make(data="vader", backbone="minilm_l6", output="x")
    if not row or not (row.reads or row.needs):
        search_space.check_values(space, run)
    if "method" in space and method != "auto":
        assert all(str(value).startswith(method) for value in space["method"].values)


def test_the_flags_of_other_tools_are_known():
    for typed, meant in (("n_trials=9", "trials=9"), ("search_space=x", "space=x")):
        with pytest.raises(FlagError) as caught:
            flagfiles.parse(SearchOptions, [f"--{typed}"])
        assert caught.value.fix == f"--{meant}"


def test_an_argument_that_the_method_has_is_not_searched():
    space = search_space.parse(default_spaces.space_of("lora(alpha=3)"))
    assert "lora(alpha=3.0, rank=4)" in space["method"].values
    assert "method" not in search_space.parse(default_spaces.space_of("lora(rank=3)"))
    with pytest.raises(FlagError, match="nothing is usual"):
        default_spaces.space_of("probe(family=ridge)")

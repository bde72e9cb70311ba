"""Word operations against lists written by hand, and WordNet against its own pages."""

import numpy as np
import pytest

from tests.contracts.augments_test import texts_source
from tltf.data.texts import copies, wordnet
from tltf.errors import DataError, FlagError

WORDS = ["the", "quick", "film", "was", "a", "great", "story", "about", "great", "love"]
SYNONYMS = {"great": ["grand"], "film": ["movie"], "love": ["passion"]}


def synonyms(word):
    return SYNONYMS.get(word, [])


def rng(seed=0):
    return np.random.default_rng(seed)


def test_a_synonym_stands_wherever_the_word_did():
    for seed in range(20):
        found = copies.replace_words(WORDS, 1, rng(seed), synonyms)
        changed = {(old, new) for old, new in zip(WORDS, found, strict=True) if old != new}
        assert changed in ({("great", "grand")}, {("film", "movie")}, {("love", "passion")})
    found = copies.replace_words(WORDS, 9, rng(), synonyms)
    assert " ".join(found) == "the quick movie was a grand story about grand passion"


def test_inserted_words_are_synonyms_of_some():
    found = copies.insert_words(WORDS, 3, rng(), synonyms)
    assert len(found) == len(WORDS) + 3
    rest = list(found)
    for word in WORDS:
        rest.remove(word)
    assert set(rest) <= {"grand", "movie", "passion"}
    assert copies.insert_words(["of", "the"], 2, rng(), synonyms) == ["of", "the"]


def test_swapping_keeps_the_words():
    found = copies.swap_words(WORDS, 1, rng())
    assert sorted(found) == sorted(WORDS)
    assert sum(old != new for old, new in zip(WORDS, found, strict=True)) == 2
    assert copies.swap_words(["one"], 3, rng()) == ["one"]


def test_deleting_leaves_the_order_and_at_least_one_word():
    words = [str(n) for n in range(5000)]
    found = copies.delete_words(words, 0.2, rng())
    assert found == sorted(found, key=int) and abs(len(found) - 4000) < 150
    assert len(copies.delete_words(WORDS, 1.0, rng())) == 1


def test_a_word_without_meaning_of_its_own_has_no_synonym():
    assert copies.replace_words(["the", "was", "a"], 3, rng(), lambda word: ["x"]) == [
        "the",
        "was",
        "a",
    ]


@pytest.fixture(scope="module")
def words():
    return wordnet.WordNet()


def test_wordnet_knows_its_synsets(words):
    """wn 3.1: film, movie, picture, ... are one synset; forms are led back to their lemma."""
    found = words.synonyms("film")
    assert {"movie", "picture", "motion picture", "cinema"} <= set(found) and "film" not in found
    assert words.synonyms("Films") == sorted(set(found) - {"films"})
    assert "car" in words.synonyms("automobile") and "auto" in words.synonyms("cars")
    assert {"speedy", "fast"} <= set(words.synonyms("quick"))
    assert words.synonyms("zzyzx") == []
    assert not [word for word in words.synonyms("good") if "_" in word or "(" in word]


def test_eda_changes_about_a_tenth_of_the_words():
    function = copies.eda(alpha=0.2, copies=1).function
    texts = ["great story film love quick bright child house river stone"] * 200
    changed = [len(set(texts[0].split()) - set(new.split())) for new in function(texts, [0, 0])]
    assert function(texts, [0, 0]) == function(texts, [0, 0]) != function(texts, [0, 1])
    assert max(changed) <= 8 and 0.2 < np.mean(changed) < 2


@pytest.mark.parametrize("function", ["one_less", "numbers"])
def test_a_function_that_does_not_give_a_text_for_each(function):
    call = f"back_translation(function=tests.data.texts.copies_test:{function})"
    with pytest.raises(DataError, match="back_translation returned"):
        copies.add_copies(texts_source(), call, 0)


def one_less(texts, seed):
    return texts[1:]


def numbers(texts, seed):
    return list(range(len(texts)))


@pytest.mark.parametrize(
    "arguments", [{"alpha": 0.0}, {"copies": 0}, {"operations": ("turn",)}, {"operations": ()}]
)
def test_numbers_out_of_their_range_are_refused(arguments):
    with pytest.raises(FlagError):
        copies.eda(**arguments)

"""What of a text is cut off, to within one word."""

import keras_hub
import pytest

from tests.data.texts.preprocessing_test import VOCABULARY
from tltf.data.texts.preprocessing import TextPreprocessing
from tltf.data.texts.unread import unread_parts


@pytest.fixture(scope="module")
def tokenizer():
    return keras_hub.tokenizers.BertTokenizer(vocabulary=VOCABULARY, lowercase=True)


def read(text, parts):
    """What is left of a text without its unread parts."""
    for start, end in reversed(parts or []):
        assert 0 <= start < end <= len(text)
        text = text[:start] + "|" + text[end:]
    return text


def test_what_fits_is_read_whole_and_what_does_not_is_cut_behind_a_word(tokenizer):
    """Six of eight tokens are the text's; unwatchable is three."""
    texts = ["the film was good!", "", "the film was good the film was bad", "unwatchable " * 9]
    found = unread_parts(TextPreprocessing(tokenizer, 8), [texts])
    assert found[:2] == [None, None]
    assert read(texts[2], found[2]).rstrip(" |") == "the film was good the film"
    assert read(texts[3], found[3]).rstrip(" |") == "unwatchable unwatchable"


def test_a_word_that_is_cut_through_is_not_read(tokenizer):
    text = "the film was good unwatchable"
    (parts,) = unread_parts(TextPreprocessing(tokenizer, 7), [[text]])
    assert read(text, parts) == "the film was good |"


def test_of_two_texts_each_has_its_own_end(tokenizer):
    """Of 9 tokens 3 are special, and each text keeps three; the parts are places in the joined text."""
    first, second = "the film was good the film", "good good good good good"
    prepared = TextPreprocessing(tokenizer, 9, fields=("question", "answer"))
    (parts,) = unread_parts(prepared, [[first], [second]])
    joined = f"{first}\n{second}"
    assert len(parts) == 2 and parts[0][1] == len(first) and parts[1][1] == len(joined)
    shown = read(joined, parts).split("\n")
    assert [line.rstrip(" |") for line in shown] == ["the film was", "good good good"]
    (parts,) = unread_parts(prepared, [["good"], [second]])
    assert read(f"good\n{second}", parts).rstrip(" |") == "good\ngood good good good good", (
        "it fits"
    )


def test_only_the_start_of_a_very_long_text_is_searched(tokenizer):
    """A book is cut near its start, or counts as read where the cut is far behind what is shown."""
    book = "good " * 50_000
    found = unread_parts(TextPreprocessing(tokenizer, 5), [[book, "good"]])
    assert found == [[[14, len(book)]], None] or found == [[[15, len(book)]], None]
    assert unread_parts(TextPreprocessing(tokenizer, 900), [[book]]) == [None]

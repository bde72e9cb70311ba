"""Words and their tokens, for the kinds of tokenizers that there are."""

import keras_hub
import numpy as np
import pytest

from tltf.backbones.small import learn_tokenizer
from tltf.data.texts.preprocessing import TextPreprocessing
from tltf.data.texts.words import TextPart, parts_of

TEXTS = [
    "A fine film, isn't it?",
    "  Not good!!  The e-mail-like plot\tis thin ",
    "日本 is a word",
    "Ünïcode café",
]


def wordpiece(length=40, fields=("text",)):
    tokenizer = learn_tokenizer([*TEXTS, "fine fine film film good good plot plot"], 200)
    return TextPreprocessing(tokenizer, length, fields=fields)


def byte_pairs(length=40):
    """A byte-level vocabulary with a few merges, and blanks at the beginning of words."""
    letters = [chr(code) for code in (*range(33, 127), *range(161, 173), *range(174, 256))]
    letters += [chr(256 + place) for place in range(256 - len(letters))]  # for blanks and the like
    merges = ["f i", "fi n", "fin e", "Ġ fine", "o d", "Ġ g", "Ġg o", "Ġgo od"]
    names = ["<|endoftext|>", *letters, *(merge.replace(" ", "") for merge in merges)]
    vocabulary = {name: place for place, name in enumerate(dict.fromkeys(names))}
    tokenizer = keras_hub.tokenizers.GPT2Tokenizer(vocabulary=vocabulary, merges=merges)
    return TextPreprocessing(tokenizer, length)


@pytest.mark.parametrize("make", [wordpiece, byte_pairs])
@pytest.mark.parametrize("length", [40, 9])
def test_parts_are_the_text_and_own_every_token_once(make, length):
    prepared = make(length)
    (kept,) = prepared.kept_tokens(TEXTS)
    for text, count, parts in zip(TEXTS, kept, parts_of(prepared, [TEXTS]), strict=True):
        assert "".join(part.text for part in parts) == text
        places = [place for part in parts for place in range(part.first, part.end)]
        first = len(prepared.special_ids()[0])
        assert places == list(range(first, first + count))
        is_read = [part.is_read for part in parts if part.text.strip()]
        assert is_read == sorted(is_read, reverse=True)


@pytest.mark.parametrize("make", [wordpiece, byte_pairs])
def test_a_word_has_the_tokens_that_its_letters_make(make):
    prepared = make()
    ids = prepared(TEXTS)["token_ids"].numpy()
    for row, parts in enumerate(parts_of(prepared, [TEXTS])):
        for part in parts:
            if part.first < part.end and row < 3:
                said = prepared.tokenizer.detokenize(ids[row, part.first : part.end].tolist())
                assert str(said).replace(" ", "").lower() == part.text.lower().replace(" ", "")


def test_punctuation_is_apart_and_hyphens_and_apostrophes_are_not():
    words = [part.text for part in parts_of(wordpiece(), [TEXTS])[0] if part.text.strip()]
    assert words == ["A", "fine", "film", ",", "isn't", "it", "?"]
    words = [part.text for part in parts_of(wordpiece(), [TEXTS])[1] if part.text.strip()]
    assert words == ["Not", "good", "!!", "The", "e-mail-like", "plot", "is", "thin"]
    words = [part.text for part in parts_of(wordpiece(), [TEXTS])[2] if part.text.strip()]
    assert words == ["日", "本", "is", "a", "word"]


def test_what_is_cut_off_is_not_read():
    prepared = wordpiece(6)
    parts = parts_of(prepared, [["fine film good plot fine film"]])[0]
    read = [part.text for part in parts if part.first < part.end]
    assert read == ["fine", "film", "good", "plot"]
    assert [part.text for part in parts if not part.is_read and part.text.strip()] == [
        "fine",
        "film",
    ]


def test_texts_of_several_fields_follow_one_another():
    prepared = wordpiece(fields=("first", "second"))
    columns = [["fine film", "good"], ["good plot", "film"]]
    ids = prepared(*columns)["token_ids"].numpy()
    for row, parts in enumerate(parts_of(prepared, columns)):
        assert "".join(part.text for part in parts) == f"{columns[0][row]}\n{columns[1][row]}"
        for part in parts:
            if part.first < part.end:
                (own,) = prepared.token_ids([part.text])
                np.testing.assert_array_equal(ids[row, part.first : part.end], own)


class Odd:
    """A tokenizer that does not cut at blanks, so that only its own pieces are left."""

    pad_token_id = 0
    cls_token_id = 1
    sep_token_id = 2
    names = ("[PAD]", "[CLS]", "[SEP]", "▁fine", "▁f", "ilm", "▁e", "nd")

    def __call__(self, texts):
        import tensorflow as tf

        rows = [[3, 4, 5, 6, 7] if b" " in text else [7] for text in texts.numpy()]
        return tf.ragged.constant(rows, tf.int32)

    def id_to_token(self, token):
        return self.names[token]


def test_pieces_of_a_tokenizer_stand_for_words_where_nothing_else_fits():
    parts = parts_of(TextPreprocessing(Odd(), 12), [["fine film end"]])[0]
    assert parts == [
        TextPart("fine", 1, 2),
        TextPart(" ", 2, 2),
        TextPart("film", 2, 4),
        TextPart(" ", 4, 4),
        TextPart("end", 4, 6),
    ]

import keras_hub
import numpy as np
import pytest
import tensorflow as tf

from tltf.data.texts import preprocessing as texts_preprocessing

VOCABULARY = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "[MASK]",
    "the",
    "film",
    "was",
    "good",
    "un",
    "##watch",
    "##able",
    "!",
    ",",
]
TEXTS = ["The film was good!", "", "unwatchable, unwatchable, the the the the the the", "zzz 🎉"]


@pytest.fixture(scope="module")
def tokenizer():
    return keras_hub.tokenizers.BertTokenizer(vocabulary=VOCABULARY, lowercase=True)


@pytest.mark.parametrize("length", [5, 8, 16])
def test_equals_kerashubs_preprocessor(tokenizer, length):
    ours = texts_preprocessing.TextPreprocessing(
        tokenizer, length, ("token_ids", "padding_mask", "segment_ids")
    )
    theirs = keras_hub.models.BertTextClassifierPreprocessor(tokenizer, sequence_length=length)
    expected = theirs(TEXTS)
    for result in (ours(TEXTS), ours.graph_function(tf.constant(TEXTS))):
        assert set(result) == set(expected)
        for name, tensor in result.items():
            np.testing.assert_array_equal(tensor, expected[name])


def test_ids_by_hand(tokenizer):
    result = texts_preprocessing.TextPreprocessing(tokenizer, 8)(["the film was unwatchable"])
    assert set(result) == {"token_ids", "padding_mask"}
    assert result["token_ids"].numpy().tolist() == [[2, 5, 6, 7, 9, 10, 11, 3]]
    result = texts_preprocessing.TextPreprocessing(tokenizer, 8)(["good"])
    assert result["token_ids"].numpy().tolist() == [[2, 8, 3, 0, 0, 0, 0, 0]]
    assert result["padding_mask"].numpy().tolist() == [[True] * 3 + [False] * 5]


def test_what_is_cut_and_unknown_is_counted(tokenizer):
    """5, 0, 14 and 2 tokens; two of eight places are those of start and end."""
    found = texts_preprocessing.TextPreprocessing(tokenizer, 8).count(tf.constant(TEXTS))
    assert found == texts_preprocessing.TokenCounts(texts=4, cut=1, tokens=21, lost=8, unknown=2)
    assert "1 of 4 texts are cut, which loses 38.1%" in str(found) and "9.5% of" in str(found)
    none = texts_preprocessing.TextPreprocessing(tokenizer, 8).count(tf.constant([""]))
    assert str(none) == "no text is cut"


def test_roberta_pads_with_one():
    vocabulary = {"<s>": 0, "<pad>": 1, "</s>": 2, "a": 3, "<mask>": 4, "b": 5, "ab": 6}
    tokenizer = keras_hub.tokenizers.RobertaTokenizer(vocabulary=vocabulary, merges=["a b"])
    preprocessing = texts_preprocessing.TextPreprocessing(tokenizer, 5)
    result = preprocessing(["aa"])
    assert result["token_ids"].numpy().tolist() == [[0, 3, 3, 2, 1]]
    assert result["padding_mask"].numpy().tolist() == [[True] * 4 + [False]]
    assert preprocessing.unknown_id() is None
    texts = tf.constant(["aa", "abab", ""])
    graphed, eager = preprocessing.graph_function(texts), preprocessing(texts)
    np.testing.assert_array_equal(graphed["token_ids"], eager["token_ids"])


def test_the_graph_is_made_once(tokenizer):
    ours = texts_preprocessing.TextPreprocessing(tokenizer, 5)
    assert ours.graph_function is ours.graph_function
    ours.graph_function(tf.constant(TEXTS))
    ours.graph_function(tf.constant(TEXTS[:1]))
    assert ours.graph_function.experimental_get_tracing_count() == 1


def test_tokenizer_without_special_tokens():
    tokenizer = keras_hub.tokenizers.WordPieceTokenizer(vocabulary=VOCABULARY, lowercase=True)
    result = texts_preprocessing.TextPreprocessing(tokenizer, 4)(["good film", ""])
    assert result["token_ids"].numpy().tolist() == [[8, 6, 0, 0], [0] * 4]


def test_count_tokens_and_config(tokenizer):
    preprocessing = texts_preprocessing.TextPreprocessing(tokenizer, 4)
    assert preprocessing.count_tokens(TEXTS).numpy().tolist() == [7, 2, 16, 4]
    again = texts_preprocessing.TextPreprocessing.from_config(preprocessing.to_config(), tokenizer)
    assert again == preprocessing


def test_the_digest_tells_tokenizers_apart_and_only_those():
    def digest(vocabulary=VOCABULARY, **settings):
        made = keras_hub.tokenizers.BertTokenizer(vocabulary=vocabulary, **settings)
        return texts_preprocessing.TextPreprocessing(made, 8).tokenizer_digest()

    assert digest() == digest()
    others = [digest(), digest(lowercase=True), digest([*VOCABULARY[:-2], ",", "!"])]
    assert len(set(others)) == 3


PAIRS = (
    ["a b a", "b", "a b a b a b a b", "", "b"],
    ["b b", "a a a a a a a", "b a b a b", "a", "b"],
)


@pytest.mark.parametrize("length", [6, 8, 9, 12, 24])
def test_pairs_are_packed_as_kerashub_packs_them(length):
    tokenizer = keras_hub.tokenizers.BertTokenizer(
        vocabulary=["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "b"]
    )
    names = ("token_ids", "padding_mask", "segment_ids")
    pairs = texts_preprocessing.TextPreprocessing(tokenizer, length, names, ("first", "second"))
    packer = keras_hub.layers.MultiSegmentPacker(
        length, tokenizer.cls_token_id, tokenizer.sep_token_id, pad_value=0, truncate="round_robin"
    )
    ids, segments = packer(tuple(tokenizer(tf.constant(texts)) for texts in PAIRS))
    given = pairs.graph_function(*map(tf.constant, PAIRS))
    np.testing.assert_array_equal(given["token_ids"], ids)
    np.testing.assert_array_equal(given["segment_ids"], segments)
    counts = pairs.count_tokens(*PAIRS).numpy()
    np.testing.assert_array_equal(
        given["padding_mask"].numpy().sum(axis=1), counts.clip(max=length)
    )
    counted = pairs.count(*map(tf.constant, PAIRS))
    assert (counted.cut, counted.lost) == ((counts > length).sum(), (counts - length).clip(0).sum())
    again = texts_preprocessing.TextPreprocessing.from_config(pairs.to_config(), tokenizer)
    assert again == pairs


def test_pairs_of_roberta_have_two_ends_between_them():
    vocabulary = {"<s>": 0, "<pad>": 1, "</s>": 2, "a": 3, "<mask>": 4, "b": 5, "ab": 6}
    tokenizer = keras_hub.tokenizers.RobertaTokenizer(vocabulary=vocabulary, merges=["a b"])
    packer = keras_hub.layers.MultiSegmentPacker(10, 0, 2, sep_value=[2, 2], pad_value=1)
    texts = (["ab", "a"], ["ba", "b"])
    expected, _ = packer(tuple(tokenizer(tf.constant(column)) for column in texts))
    assert expected.numpy()[0, :7].tolist() == [0, 6, 2, 2, 5, 3, 2]  # <s> ab </s></s> ba </s>
    pairs = texts_preprocessing.TextPreprocessing(tokenizer, 10, fields=("first", "second"))
    given = pairs(*texts)
    np.testing.assert_array_equal(given["token_ids"], expected)
    np.testing.assert_array_equal(given["padding_mask"], expected.numpy() != 1)


@pytest.mark.parametrize(("lost", "is_warned"), [(10, False), (11, True), (62, True)])
def test_many_tokens_that_are_cut_off_are_warned_of(lost, is_warned):
    counts = texts_preprocessing.TokenCounts(texts=9, cut=5, tokens=100, lost=lost, unknown=0)
    warning = counts.warning(32)
    assert bool(warning) == is_warned
    if is_warned:
        assert warning.startswith(f"{lost}% of the tokens are cut off")
        assert "cut to 32 tokens: --text_length=64" in warning

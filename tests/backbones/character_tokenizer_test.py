"""Texts become single characters, in graphs too, and the vocabulary comes back from its file."""

import pytest
import tensorflow as tf

from tltf.backbones.character_tokenizer import PAD, START, CharacterTokenizer
from tltf.data.texts.preprocessing import TextPreprocessing
from tltf.errors import ModelError

TOKENS = [PAD, "a", "b", "A", " ", "é", "🙂", "\ufeff", START]


def _tokenizer():
    return CharacterTokenizer(TOKENS)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("abA", [1, 2, 3]),
        ("a\n\tb", [1, 4, 4, 2]),
        ("aé🙂", [1, 5, 6]),
        ("xax?", [1]),
        ("<s>", []),
        ("\ufeff", [7]),
        ("", []),
    ],
)
def test_characters_are_looked_up_and_others_are_left_out(text, expected):
    assert _tokenizer()(text).numpy().tolist() == expected


def test_many_texts_are_read_in_a_graph_as_each_is_alone():
    tokenizer, texts = _tokenizer(), ["ab", "", "🙂 x", "Aé"]
    alone = [tokenizer(text).numpy().tolist() for text in texts]
    graph = tf.function(tokenizer.__call__, input_signature=[tf.TensorSpec([None], tf.string)])
    assert graph(tf.constant(texts)).to_list() == tokenizer(texts).to_list() == alone
    assert tokenizer([b"a\xff\xfeb"]).to_list() == [[1, 2]], "broken bytes are no characters"


def test_the_start_stands_before_a_text_and_between_two():
    one = TextPreprocessing(_tokenizer(), 5)(["ab"])
    assert one["token_ids"].numpy().tolist() == [[8, 1, 2, 0, 0]]
    assert one["padding_mask"].numpy().tolist() == [[True, True, True, False, False]]
    two = TextPreprocessing(_tokenizer(), 5, fields=("first", "second"))(["ab"], ["A"])
    assert two["token_ids"].numpy().tolist() == [[8, 1, 2, 8, 3]]


def test_a_vocabulary_comes_back_from_its_file_and_others_are_refused(tmp_path):
    _tokenizer().save_assets(str(tmp_path))
    again = CharacterTokenizer(**_tokenizer().get_config())
    with pytest.raises(ModelError, match="no vocabulary yet"):
        again("a")
    again.load_assets(str(tmp_path))
    assert again.get_vocabulary() == TOKENS and again.vocabulary_size() == len(TOKENS)
    assert again.id_to_token(5) == "é" and again.token_to_id("é") == 5
    for tokens in ([PAD, "a"], ["a", START], [PAD, START, "ab"], [PAD, START, "a", "a"], [PAD]):
        with pytest.raises(ModelError, match="begins with"):
            CharacterTokenizer(tokens)
    for content in ("{}", "[1, 2]"):
        (tmp_path / "vocabulary.json").write_text(content)
        with pytest.raises(ModelError, match="not a list of tokens"):
            again.load_assets(str(tmp_path))
